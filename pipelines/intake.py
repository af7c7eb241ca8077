"""The flow `intake`: adds new images from the inbox as a new version of the data, and runs the pipeline on it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from prefect import State, flow, get_run_logger
from prefect.artifacts import create_markdown_artifact, create_table_artifact
from prefect.client.schemas.objects import FlowRun
from prefect.deployments import run_deployment
from prefect.exceptions import ObjectNotFound
from prefect.states import Completed

from fct.cache.params import CacheParams
from fct.core.errors import FctError
from fct.core.params import Section, load, location
from fct.data.params import DataParams
from fct.data.scan import Problem
from fct.images.tables import UNKNOWN_QUALITY
from fct.vcs import disk, git
from pipelines import graph, inbox
from pipelines.errors import fail_with_message
from pipelines.flows import run_lock
from pipelines.params import IntakeParams
from pipelines.process import output

NIGHTLY = "reproduce/nightly"


class Params(Section):
    """The sections of params.yaml that this flow reads."""

    data: DataParams
    cache: CacheParams
    intake: IntakeParams


@flow
@fail_with_message
def intake(*, run: bool = True) -> State[Any]:
    """Move new images from the inbox (`intake.inbox`) to the data set.

    Each file is checked first. A file that cannot be used goes to `intake.quarantine`, with the reason beside it. The
    tab "Artifacts" shows the number of new images, and their JPEG qualities beside those of the training.

    Args:
        run: If there are new images, start `reproduce` and promote a model that passes.
    """
    params = load(Params)
    if params.data.source != "folder":
        raise FctError(f"{location('data.source')} is {params.data.source}, but intake needs the source folder.")
    folder = params.data.folder
    images = Path(folder.path)
    with run_lock():
        settings = params.intake
        result = inbox.sort_inbox(
            settings.inbox, images, settings.quarantine, channels=folder.channels, min_age=settings.min_age_seconds
        )
        for problem in result.refused:
            get_run_logger().warning("to %s: %s", settings.quarantine, problem)
        for problem in result.stuck:
            get_run_logger().warning("stays in %s: %s", settings.inbox, problem)
        _show(result, params)
        changed = _add_version(images, f"Add {len(result.taken)} images")
    if changed or result.taken:
        get_run_logger().info(_describe_cost(len(params.cache.qualities)))
    message = (
        f"{len(result.taken)} taken, {len(result.refused)} to {settings.quarantine}, {result.waiting} still arriving"
    )
    if result.stuck:
        message += f", {len(result.stuck)} cannot be moved: {result.stuck[0]}"
    warning = _describe_untrained(result, params.cache.qualities)
    if warning:
        message += f"; ATTENTION: {warning}"
        get_run_logger().warning(warning)
    if run and (result.taken or changed):
        flow_run = _start_reproduce(message)
        message += f"; started {flow_run.name}"
    return Completed(name="OutsideTrainedQualities" if warning else "Completed", message=message)


def _start_reproduce(why: str) -> FlowRun:
    try:
        flow_run = run_deployment(NIGHTLY, parameters={"promote": True, "why": why}, timeout=0, as_subflow=False)
    except ObjectNotFound:
        raise FctError(
            f"The images are in the data set, but {NIGHTLY} is not deployed here. Start it by hand or with `make ui`."
        ) from None
    assert isinstance(flow_run, FlowRun)  # not a coroutine: this is no event loop
    return flow_run


def _add_version(images: Path, why: str) -> list[str]:
    """Add the images to DVC and commit their .dvc files. Return those that changed since the last commit.

    Images that are not under `dvc add` are a plain dependency and need nothing.
    """
    images_path = Path(os.path.relpath(images))
    tracked = [stage for stage in graph.plan() if stage.endswith(".dvc")]
    tracked = [stage for stage in tracked if Path(stage.removesuffix(".dvc")).is_relative_to(images_path)]
    if stale := graph.stale(tracked, get_run_logger().info):
        output("dvc", "--wait-for-lock", "add", "--quiet", *sorted(stage.removesuffix(".dvc") for stage in stale))
    changed = sorted(stale | (set(tracked) & set(git.tree().changed)))  # a killed intake may have left some uncommitted
    if changed:
        git.commit(changed, why)
    return changed


def _describe_cost(caches: int) -> str:
    """Return what a new version of the data costs. Even a few images change the splits, and with them all caches."""
    cost = f"Even for a few new images, the next run compresses all {caches} caches anew"
    usage = disk.measure()
    if usage is None:
        return f"{cost}."
    total = disk.format_size(usage.total)
    return (
        f"{cost}, which adds about {disk.format_size(usage.views)} to the {total} of all versions in {usage.cache}. "
        f"{disk.FREE}."
    )


def _describe_untrained(result: inbox.SortedInbox, trained: Sequence[int]) -> str:
    """Return a warning about images below every trained quality, or an empty text."""
    below = [image.quality for image in result.taken if UNKNOWN_QUALITY < image.quality < min(trained)]
    if not below:
        return ""
    return (
        f"{len(below)} of {len(result.taken)} new images have a JPEG quality below {min(trained)}, the lowest trained "
        f"(down to {min(below)}). If such images will keep coming, add lower qualities to params.yaml: cache.qualities."
    )


def _show(result: inbox.SortedInbox, params: Params) -> None:
    trained = params.cache.qualities
    buckets: dict[int, list[int]] = {}  # by their lowest quality
    for image in result.taken:
        low = image.quality if image.quality == UNKNOWN_QUALITY else max(1, image.quality // 10 * 10)
        buckets.setdefault(low, []).append(image.quality)
    largest = max(map(len, buckets.values()), default=1)
    rows = [
        {
            "JPEG quality": "no JPEG tables" if low == UNKNOWN_QUALITY else f"{low} to {min(100, low // 10 * 10 + 9)}",
            "new images": len(qualities),
            "": "█" * max(1, round(40 * len(qualities) / largest)),
            "trained": "NO: below every trained quality" if UNKNOWN_QUALITY < min(qualities) < min(trained) else "yes",
        }
        for low, qualities in sorted(buckets.items())
    ]
    if rows:
        create_table_artifact(rows, key="inbox-qualities", description="JPEG qualities of the new images.")
    warning = _describe_untrained(result, trained)
    lines = [
        f"# {'ATTENTION: ' if warning else ''}{len(result.taken)} new images",
        "",
        *([f"**{warning}**", ""] if warning else []),
    ]
    lines += [f"- {len(result.refused)} cannot be used and are in `{params.intake.quarantine}` with their reasons"]
    lines += [f"  - {_as_code(problem)}" for problem in result.refused[:50]]
    if result.stuck:
        lines += [
            f"- {len(result.stuck)} cannot be moved and stay in `{params.intake.inbox}`: correct their permissions"
        ]
        lines += [f"  - {_as_code(problem)}" for problem in result.stuck[:50]]
    lines += [f"- {result.waiting} may still be uploading and stay in the inbox"]
    create_markdown_artifact("\n".join(lines), key="inbox", description="The result of sorting the inbox.")


def _as_code(problem: Problem) -> str:
    """Return a problem as Markdown without formatting or links, whatever the file is called."""
    return "`" + str(problem).replace("`", "'") + "`"
