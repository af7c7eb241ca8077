"""The results on disk: the only module that reads and writes them.

    results/comparison/<data set>/records.jsonl       a row a run: its settings, its cost, and what came out
                                  correct-<seed>.npz  which test images each run of that seed classifies correctly

An array of `correct-<seed>.npz` has the name of its method or ablation and holds packed bits [images, conditions]:
raw images, each quality, then each unseen distortion, in the order of the record. Its row has a digest of them.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.comparison.settings import RunId
from fct.core.errors import FctError
from fct.core.files import write_bytes, write_text
from fct.core.locks import locked

RESULTS = Path("benchmarks/results/comparison").resolve()
LOCKS = Path(".fct/benchmarks/locks").resolve()
ROW = ("name", "seed", "trial", "repeat")  # what tells the rows of a data set apart, and their order
EPOCH = (1980, 1, 1, 0, 0, 0)  # the same bits give the same file, whenever it is written
Record = dict[str, Any]
Bits = NDArray[np.bool_]


@dataclass(frozen=True)
class Results:
    """The results of one data set.

    Attributes:
        folder: where its files are.
        lock: held while they are written, so that two processes lose nothing of each other's.
    """

    folder: Path
    lock: Path

    @property
    def table(self) -> Path:
        """The file of the records."""
        return self.folder / "records.jsonl"

    def records(self) -> list[Record]:
        """Return every row: runs, trials, and runs that were repeated."""
        if not self.table.exists():
            return []
        return [json.loads(line) for line in self.table.read_text().splitlines()]

    def find(self, run: RunId) -> Record | None:
        """Return the record of a run; None if there is none."""
        rows = (row for row in self.records() if id_of(row) == run and not row["repeat"])
        return next(rows, None)

    def correct(self, record: Record) -> Bits:
        """Return which test images the run of `record` classifies correctly, [conditions, images].

        Raises:
            FctError: the file of the bits does not have those of the record.
        """
        packed = self._packed(record["seed"], record["name"]).get(record["name"])
        if packed is None or bits_digest(packed) != record["correct"]:
            run = id_of(record)
            raise FctError(
                f"{self._bits(run.seed)} does not have the bits of {run} that {self.table.name} has a digest of. "
                f"Take both files from one commit, or run `python -m benchmarks.comparison run {run.dataset} "
                f"{run.name} --seed {run.seed}`."
            )
        conditions = len(record["test"]) + len(record["unseen"])
        return np.unpackbits(packed, axis=1, count=conditions).T.astype(bool)

    def save(self, record: Record, correct: Bits | None = None) -> None:
        """Put a run in place of an earlier one of the same name, seed and trial.

        Args:
            record: all but the digest of the bits.
            correct: [conditions, images]; None for what has no bits, a trial or a repeated run.
        """
        with locked(self.lock):
            rows = {tuple(row[key] for key in ROW): row for row in self.records()}
            if correct is not None:
                packed = np.packbits(correct.T, axis=1)
                record = record | {"correct": bits_digest(packed)}
            rows[tuple(record[key] for key in ROW)] = record
            if correct is not None:  # before the row: killed in between, the old row's digest tells that it is outdated
                seed = record["seed"]
                named = {row["name"] for row in rows.values() if row["seed"] == seed and "correct" in row}
                others = {name: bits for name, bits in self._packed(seed).items() if name in named}
                write_bytes(self._bits(seed), _archive(others | {record["name"]: packed}))
            lines = [json.dumps(rows[key], allow_nan=False) for key in sorted(rows)]
            write_text(self.table, "".join(f"{line}\n" for line in lines))

    def _bits(self, seed: int) -> Path:
        return self.folder / f"correct-{seed}.npz"

    def _packed(self, seed: int, only: str | None = None) -> dict[str, NDArray[np.uint8]]:
        if not self._bits(seed).exists():
            return {}
        with np.load(self._bits(seed), allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files if only in {None, name}}


def results_of(dataset: str) -> Results:
    """Return the results of a data set in this working copy, whether there are any or not."""
    return Results(RESULTS / dataset, LOCKS / f"{dataset}.lock")


def datasets() -> list[str]:
    """Return the data sets that have results."""
    return sorted(path.parent.name for path in RESULTS.glob("*/records.jsonl"))


def id_of(record: Record) -> RunId:
    """Return which run a record is of."""
    return RunId(record["dataset"], record["name"], record["seed"], record["trial"])


def bits_digest(packed: NDArray[np.uint8]) -> str:
    """Return 16 hexadecimal digits that change whenever a bit does."""
    return hashlib.sha256(packed.tobytes()).hexdigest()[:16]


def _archive(arrays: Mapping[str, NDArray[np.uint8]]) -> bytes:
    """Return an .npz, compressed by LZMA: two thirds of what `np.savez_compressed` makes of these bits."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_LZMA) as archive:
        for name in sorted(arrays):
            member = io.BytesIO()
            np.save(member, np.ascontiguousarray(arrays[name]), allow_pickle=False)
            info = zipfile.ZipInfo(f"{name}.npy", EPOCH)
            info.compress_type = zipfile.ZIP_LZMA
            archive.writestr(info, member.getvalue())
    return stream.getvalue()
