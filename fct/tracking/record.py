"""Records a stage as a run: opened before its work starts, and closed whatever happens."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fct.core.errors import FctError
from fct.core.locks import locked
from fct.core.paths import TRACKING_LOCK
from fct.core.signals import signals_as_exceptions
from fct.tracking import content, pipeline
from fct.tracking.process import Owner
from fct.tracking.runs import Run, closed_by, log_params, source
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
    """Record a stage as a run below that of its pipeline.

    Args:
        name: The stage's name, as in dvc.yaml.
        params: The stage's parameters, flat or nested.
        inputs: The stages whose outputs it reads, each with one file or folder of that stage.
        outputs: Files or folders that it writes. Their digests lead back to this run.
        datasets: Digests of the data it reads, by name.

    Raises:
        FctError: the tracking server cannot be used. This is checked before the block runs.
    """
    server = connect()
    with translate_errors(server.uri), locked(TRACKING_LOCK):
        pipeline.close_dead_runs(server)
        run = _open(server, name)
    with closed_by(run):
        with translate_errors(server.uri):
            _describe(run, params or {}, inputs or {}, datasets or {})
        with signals_as_exceptions(), _system_metrics(run):
            yield run
        _tag_outputs(run, outputs)


@contextmanager
def resume(run_id: str) -> Iterator[Run]:
    """Work in the run of a stage on another host or in another process, which opened it and closes it.

    Raises:
        FctError: the tracking server cannot be used, or has no such run.
    """
    server = connect()
    with translate_errors(server.uri):
        if not server.has_run(run_id):
            raise FctError(
                f"MLFLOW_TRACKING_URI={server.shown_uri}: the run {run_id} of the search is not there. Set "
                "MLFLOW_TRACKING_URI to the server to which the search logs."
            )
    with signals_as_exceptions():
        yield Run(server, run_id, None)


def close_dead_runs() -> None:
    """Close as KILLED the runs of processes of this host that have ended without closing them."""
    server = connect()
    with translate_errors(server.uri), locked(TRACKING_LOCK):
        pipeline.close_dead_runs(server)


def _open(server: Server, name: str) -> Run:
    tags = source()
    try:
        tree = git.tree()
    except git.DistrustedError as error:  # the stage may run; a note on its run says what is missing
        tree = git.Tree(None, ())
        tags["mlflow.note.content"] = f"**The commit is unknown.** {error}"
    tags["dirty"] = tree.dirty
    if tree.commit:
        tags["mlflow.source.git.commit"] = tree.commit
    if tree.changed:
        listed = "\n".join(f"- `{path}`" for path in tree.changed[:20])
        more = f"\n- and {len(tree.changed) - 20} more" if len(tree.changed) > 20 else ""
        tags["mlflow.note.content"] = f"**Dirty: made with uncommitted changes.**\n\n{listed}{more}"
    parent = pipeline.join_run(server, tags)
    stage_tags = {"fct.kind": "stage", "fct.stage": name, pipeline.PARENT: parent, **Owner.of(os.getpid()).tags()}
    run = server.client.create_run(server.experiment, run_name=name, tags={**tags, **stage_tags})
    return Run(server, run.info.run_id, parent)


def _describe(run: Run, params: Mapping[str, Any], inputs: Mapping[str, Path], datasets: Mapping[str, str]) -> None:
    for run_id in run.both():
        log_params(run.server, run_id, params)
        _log_datasets(run.server, run_id, datasets)
    for source_stage, path in inputs.items():
        if not path.exists():  # the stage itself reports a missing file
            continue
        source_run = pipeline.run_that_made(run.server, content.output_tag(path), content.content_digest(path))
        if source_run and source_run.data.tags.get(pipeline.PARENT) != run.pipeline:
            run.server.client.set_tag(
                run.pipeline, f"fct.skipped.{content.mlflow_key(source_stage)}", source_run.info.run_id
            )


def _log_datasets(server: Server, run: str, datasets: Mapping[str, str]) -> None:
    from mlflow.data.code_dataset_source import CodeDatasetSource
    from mlflow.data.meta_dataset import MetaDataset
    from mlflow.entities import Dataset, DatasetInput, InputTag

    describe: Any = MetaDataset  # its type hints call it abstract, but it can be instantiated
    origin = CodeDatasetSource({"mlflow.source.name": "dvc.lock"})
    entries = []
    for name, digest in datasets.items():
        entry = describe(origin, name=name, digest=digest[:DIGEST]).to_dict()
        entries.append(DatasetInput(Dataset(**entry), [InputTag("mlflow.data.context", name)]))
    if entries:
        server.client.log_inputs(run, entries)


def _tag_outputs(run: Run, paths: Sequence[Path]) -> None:
    for path in paths:
        digest = content.content_digest(path)
        with translate_errors(run.server.uri):
            run.server.client.set_tag(run.id, content.output_tag(path), digest)


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
