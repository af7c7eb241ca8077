"""The operations on registered models: promote, roll back, show, rebuild, download."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fct.core.errors import FctError
from fct.core.files import sha256
from fct.core.locks import shared_lock, shared_lock_if_free
from fct.core.params import Section, load
from fct.core.paths import FP32, INT8, REGISTRY_LOCK, Candidate
from fct.evaluate import record
from fct.evaluate.model import Model, open_model
from fct.evaluate.params import EvaluateParams
from fct.evaluate.predictions import Predictions
from fct.evaluate.sweep import predict_views
from fct.gate.checks import Check, check_against
from fct.gate.params import GateParams, int8_lines
from fct.int8.params import Int8Params
from fct.registry import toolchain, training_images
from fct.registry.card import card
from fct.registry.events import Event
from fct.registry.evidence import Evidence, current_user, gather_evidence, refuse_weaker
from fct.registry.limits import check_why
from fct.registry.package import register
from fct.registry.params import RegistryParams
from fct.registry.validation import confirm_with_mlflow
from fct.registry.verify import Rebuilt, rebuild
from fct.registry.versions import State, Version, Versions, now, number_of
from fct.serving.classifier import Classifier
from fct.splits.store import Split, open_split
from fct.tracking import content, pipeline
from fct.tracking.server import Server, connect, translate_errors
from fct.vcs import git


class PromoteParams(Section):
    """The sections of params.yaml that a promotion reads."""

    evaluate: EvaluateParams
    gate: GateParams
    int8: Int8Params
    registry: RegistryParams


WAITING = "Waiting until another promotion or rollback has ended."
CHANGING = "A promotion or rollback is running; this is its present state."
OVERTAKEN = "{name}: version {version} became champion meanwhile. This command goes on from there."
LONGEST_TURN = (
    3600.0  # seconds; then the database frees the turn of a host that sleeps, and the history refuses its move
)


class NameParams(Section):
    """The section of params.yaml that names the registered model."""

    registry: RegistryParams


@dataclass(frozen=True)
class Promotion:
    """The outcome of a promotion."""

    name: str
    version: str
    outcome: str  # champion | already champion | challenger | rolled back
    is_new: bool = False  # whether it was registered just now
    against: Version | None = None  # the version it was compared with
    checks: tuple[Check, ...] = ()  # the lines of the gate that need a champion
    left_out: int = 0  # images of the gate split that one of the models has seen; they are not compared

    @property
    def is_champion(self) -> bool:
        """Whether the version is champion now."""
        return self.outcome in {"champion", "already champion"}

    @property
    def failed(self) -> list[Check]:
        """The checks that failed."""
        return [check for check in self.checks if not check.passed]


@dataclass(frozen=True)
class Rollback:
    """The outcome of a rollback."""

    name: str
    champion: Version | None  # after the rollback
    gone: Version | None  # the champion before it; None if there was none, or no version to return to
    changed: bool


def promote(  # noqa: PLR0913  # each permission of a person has its own name
    *,
    why: str = "",
    again: bool = False,
    commit: bool = False,
    dirty: bool = False,
    weaker: bool = False,
    int8: bool = False,
) -> Promotion:
    """Register the exported model if it passed the gate, and make it champion if it is not worse than the present one.

    Args:
        why: The reason, stored with the version.
        again: Promote even a file that was rolled back.
        commit: Commit dvc.lock, metrics, plots and .dvc files first if the last commit lacks them.
        dirty: Promote even if git and DVC do not hold everything that made the file; a tag of the version says so.
        weaker: Promote even if the gate is weaker than the one that the champion passed.
        int8: Promote the 8-bit model, which has its own verdict.

    Raises:
        OvertakenError: another host changed the champion meanwhile. The model is registered and stays challenger.
        FctError: the file may not be promoted or cannot be compared, or the server fails. Nothing is registered.
    """
    check_why(why)
    params = load(PromoteParams)
    candidate = INT8 if int8 else FP32
    evidence = gather_evidence(
        candidate, _lines(params, candidate), params.evaluate.conditions, commit=commit, dirty=dirty
    )
    split = open_split("gate")
    if record.digest(split) != evidence.verdict["split"]["digest"]:
        raise FctError("data/splits: the gate split is not the one that the verdict is about. Run `dvc repro gate`.")
    model = open_model(candidate.model)
    with _open_registry(params.registry) as versions:
        state, version = versions.state(), versions.with_digest(evidence.sha256)
        rival = state.champion if state.is_proven else state.proven or state.champion
        if rival and not weaker:
            refuse_weaker(rival, evidence)
        if version:
            versions.set_tags(version, evidence.changed_tags(version))
        if version and state.is_proven and state.champion == version:
            return Promotion(versions.name, version.number, "already champion")
        against = rival if rival != version else None
        training = training_images.training_fingerprints()
        checks, left_out = _compare(versions, against, split, training, candidate, params) if against else ((), 0)
        is_new = version is None
        if version is None:
            version = _register(versions, evidence, model, split, training, why)
        versions.set_alias("challenger", version)
        if against and checks:
            comparison = {
                "champion": against.number,
                "left_out": left_out,
                "checks": [check.as_json() for check in checks],
            }
            versions.set_tags(version, {"fct.against": json.dumps(comparison)})
        outcome = "challenger"
        if "fct.rolled_back" in version.tags and not again:
            outcome = "rolled back"
        elif all(check.passed for check in checks):
            versions.set_champion(_event("promoted", version, state, against or state.previous, why))
            outcome = "champion"
        return Promotion(versions.name, version.number, outcome, is_new, against, checks, left_out)


def rollback(*, why: str = "", to: str | None = None) -> Rollback:
    """Make the previous champion champion again. If there is none, or it is champion already, change nothing.

    Args:
        why: The reason, stored in the history and with the version that is rolled back.
        to: The number of the version to make champion, if not the previous champion.

    Raises:
        OvertakenError: another host changed the champion meanwhile.
        FctError: there is no such version, it never passed the gate, or the server cannot be used.
    """
    check_why(why)
    with _open_registry(load(NameParams).registry) as versions:
        state = versions.state()
        gone = state.champion
        back = state.previous or (None if state.is_proven else state.proven)
        if to is not None:
            back = versions.get(to)
            if back is None:
                raise FctError(
                    f"{versions.name}: there is no version {to}. `fct history` lists the versions that were champion."
                )
        if back is None or back == gone:
            return Rollback(versions.name, gone, back, changed=False)
        if back.tags.get("fct.verdict") != "PASS":
            raise FctError(f"{versions.name}: version {back.number} has no verdict PASS, so it cannot become champion.")
        versions.set_champion(_event("rolled back", back, state, None, why))
        return Rollback(versions.name, back, gone, changed=True)


def status() -> tuple[str, State]:
    """Return the registered model's name, and its champion, challenger and previous version."""
    with _read_registry(load(NameParams).registry) as versions:
        return versions.name, versions.state()


def history() -> tuple[str, list[Event], State]:
    """Return the registered model's name, its history, the oldest event first, and which versions have a role now."""
    with _read_registry(load(NameParams).registry) as versions:
        return versions.name, versions.history(), versions.state()


def versions_of_commit(commit: str) -> tuple[str, list[Version]]:
    """Return the registered model's name and the versions that a commit made, the oldest first.

    Args:
        commit: Any name that git has for it: a hash, a branch, HEAD~1.

    Raises:
        FctError: git knows no such commit, or the server cannot be used.
    """
    commit_id = git.run("rev-parse", "--verify", "--quiet", f"{commit}^{{commit}}")
    if commit_id is None:
        raise FctError(f"git has no commit {commit!r} here. Fetch it, or run the command in its repository.")
    with _read_registry(load(NameParams).registry) as versions:
        return versions.name, versions.made_by(commit_id.strip())


def verify(which: str, *, full: bool = False) -> tuple[str, Version, Rebuilt]:
    """Rebuild a registered version from its commit, and compare the result with it.

    Args:
        which: champion, challenger, previous, or a version's number.
        full: Train again too.

    Returns:
        The registered model's name, the version, and the result of the rebuild.

    Raises:
        FctError: there is no such version, or it cannot be rebuilt.
    """
    with _read_registry(load(NameParams).registry) as versions:
        version = _find_version(versions, which)
    return versions.name, version, rebuild(version.tags, full=full)


def fetch(which: str, folder: Path) -> Path:
    """Download a version's ONNX file into `folder`.

    Args:
        which: champion, challenger, previous, or a version's number.
        folder: The folder that gets the file.

    Raises:
        FctError: there is no such version, or its file is not the one that was registered.
    """
    with _read_registry(load(NameParams).registry) as versions:
        return versions.download(_find_version(versions, which), folder)


def attach_to_run(path: Path) -> str:
    """Attach a file to the MLflow run of the pipeline that made model/model.onnx; return where to find it.

    Raises:
        FctError: no known run made the model, or the server cannot be used.
    """
    server = connect()
    with translate_errors(server.uri):
        run = _producing_run(server, sha256(FP32.model))
        if run is None:
            raise FctError(f"No run of {server.uri} made {FP32.model}. It was made without tracking, or elsewhere.")
        server.client.log_artifact(run, str(path))
    if not server.uri.startswith("http"):
        return f"{path.name} of the run {run}"
    return f"{server.uri}/#/experiments/{server.experiment}/runs/{run}/artifacts/{path.name}"


@contextmanager
def _open_registry(params: RegistryParams) -> Iterator[Versions]:
    """Open the registry to change it. Wait, with messages, while another process changes it.

    With FCT_DATABASE_URL, this is a process of any host, else one of this working copy.
    """
    server = connect()
    versions = Versions(server, params.name)
    before: list[str | None] = []  # the champion as the wait began

    def on_wait() -> None:
        print(WAITING, file=sys.stderr)
        before.append(number_of(versions.state().champion))

    turn = shared_lock(_lock_name(params), REGISTRY_LOCK, longest=LONGEST_TURN, on_wait=on_wait)
    with translate_errors(server.uri), turn:
        versions.finish_interrupted()
        champion = number_of(versions.state().champion) if before else None
        if before and champion != before[0]:
            print(OVERTAKEN.format(name=params.name, version=champion), file=sys.stderr)
        yield versions


@contextmanager
def _read_registry(params: RegistryParams) -> Iterator[Versions]:
    """Open the registry to read it, without waiting for a process that changes it."""
    server = connect()
    with translate_errors(server.uri), shared_lock_if_free(_lock_name(params), REGISTRY_LOCK) as is_free:
        versions = Versions(server, params.name)
        if is_free:
            versions.finish_interrupted()
        else:
            print(CHANGING, file=sys.stderr)
        yield versions


def _lock_name(params: RegistryParams) -> str:
    """Return the name by which all hosts know the turn to change a registered model."""
    return f"registry of {params.name}"


def _event(what: str, version: Version, state: State, previous: Version | None, why: str) -> Event:
    """Return the event that makes a version champion in place of the one in `state`."""
    return Event(
        when=now(),
        what=what,
        version=version.number,
        before=number_of(state.champion),
        previous=number_of(previous),
        who=current_user(),
        why=why,
        verdict="PASS",
        follows=state.last_event,
    )


def _find_version(versions: Versions, which: str) -> Version:
    state = versions.state()
    named = {"champion": state.champion, "challenger": state.challenger, "previous": state.previous}
    version = named[which] if which in named else versions.get(which)
    if version is None:
        raise FctError(
            f"{versions.name}: there is no {'version ' * which.isdecimal()}{which}. Name champion, challenger, "
            "previous or a number; `fct status` lists the registered versions."
        )
    return version


def _lines(params: PromoteParams, candidate: Candidate) -> dict[str, list[Any]]:
    """Return the lines of the gate that a candidate must pass, by name: direction and threshold."""
    lines = list(params.gate)
    if candidate is INT8:
        of_gate, against_fp32 = int8_lines(lines, params.int8.max_drop)
        lines = [*of_gate, against_fp32]
    return {line.name: [line.direction, line.threshold] for line in lines}


def _compare(  # noqa: PLR0913, PLR0917  # the two models, the images of both, and how to compare them
    versions: Versions,
    champion: Version,
    split: Split,
    training: NDArray[np.uint64],
    candidate: Candidate,
    params: PromoteParams,
) -> tuple[tuple[Check, ...], int]:
    """Compare the candidate with a registered version, by the lines that name a champion.

    The comparison is about the images of the gate split that neither of the two has seen.

    Returns:
        The checks, and the number of images that are left out.
    """
    of_candidate = record.read(
        split, model_sha256=sha256(candidate.model), params=params.evaluate, evaluation=candidate.evaluation
    )
    predictions = of_candidate.predictions
    subsampling = json.loads((candidate.evaluation / "meta.json").read_text())["subsampling"]
    with TemporaryDirectory() as folder:
        path = versions.download(champion, Path(folder))
        champion_classes, classes = open_model(path).class_names, open_model(candidate.model).class_names
        if champion_classes != classes:
            raise FctError(
                f"version {champion.number} of {versions.name} has the classes {champion_classes}, "
                f"{candidate.model} has {classes}: another task. Give this task its own registry.name in params.yaml."
            )
        if all(line.champion is None for line in params.gate):
            return (), 0
        unseen = training_images.unseen_by_both(split, of_candidate.digest, training, versions, champion)
        evaluate = params.evaluate
        champion_predictions = predict_views(path, split, evaluate, subsampling)
    own, of_champion = (_on(unseen, those) for those in (predictions, champion_predictions))
    return tuple(check_against(params.gate, own, of_champion, evaluate)), int((~unseen).sum())


def _on(images: NDArray[np.bool_], predictions: Predictions) -> Predictions:
    """Return the predictions on some of the images, a mask [N]."""
    return replace(
        predictions,
        classes=predictions.classes[:, images],
        confidence=predictions.confidence[:, images],
        labels=predictions.labels[images],
    )


def _register(  # noqa: PLR0913, PLR0917  # all that a version is made of
    versions: Versions, evidence: Evidence, model: Model, split: Split, training: NDArray[np.uint64], why: str
) -> Version:
    tags = {
        **evidence.tags(),
        **toolchain.tags(),
        "fct.validated": confirm_with_mlflow(evidence.verdict),
        "fct.who": current_user(),
        "fct.registered": now(),
        "fct.dirty": "true" if evidence.is_dirty else git.tree().dirty,
        **({"fct.why": why} if why else {}),
    }
    classifier = Classifier.of(model.session)
    description = card(evidence.verdict, tags, classes=classifier.classes, qualities=classifier.qualities)
    run = _producing_run(versions.server, evidence.sha256)
    return register(versions, model, split, training, run=run, tags=tags, card=description)


def _producing_run(server: Server, digest: str) -> str | None:
    """Return the id of the pipeline's run that made the file, or None if no tracked run did."""
    run = pipeline.run_that_made(server, content.output_tag(FP32.model), digest) or pipeline.run_that_made(
        server, content.output_tag(INT8.model), digest
    )
    return run and str(run.data.tags[pipeline.PARENT])
