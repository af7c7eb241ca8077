"""The flow `intake`: what arrived in the inbox becomes a new version of the data, and the pipeline runs on it."""

from __future__ import annotations

import subprocess
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from prefect import State, flow, get_run_logger
from prefect.artifacts import create_markdown_artifact, create_table_artifact
from prefect.client.schemas.objects import FlowRun
from prefect.deployments import run_deployment
from prefect.states import Completed

from fct.cache.params import CacheParams
from fct.core import params
from fct.core.errors import FctError
from fct.core.params import Section
from fct.data.params import DataParams
from fct.data.store import LOSSLESS
from fct.tracking import git
from pipelines import graph, inbox
from pipelines.flows import turn
from pipelines.params import IntakeParams
from pipelines.readable import readable

NIGHTLY = "reproduce/nightly"


class Read(Section):
    """What this flow reads of params.yaml."""

    data: DataParams
    cache: CacheParams
    intake: IntakeParams


@flow
@readable
def intake(*, run: bool = True) -> State[Any]:
    """Take new images out of the inbox (`intake.inbox`) into the data set.

    Each file is opened first: one that cannot be used goes to `intake.quarantine` with its reason beside it. The tab
    "Artifacts" shows how many came and which JPEG qualities they have, against those that the model is trained on.

    Args:
        run: Start `reproduce` if there are new images, and promote what passes.
    """
    read = params.load(Read)
    if read.data.source != "folder":
        raise FctError(f"{params.place('data', 'source')} is {read.data.source}; an inbox needs a folder source.")
    folder = read.data.folder
    images = Path(folder.path)
    with turn():
        place = read.intake
        found = inbox.sort(place.inbox, images, place.quarantine, channels=folder.channels, settle=place.settle)
        versioned = _new_version(images, f"Add {len(found.taken)} images")
    for problem in found.refused:
        get_run_logger().warning("to %s: %s", place.quarantine, problem)
    _show(found, read)
    said = f"{len(found.taken)} taken, {len(found.refused)} to {place.quarantine}, {found.waiting} still arriving"
    outside = _outside(found, read.cache.qualities)
    if outside:
        said += f"; ATTENTION: {outside}"
        get_run_logger().warning(outside)
    if run and (found.taken or versioned):
        started = run_deployment(NIGHTLY, parameters={"promote": True, "why": said}, timeout=0, as_subflow=False)
        assert isinstance(started, FlowRun)  # not a coroutine: this is no event loop
        said += f"; started {started.name}"
    return Completed(name="OutsideTrainedQualities" if outside else "Completed", message=said)


def _new_version(images: Path, why: str) -> list[str]:
    """Let DVC and git hold what is in the images now; return the .dvc files that changed.

    Images that are not under `dvc add` are a dependency as they are; there is nothing to do.
    """
    held = [stage for stage in graph.plan() if stage.endswith(".dvc") and Path(stage).is_relative_to(images.parent)]
    changed = sorted(graph.stale([stage for stage in held if Path(stage).with_suffix("").is_relative_to(images)]))
    if changed:
        _dvc("add", "--quiet", *(stage.removesuffix(".dvc") for stage in changed))
        git.commit(changed, why)
    return changed


def _dvc(*arguments: str) -> None:
    done = subprocess.run(["dvc", "--wait-for-lock", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise FctError(f"`dvc {' '.join(arguments)}` failed: {done.stderr.strip()}")


def _outside(found: inbox.Sorted, trained: Sequence[int]) -> str:
    """Return what to say of images that were compressed harder than any that the model is trained on."""
    below = [image.quality for image in found.taken if image.quality < min(trained)]
    if not below:
        return ""
    return (
        f"{len(below)} of {len(found.taken)} new images have a JPEG quality below {min(trained)}, the lowest trained "
        f"(down to {min(below)}). Add lower ones to cache.qualities in params.yaml if such images will keep coming."
    )


def _show(found: inbox.Sorted, read: Read) -> None:
    trained = read.cache.qualities
    counts = Counter(image.quality if image.quality == LOSSLESS else image.quality // 10 * 10 for image in found.taken)
    rows = [
        {
            "JPEG quality": "100 or lossless" if low == LOSSLESS else f"{low} to {low + 9}",
            "new images": count,
            "": "█" * max(1, round(40 * count / max(counts.values()))),
            "trained": "yes" if low + 9 >= min(trained) else "NO: below every trained quality",
        }
        for low, count in sorted(counts.items())
    ]
    if rows:
        create_table_artifact(rows, key="inbox-qualities", description="JPEG qualities of the new images.")
    outside = _outside(found, trained)
    lines = [
        f"# {'ATTENTION: ' if outside else ''}{len(found.taken)} new images",
        "",
        *([f"**{outside}**", ""] if outside else []),
    ]
    lines += [f"- {len(found.refused)} cannot be used, and are in `{read.intake.quarantine}` with their reasons"]
    lines += [f"  - {problem}" for problem in found.refused[:50]]
    lines += [f"- {found.waiting} may still be uploading, and stay for the next time"]
    create_markdown_artifact("\n".join(lines), key="inbox", description="What became of the inbox.")
