"""The flow `watch`: compares what the champion is asked with what it was trained and judged on.

It reads the counts that served models write (`fct.serving.counters`), and neither changes nor locks anything. What lies
outside is an event in Prefect. With `watch.reproduce`, an automation starts `reproduce` with the proposed qualities.
"""

from __future__ import annotations

import base64
import re
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any

from prefect import State, flow, get_run_logger
from prefect.artifacts import create_image_artifact, create_markdown_artifact
from prefect.events import DeploymentEventTrigger, emit_event
from prefect.states import Completed
from prefect.variables import Variable
from pydantic import Field

from fct import registry
from fct.cache.params import CacheParams
from fct.core.errors import FctError
from fct.core.params import Section, load
from fct.evaluate.params import EvaluateParams
from fct.monitoring.counts import Counts, Reading, read_counts
from fct.monitoring.findings import Findings, Limits, Reference, judge
from fct.monitoring.markdown import to_markdown
from fct.monitoring.picture import picture
from fct.registry.params import RegistryParams
from fct.splits.store import open_split, read_meta
from pipelines.errors import fail_with_message
from pipelines.params import WatchParams

EVENT = "fct.watch.outside"
STARTS = "fct.reproduce"  # label of the event: whether the automation starts a run
MOST_MODELS = 10  # that a message names

Digest = Annotated[str, Field(pattern="^[0-9a-f]{0,64}$", examples=["9ecc08e4988a"])]


class Params(Section):
    """The sections of params.yaml that this flow reads."""

    cache: CacheParams
    evaluate: EvaluateParams
    registry: RegistryParams
    watch: WatchParams


@flow
@fail_with_message
def watch(*, model: Digest = "") -> State[Any]:
    """Compare the counts of served models with the training and the verdict.

    The tab "Artifacts" shows JPEG qualities and predicted classes beside those of the training, with distances and
    their intervals. If too many images are below every trained quality, or a distance is too large, the run raises the
    event fct.watch.outside and proposes qualities for cache.qualities. Too few images are never an alarm.

    Args:
        model: First digits of the SHA-256 of the model whose counts are compared. Empty means the champion.
    """
    params = load(Params)
    settings = params.watch
    reading = read_counts(settings.counters, since=_today() - timedelta(days=settings.days - 1))
    for problem in reading.damaged:
        get_run_logger().warning("skipped %s/%s", settings.counters, problem)
    digest = model or _champion()
    counts = _counts_of(digest, reading)
    skipped = f"; {len(reading.damaged)} damaged files were skipped: see the log" if reading.damaged else ""
    if counts is None or counts.images < settings.min_images:
        images = counts.images if counts else 0
        message = f"too few to tell: {images:,} images in {settings.days} days, less than {settings.min_images:,}"
        others = _describe_others(digest, reading)
        message += f" (watch.min_images){'; ' if others else ''}{others}{skipped}"
        return Completed(name="TooFewImages", message=message)
    findings = judge(counts, _reference(params), _limits(params))
    _show(findings, reading, params)
    if not findings.alarms:
        return Completed(message=f"{counts.images:,} images are like those of the training{skipped}")
    for alarm in findings.alarms:
        get_run_logger().warning(alarm)
    _raise_event(findings, params)
    return Completed(name="OutsideTraining", message=f"ATTENTION: {' '.join(findings.alarms)}{skipped}")


def trigger(name: str) -> DeploymentEventTrigger:
    """Return what starts the deployment `reproduce/nightly` when qualities are proposed for a registered model.

    The run promotes nothing: its results are on a branch, for a person to merge.

    Args:
        name: The name of the registered model.
    """
    template = {"__prefect_kind": "jinja", "template": "{{ event.payload.overrides | tojson }}"}
    return DeploymentEventTrigger(
        name=f"Train the qualities that are served with {name}",
        expect={EVENT},
        match={"prefect.resource.id": f"fct.watch.{name}", STARTS: "true"},
        parameters={"overrides": {"__prefect_kind": "json", "value": template}},
    )


def _today() -> date:
    return datetime.now(UTC).date()


def _champion() -> str:
    name, state = registry.status()
    if state.champion is None:
        raise FctError(f"{name} has no champion whose counts could be compared. Promote a model, or choose `model`.")
    digest = state.champion.tags.get("fct.sha256")
    if not digest:
        raise FctError(
            f"{name}: version {state.champion.number}, the champion, has no tag fct.sha256: someone registered it by "
            "hand. Promote it with `fct promote`, or choose `model`."
        )
    return digest


def _counts_of(digest: str, reading: Reading) -> Counts | None:
    matches = [counts for model, counts in reading.models.items() if model.startswith(digest)]
    if len(matches) > 1:
        names = ", ".join(counts.model[:12] for counts in matches)
        raise FctError(f"model: {digest!r} is the beginning of several: {names}. Give more digits.")
    return matches[0] if matches else None


def _describe_others(digest: str, reading: Reading) -> str:
    others = [counts for model, counts in reading.models.items() if not model.startswith(digest)]
    if not others:
        return ""
    images = ", ".join(f"{counts.images:,} by {counts.model[:12]}" for counts in others[:MOST_MODELS])
    return f"images of other models: {images}"


def _reference(params: Params) -> Reference:
    train, gate = open_split("train"), open_split("gate")
    trained, judged = params.cache.qualities, params.evaluate.qualities
    return Reference(train.quality, gate.labels, read_meta()["classes"], trained, judged)


def _limits(params: Params) -> Limits:
    largest = params.watch.max_distance
    distances = {"quality": largest.quality, "class": largest.class_}
    return Limits(params.watch.max_outside, distances, params.evaluate.confidence)


def _raise_event(findings: Findings, params: Params) -> None:
    """Raise the event. Its label says whether the automation starts a run: once for each proposal, not every night."""
    name = params.registry.name
    qualities = sorted({*params.cache.qualities, *findings.proposals})
    variable = re.sub(r"[^a-z0-9]+", "_", f"fct_watch_{name}".lower())
    proposal = {"model": findings.counts.model, "qualities": qualities}
    starts = params.watch.reproduce and bool(findings.proposals) and Variable.get(variable) != proposal
    emit_event(
        EVENT,
        {"prefect.resource.id": f"fct.watch.{name}", "prefect.resource.name": name, STARTS: str(starts).lower()},
        payload={
            "alarms": list(findings.alarms),
            "images": findings.counts.images,
            "model": findings.counts.model,
            "outside": findings.outside.as_json(),
            "distances": {name: distance.as_json() for name, distance in findings.distances.items()},
            "proposals": list(findings.proposals),
            "overrides": {"cache.qualities": qualities} if findings.proposals else {},
        },
    )
    if starts:
        Variable.set(variable, proposal, overwrite=True)


def _show(findings: Findings, reading: Reading, params: Params) -> None:
    others = _describe_others(findings.counts.model, reading)
    not_counted = [*reading.damaged, *([others] if others else [])]
    text = to_markdown(findings, _limits(params), days=params.watch.days, not_counted=not_counted)
    create_markdown_artifact(text, key="watch", description="What the model is asked, beside its training.")
    drawn = base64.b64encode(picture(findings.histograms)).decode()
    create_image_artifact(
        f"data:image/png;base64,{drawn}",
        key="watch-histograms",
        description="JPEG qualities and classes of the served images, beside those of the training.",
    )
