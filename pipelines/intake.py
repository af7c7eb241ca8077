"""The flow `intake`: what arrived in the inbox becomes a new version of the data, and the pipeline runs on it."""

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
from fct.core import params
from fct.core.errors import FctError
from fct.core.params import Section
from fct.data.params import DataParams
from fct.images.tables import NO_TABLES
from fct.vcs import git
from pipelines import graph, inbox
from pipelines.errors import fail_with_message
from pipelines.flows import run_lock
from pipelines.params import IntakeParams
from pipelines.process import output

NIGHTLY = "reproduce/nightly"


class Read(Section):
    """What this flow reads of params.yaml."""

    data: DataParams
    cache: CacheParams
    intake: IntakeParams


@flow
@fail_with_message
def intake(*, run: bool = True) -> State[Any]:
    """Take new images out of the inbox (`intake.inbox`) into the data set.

    Each file is opened first: one that cannot be used goes to `intake.quarantine` with its reason beside it. The tab
    "Artifacts" shows how many came and which JPEG qualities they have, against those that the model is trained on.

    Args:
        run: Start `reproduce` if there are new images, and promote what passes.
    """
    read = params.load(Read)
    if read.data.source != "folder":
        raise FctError(f"{params.location('data', 'source')} is {read.data.source}; an inbox needs a folder source.")
    folder = read.data.folder
    images = Path(folder.path)
    with run_lock():
        place = read.intake
        found = inbox.sort_inbox(
            place.inbox, images, place.quarantine, channels=folder.channels, settle=place.min_age_seconds
        )
        for problem in found.refused:
            get_run_logger().warning("to %s: %s", place.quarantine, problem)
        _show(found, read)
        versioned = _new_version(images, f"Add {len(found.taken)} images")
    said = f"{len(found.taken)} taken, {len(found.refused)} to {place.quarantine}, {found.waiting} still arriving"
    outside = _outside(found, read.cache.qualities)
    if outside:
        said += f"; ATTENTION: {outside}"
        get_run_logger().warning(outside)
    if run and (found.taken or versioned):
        started = _start(said)
        said += f"; started {started.name}"
    return Completed(name="OutsideTrainedQualities" if outside else "Completed", message=said)


def _start(why: str) -> FlowRun:
    try:
        started = run_deployment(NIGHTLY, parameters={"promote": True, "why": why}, timeout=0, as_subflow=False)
    except ObjectNotFound:
        raise FctError(f"{NIGHTLY} is not deployed here; the images are in. Start it by hand, or `make ui`.") from None
    assert isinstance(started, FlowRun)  # not a coroutine: this is no event loop
    return started


def _new_version(images: Path, why: str) -> list[str]:
    """Let DVC and git hold what is in the images now; return the .dvc files that changed since the last commit.

    Images that are not under `dvc add` are a dependency as they are; there is nothing to do.
    """
    place = Path(os.path.relpath(images))
    held = [stage for stage in graph.plan() if stage.endswith(".dvc")]
    held = [stage for stage in held if Path(stage.removesuffix(".dvc")).is_relative_to(place)]
    if stale := graph.stale(held, get_run_logger().info):
        output("dvc", "--wait-for-lock", "add", "--quiet", *sorted(stage.removesuffix(".dvc") for stage in stale))
    changed = sorted(stale | (set(held) & set(git.tree().changed)))  # an intake that was killed left some behind
    if changed:
        git.commit(changed, why)
    return changed


def _outside(found: inbox.Sorted, trained: Sequence[int]) -> str:
    """Return what to say of images that were compressed harder than any that the model is trained on."""
    below = [image.quality for image in found.taken if NO_TABLES < image.quality < min(trained)]
    if not below:
        return ""
    return (
        f"{len(below)} of {len(found.taken)} new images have a JPEG quality below {min(trained)}, the lowest trained "
        f"(down to {min(below)}). Add lower ones to cache.qualities in params.yaml if such images will keep coming."
    )


def _show(found: inbox.Sorted, read: Read) -> None:
    trained = read.cache.qualities
    buckets: dict[int, list[int]] = {}  # by their lowest quality
    for image in found.taken:
        low = image.quality if image.quality == NO_TABLES else max(1, image.quality // 10 * 10)
        buckets.setdefault(low, []).append(image.quality)
    most = max(map(len, buckets.values()), default=1)
    rows = [
        {
            "JPEG quality": "no JPEG tables" if low == NO_TABLES else f"{low} to {min(100, low // 10 * 10 + 9)}",
            "new images": len(qualities),
            "": "█" * max(1, round(40 * len(qualities) / most)),
            "trained": "NO: below every trained quality" if NO_TABLES < min(qualities) < min(trained) else "yes",
        }
        for low, qualities in sorted(buckets.items())
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
