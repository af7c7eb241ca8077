"""The three commands: promote, roll back, say who is what."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from fct.core.errors import FctError
from fct.core.files import sha256
from fct.core.locks import locked
from fct.core.params import Section, load
from fct.core.paths import FP32, INT8, REGISTRY_LOCK, Candidate
from fct.evaluate import record
from fct.evaluate.model import Model, open_model
from fct.evaluate.params import EvaluateParams
from fct.evaluate.sweep import predict
from fct.gate.checks import Check, check_against
from fct.gate.params import GateParams, int8_lines
from fct.int8.params import Int8Params
from fct.registry.card import card
from fct.registry.evidence import Evidence, current_user, gather_evidence, refuse_weaker
from fct.registry.package import register
from fct.registry.params import RegistryParams
from fct.registry.validation import validated
from fct.registry.verify import Rebuilt, rebuild
from fct.registry.versions import Event, State, Version, Versions, now, number_of
from fct.serving.classifier import Classifier
from fct.splits.store import Split, open_split
from fct.tracking import content, pipeline
from fct.tracking.server import Server, connect, translate_errors
from fct.vcs import git


class PromoteParams(Section):
    """What a promotion reads from params.yaml."""

    evaluate: EvaluateParams
    gate: GateParams
    int8: Int8Params
    registry: RegistryParams


class NameParams(Section):
    """What finding the registered model reads from params.yaml."""

    registry: RegistryParams


@dataclass(frozen=True)
class Promotion:
    """How a promotion ended."""

    name: str
    version: str
    outcome: str  # champion | already champion | challenger | rolled back
    is_new: bool = False  # registered now
    against: Version | None = None  # what it was compared with
    checks: tuple[Check, ...] = ()  # the lines of the gate that need a champion

    @property
    def failed(self) -> list[Check]:
        """The checks that speak against it."""
        return [check for check in self.checks if not check.passed]


@dataclass(frozen=True)
class Rollback:
    """How a rollback ended."""

    name: str
    champion: Version | None  # now
    gone: Version | None  # the champion before
    changed: bool


def promote(  # noqa: PLR0913  # what a person may allow, each by name
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
        why: What a person wants to say about it.
        again: Promote even a file that was rolled back.
        commit: Commit dvc.lock, metrics and plots first if the last commit does not name the file.
        dirty: Promote even where code or params are not committed; the version says so.
        weaker: Promote even where the gate asks for less than it asked of the champion.
        int8: Promote the file's 8-bit form, which has a verdict of its own.

    Raises:
        FctError: the file may not be promoted, cannot be compared, or the server cannot be used. Nothing is registered.
    """
    params = load(PromoteParams)
    candidate = INT8 if int8 else FP32
    evidence = gather_evidence(
        candidate, _lines(params, candidate), params.evaluate.conditions, commit=commit, dirty=dirty
    )
    split = open_split("gate")
    if record.digest(split) != evidence.verdict["split"]["digest"]:
        raise FctError("data/splits: the gate split is not the one that the verdict is about. Run `dvc repro gate`.")
    model = open_model(candidate.model)
    with _registry(params.registry) as versions:
        state, version = versions.state(), versions.of(evidence.sha256)
        rival = state.champion if state.is_proven else state.proven or state.champion
        if rival and not weaker:
            refuse_weaker(rival, evidence)
        if version:
            versions.tag(version, evidence.changed_tags(version))
        if version and state.is_proven and state.champion == version:
            return Promotion(versions.name, version.number, "already champion")
        against = rival if rival != version else None
        checks = _compare(versions, against, split, candidate, params) if against else ()
        is_new = version is None
        if version is None:
            version = _register(versions, evidence, model, split, why)
        versions.alias("challenger", version)
        if against and checks:
            told = {"champion": against.number, "checks": [check.as_json() for check in checks]}
            versions.tag(version, {"fct.against": json.dumps(told)})
        outcome = "challenger"
        if "fct.rolled_back" in version.tags and not again:
            outcome = "rolled back"
        elif all(check.passed for check in checks):
            event = Event(now(), "promoted", version.number, number_of(state.champion), current_user(), why, "PASS")
            versions.set_champion(event, previous=against or state.previous)
            outcome = "champion"
        return Promotion(versions.name, version.number, outcome, is_new, against, checks)


def rollback(*, why: str = "", to: str | None = None) -> Rollback:
    """Make the previous champion champion again; where there is none to return to, change nothing.

    Args:
        why: Kept in the history, and with the version that goes.
        to: The number of another version to go back to.

    Raises:
        FctError: there is no such version, it never passed the gate, or the server cannot be used.
    """
    with _registry(load(NameParams).registry) as versions:
        state = versions.state()
        gone = state.champion
        back = state.previous or (None if state.is_proven else state.proven)
        if to is not None:
            back = versions.get(to)
            if back is None:
                raise FctError(f"{versions.name}: there is no version {to}. `fct history` lists those that served.")
        if back is None or back == gone:
            return Rollback(versions.name, gone, None, changed=False)
        if back.tags.get("fct.verdict") != "PASS":
            raise FctError(f"{versions.name}: version {back.number} has no verdict PASS; it cannot become champion.")
        event = Event(now(), "rolled back", back.number, number_of(gone), current_user(), why, "PASS")
        versions.set_champion(event, previous=None)
        return Rollback(versions.name, back, gone, changed=True)


def status() -> tuple[str, State]:
    """Return the registered model's name and who is what."""
    with _registry(load(NameParams).registry) as versions:
        return versions.name, versions.state()


def history() -> tuple[str, list[Event], State]:
    """Return the registered model's name, what happened to its champion, the oldest first, and who is what now."""
    with _registry(load(NameParams).registry) as versions:
        return versions.name, versions.history(), versions.state()


def versions_of_commit(commit: str) -> tuple[str, list[Version]]:
    """Return the registered model's name and the versions that a commit made, the oldest first.

    Args:
        commit: As git knows it: a hash, a branch, HEAD~1.

    Raises:
        FctError: git knows no such commit, or the server cannot be used.
    """
    found = git.run("rev-parse", "--verify", "--quiet", f"{commit}^{{commit}}")
    if found is None:
        raise FctError(f"git knows no commit {commit!r} here. Fetch it, or run the command in its repository.")
    with _registry(load(NameParams).registry) as versions:
        return versions.name, versions.made_by(found.strip())


def verify(which: str, *, full: bool = False) -> tuple[str, Version, Rebuilt]:
    """Make a registered version again from its commit, and say whether it comes out the same.

    Args:
        which: champion, challenger, previous, or a version's number.
        full: Train too.

    Returns:
        The registered model's name, the version, and what came of it.

    Raises:
        FctError: there is no such version, or it cannot be made again.
    """
    with _registry(load(NameParams).registry) as versions:
        version = _named(versions, which)
    return versions.name, version, rebuild(version.tags, full=full)


def fetch(which: str, folder: Path) -> Path:
    """Download a version's ONNX file into `folder`.

    Args:
        which: champion, challenger, previous, or a version's number.
        folder: Where to.

    Raises:
        FctError: there is no such version, or its file is not the one that was registered.
    """
    with _registry(load(NameParams).registry) as versions:
        return versions.file(_named(versions, which), folder)


def attach_to_run(path: Path) -> str:
    """Attach a file to the MLflow run of the pipeline that made model/model.onnx; return where it is to be seen.

    Raises:
        FctError: no run is known to have made it, or the server cannot be used.
    """
    server = connect()
    with translate_errors(server.uri):
        run = _maker(server, sha256(FP32.model))
        if run is None:
            raise FctError(f"no run of {server.uri} made {FP32.model}: it was made untracked, or elsewhere.")
        server.client.log_artifact(run, str(path))
    if not server.uri.startswith("http"):
        return f"{path.name} of the run {run}"
    return f"{server.uri}/#/experiments/{server.experiment}/runs/{run}/artifacts/{path.name}"


@contextmanager
def _registry(params: RegistryParams) -> Iterator[Versions]:
    server = connect()
    with translate_errors(server.uri), locked(REGISTRY_LOCK):  # aliases have no compare-and-set
        versions = Versions(server, params.name)
        versions.finish_interrupted()
        yield versions


def _named(versions: Versions, which: str) -> Version:
    state = versions.state()
    named = {"champion": state.champion, "challenger": state.challenger, "previous": state.previous}
    version = named[which] if which in named else versions.get(which) if which.isdecimal() else None
    if version is None:
        raise FctError(
            f"{versions.name}: there is no {'version ' * which.isdecimal()}{which}. `fct status` says what is "
            "registered; a file's name ends in .onnx."
        )
    return version


def _lines(params: PromoteParams, candidate: Candidate) -> dict[str, list[Any]]:
    """Return the lines that a candidate must pass, by name: direction and threshold."""
    lines = list(params.gate)
    if candidate is INT8:
        of_gate, against_fp32 = int8_lines(lines, params.int8.max_drop)
        lines = [*of_gate, against_fp32]
    return {line.name: [line.direction, line.threshold] for line in lines}


def _compare(
    versions: Versions, champion: Version, split: Split, candidate: Candidate, params: PromoteParams
) -> tuple[Check, ...]:
    """Return the lines of the gate that hold the file here against a registered version, on the gate split."""
    measured = record.read(
        split, model_sha256=sha256(candidate.model), how=params.evaluate, evaluation=candidate.evaluation
    ).answers
    subsampling = json.loads((candidate.evaluation / "meta.json").read_text())["subsampling"]
    with TemporaryDirectory() as folder:
        path = versions.file(champion, Path(folder))
        theirs, ours = open_model(path).class_names, open_model(candidate.model).class_names
        if theirs != ours:
            raise FctError(
                f"version {champion.number} of {versions.name} has the classes {theirs}, {candidate.model} has {ours}: "
                "another task. Give it a name of its own: registry.name in params.yaml."
            )
        how = params.evaluate
        theirs_said = predict(
            path, split, measured.qualities, subsampling, batch_size=how.batch_size, unseen=how.unseen
        )
    return tuple(check_against(params.gate, measured, theirs_said, how))


def _register(versions: Versions, evidence: Evidence, model: Model, split: Split, why: str) -> Version:
    tags = {
        **evidence.tags(),
        "fct.validated": validated(evidence.verdict),
        "fct.who": current_user(),
        "fct.registered": now(),
        "fct.dirty": git.tree().dirty,
        **({"fct.why": why} if why else {}),
    }
    known = Classifier.of(model.session)
    said = card(evidence.verdict, tags, classes=known.classes, qualities=known.qualities)
    run = _maker(versions.server, evidence.sha256)
    return register(versions, model, split, run=run, tags=tags, card=said)


def _maker(server: Server, digest: str) -> str | None:
    """Return the id of the pipeline's run that made the file, or None if it was made untracked or elsewhere."""
    made = pipeline.run_that_made(server, content.output_tag(FP32.model), digest) or pipeline.run_that_made(
        server, content.output_tag(INT8.model), digest
    )
    return made and str(made.data.tags[pipeline.PARENT])
