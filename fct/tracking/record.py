"""A stage as a run: opened before the work starts, closed however it ends."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from fct.core.locks import locked
from fct.core.paths import TRACKING_LOCK
from fct.tracking import content, pipeline
from fct.tracking.process import Owner
from fct.tracking.runs import Run, Terminated, closed_by, log_params, source
from fct.tracking.server import Server, connect, translate_errors
from fct.vcs import git

DIGEST = 36  # characters that MLflow keeps of a data set's digest
SAMPLING = 5  # seconds between samples of CPU, memory, disk, network and GPU


@contextmanager
def stage(
    name: str,
    *,
    params: Mapping[str, Any] | None = None,
    inputs: Mapping[str, Path] | None = None,
    outputs: Sequence[Path] = (),
    datasets: Mapping[str, str] | None = None,
) -> Iterator[Run]:
    """Record a stage as a run under its pipeline's.

    Args:
        name: Of the stage, as in dvc.yaml.
        params: What it was told, flat or nested.
        inputs: Stages whose outputs it reads, each with one file or folder that tells their content.
        outputs: Files or folders that it writes; their content is what finds this run again.
        datasets: Digests of the data it reads, by name.

    Raises:
        FctError: the tracking server cannot be used; before the block runs, if it is so then.
    """
    server = connect()
    with translate_errors(server.uri), locked(TRACKING_LOCK):
        pipeline.close_dead_runs(server)
        run = _open(server, name)
    with closed_by(run):
        with translate_errors(server.uri):
            _describe(run, params or {}, inputs or {}, datasets or {})
        with _orderly_end(), _system_metrics(run):
            yield run
        _tag_outputs(run, outputs)


def close_dead_runs() -> None:
    """Close as KILLED the runs of processes of this host that have ended without closing them."""
    server = connect()
    with translate_errors(server.uri), locked(TRACKING_LOCK):
        pipeline.close_dead_runs(server)


def _open(server: Server, name: str) -> Run:
    tree = git.tree()
    about = {**source(), "dirty": tree.dirty}
    if tree.commit:
        about["mlflow.source.git.commit"] = tree.commit
    if tree.changed:
        shown = "\n".join(f"- `{path}`" for path in tree.changed[:20])
        more = f"\n- and {len(tree.changed) - 20} more" if len(tree.changed) > 20 else ""
        about["mlflow.note.content"] = f"**Dirty: made with uncommitted changes.**\n\n{shown}{more}"
    parent = pipeline.join_run(server, about)
    own = {"fct.kind": "stage", "fct.stage": name, pipeline.PARENT: parent, **Owner.of(os.getpid()).tags()}
    made = server.client.create_run(server.experiment, run_name=name, tags={**about, **own})
    return Run(server, made.info.run_id, parent)


def _describe(run: Run, params: Mapping[str, Any], inputs: Mapping[str, Path], datasets: Mapping[str, str]) -> None:
    for each in run.both():
        log_params(run.server, each, params)
        _log_datasets(run.server, each, datasets)
    for reads, path in inputs.items():
        if not path.exists():  # the stage itself says what is missing
            continue
        made = pipeline.run_that_made(run.server, content.output_tag(path), content.content_digest(path))
        if made and made.data.tags.get(pipeline.PARENT) != run.pipeline:
            run.server.client.set_tag(run.pipeline, f"fct.skipped.{content.mlflow_key(reads)}", made.info.run_id)


def _log_datasets(server: Server, run: str, datasets: Mapping[str, str]) -> None:
    from mlflow.data.code_dataset_source import CodeDatasetSource
    from mlflow.data.meta_dataset import MetaDataset
    from mlflow.entities import Dataset, DatasetInput, InputTag

    describe: Any = MetaDataset  # its types call it abstract; it is made to be instantiated
    origin = CodeDatasetSource({"mlflow.source.name": "dvc.lock"})
    seen = []
    for name, digest in datasets.items():
        about = describe(origin, name=name, digest=digest[:DIGEST]).to_dict()
        seen.append(DatasetInput(Dataset(**about), [InputTag("mlflow.data.context", name)]))
    if seen:
        server.client.log_inputs(run, seen)


def _tag_outputs(run: Run, paths: Sequence[Path]) -> None:
    for path in paths:
        digest = content.content_digest(path)
        with translate_errors(run.server.uri):
            run.server.client.set_tag(run.id, content.output_tag(path), digest)


@contextmanager
def _orderly_end() -> Iterator[None]:
    """Turn the signals that ask a process to end into an exception, so that the run can be closed."""

    def stop(number: int, _frame: FrameType | None) -> NoReturn:
        raise Terminated(128 + number)

    try:
        taken = [each for each in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(each) is signal.SIG_DFL]
        for each in taken:
            signal.signal(each, stop)
    except ValueError:  # not the main thread: nobody may set handlers there
        taken = []
    try:
        yield
    finally:
        for each in taken:
            signal.signal(each, signal.SIG_DFL)


@contextmanager
def _system_metrics(run: Run) -> Iterator[None]:
    from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

    monitor: Any = SystemMetricsMonitor  # untyped
    monitor = monitor(run.id, sampling_interval=SAMPLING, tracking_uri=run.server.uri)
    monitor.start()
    try:
        yield
    finally:
        monitor.finish()
