"""What must hold before a file may be registered: it is the one that passed, and a commit says how it was made."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fct.cache.store import cache_folder
from fct.core.errors import FctError
from fct.core.files import md5, sha256
from fct.core.paths import CACHE, DVC_LOCK, Candidate
from fct.registry.versions import Version
from fct.vcs import git
from fct.vcs.dvc_lock import checksums

VS_CHAMPION = "_vs_champion"  # the end of the names of lines that promotion itself looks at
UNSAID = ("params.yaml", "dvc.yaml")  # beside the code, what makes the model and must be committed


@dataclass(frozen=True)
class Evidence:
    """A file that passed the gate, and the commit that names it."""

    precision: str  # fp32 | int8
    sha256: str
    verdict: dict[str, Any]
    commit: str
    data: dict[str, str]  # DVC's checksums of data/..., by path
    lines: dict[str, list[Any]]  # of the gate: name -> direction and threshold
    conditions: dict[str, Any]  # by which they were judged: confidence, qualities, unseen distortions

    def tags(self) -> dict[str, str]:
        """Return what the registered version says about itself."""
        split = self.verdict["split"]
        checks = {check["name"]: check["value"] for check in self.verdict["checks"]}
        return {
            "fct.precision": self.precision,
            "fct.sha256": self.sha256,
            "fct.verdict": self.verdict["verdict"],
            "fct.checks": json.dumps(checks),
            "fct.gate": json.dumps(self.lines),
            "fct.yardstick": json.dumps(self.conditions),
            "fct.commit": self.commit,
            "fct.gate_digest": str(split["digest"]),
            "fct.data": json.dumps(self.data, sort_keys=True),
        }

    def changed_tags(self, version: Version) -> dict[str, str]:
        """Return what `version`, of the same file, is to say of itself from now on: nothing where its proof is this."""
        said = self.tags()
        told = ("fct.gate", "fct.yardstick", "fct.checks", "fct.gate_digest")
        return said if any(version.tags.get(key) != said[key] for key in told) else {}


def gather_evidence(
    candidate: Candidate,
    lines: Mapping[str, Sequence[Any]],
    conditions: Mapping[str, Any],
    *,
    commit: bool,
    dirty: bool,
) -> Evidence:
    """Return the proof that the file here may be promoted.

    Args:
        candidate: The file, and where its verdict is.
        lines: The gate's, by name: direction and threshold.
        conditions: What they mean by params.yaml: confidence, qualities, unseen distortions.
        dirty: Allow code and params that are not committed.
        commit: Commit dvc.lock, metrics and plots first if the last commit does not name this file.

    Raises:
        FctError: it did not pass, the verdict is of another file or another gate, the commit does not name this
            file, or what made it is not committed.
    """
    for path in (candidate.model, candidate.verdict, DVC_LOCK):
        if not path.is_file():
            raise FctError(f"{path} is not here. Make it with `dvc repro`, or get it with `dvc pull`.")
    found, verdict = sha256(candidate.model), _verdict(candidate)
    if verdict["model_sha256"] != found:
        raise FctError(
            f"{candidate.verdict}: the verdict is of another file than {candidate.model} "
            f"(sha256 {verdict['model_sha256'][:12]}..., not {found[:12]}...). Run `dvc repro {candidate.stage}`."
        )
    failed = [_said(check) for check in verdict["checks"] if not check["passed"]]
    if verdict["verdict"] != "PASS" or failed:
        said = f"{candidate.verdict}: the verdict is {verdict['verdict']}; nothing is registered."
        raise FctError("\n".join([said, *failed]))
    judged = {check["name"]: [check["direction"], check["threshold"]] for check in verdict["checks"]}
    if missing := [name for name in lines if name not in judged and not name.endswith(VS_CHAMPION)]:
        raise FctError(
            f"{candidate.verdict}: {missing[0]} was not judged, and params.yaml asks for {_bound(lines[missing[0]])}. "
            f"Run `dvc repro {candidate.stage}`."
        )
    if changed := [name for name in judged if list(lines.get(name, ())) != judged[name]]:
        raise FctError(
            f"{candidate.verdict}: {changed[0]} was judged by {_bound(judged[changed[0]])}, params.yaml says "
            f"{_bound(lines.get(changed[0]))}. Run `dvc repro {candidate.stage}`."
        )
    for key, value in conditions.items():
        if verdict.get(key) != value:
            raise FctError(
                f"{candidate.verdict}: it was judged with evaluate.{key} {verdict.get(key)}, params.yaml says {value}. "
                f"Run `dvc repro {candidate.stage}`."
            )
    unsaid = [path for path in git.tree().changed if path in UNSAID or path.startswith("fct/")]
    if unsaid and not dirty:
        raise FctError(
            f"{unsaid[0]} is not committed: nobody could make the model again. Commit it, or promote with "
            "--allow-dirty."
        )
    here = checksums(DVC_LOCK.read_text(), str(DVC_LOCK))
    made_by = _committed(candidate, here, commit=commit)
    return Evidence(
        precision=candidate.precision,
        sha256=found,
        verdict=verdict,
        commit=made_by,
        data=_data(here),
        lines={name: list(line) for name, line in lines.items()},
        conditions=dict(conditions),
    )


def refuse_weaker(champion: Version, evidence: Evidence) -> None:
    """Refuse a gate that asks for less than the one that the champion passed.

    Between a file of 8 bits and one of 32, lines that only one of them can have are left out of it.

    Raises:
        FctError: a check is missing, or its threshold is looser, or its intervals promise less, or views are left out
            that were measured; it names all of them.
    """
    lines, asked = evidence.lines, json.loads(champion.tags.get("fct.gate", "{}"))
    if champion.tags.get("fct.precision", evidence.precision) != evidence.precision:
        asked = {name: line for name, line in asked.items() if name != "parity" and not name.endswith("_vs_fp32")}
    weaker = []
    for name, (direction, threshold) in asked.items():
        now = lines.get(name)
        if now is None or (now[1] < threshold if direction == "at least" else now[1] > threshold):
            weaker.append(f"  {name}: {_bound([direction, threshold])} then, {_bound(now)} now")
    then, here = json.loads(champion.tags.get("fct.yardstick", "{}")), evidence.conditions
    if then and here["confidence"] < then["confidence"]:
        weaker.append(f"  evaluate.confidence: {then['confidence']} then, {here['confidence']} now")
    weaker += [
        f"  evaluate.{key}: {each} then, not now"
        for key in ("qualities", "unseen")
        for each in then.get(key, [])
        if each not in here[key]
    ]
    if weaker:
        raise FctError(
            f"params.yaml: gate asks for less than it asked of the champion, version {champion.number}:\n"
            + "\n".join(weaker)
            + "\nPut it back, or promote with --allow-weaker-gate, and say --why."
        )


def _bound(line: Sequence[Any] | None) -> str:
    return "nothing" if line is None else f"{line[0]} {line[1]:.4g}"


def _data(here: Mapping[str, str]) -> dict[str, str]:
    """Return the checksums of the data, without caches of removed qualities, which DVC keeps in its lock."""
    index = CACHE / "index.json"
    if not index.is_file():
        return {path: each for path, each in here.items() if path.startswith("data/")}
    named = {cache_folder(quality).as_posix() for quality in json.loads(index.read_text())["qualities"]}
    unread = {path for path in here if path.startswith(f"{CACHE.as_posix()}/q")} - named
    return {path: each for path, each in here.items() if path.startswith("data/") and path not in unread}


def current_user() -> str:
    """Return who is at work, as git or else the system knows them."""
    name = (git.run("config", "user.name") or "").strip()
    email = (git.run("config", "user.email") or "").strip()
    if name or email:
        return f"{name} <{email}>" if email else name
    return git.user()


def _verdict(candidate: Candidate) -> dict[str, Any]:
    try:
        verdict: dict[str, Any] = json.loads(candidate.verdict.read_text())
        _ = verdict["verdict"], verdict["model_sha256"][:1], verdict["split"]["digest"]
        for check in verdict["checks"]:
            _ = check["passed"], check["value"], _said(check)
    except (ValueError, KeyError, TypeError) as error:
        raise FctError(
            f"{candidate.verdict} is damaged ({type(error).__name__}: {error}). Run `dvc repro {candidate.stage}`."
        ) from None
    return verdict


def _said(check: Mapping[str, Any]) -> str:
    interval = f"{check['low']:.4g} to {check['high']:.4g}"
    return (
        f"  {check['name']}: {check['value']:.4g} ({interval}), must be {check['direction']} {check['threshold']:.4g}"
    )


def _committed(candidate: Candidate, here: Mapping[str, str], *, commit: bool) -> str:
    """Return the commit whose dvc.lock names the files that are here.

    Raises:
        FctError: dvc.lock, here or in the commit, names others.
    """
    for path in (candidate.model, candidate.verdict):
        if here.get(path.as_posix()) != md5(path):
            raise FctError(
                f"{DVC_LOCK} does not name {path} as it is here. Run `dvc repro`, or `dvc checkout` to get it back."
            )
    head, unnamed = _unnamed(candidate, here)
    if unnamed and commit:
        git.commit_outs("Reproduce the pipeline\n\ndvc.lock names the model that is promoted.")
        head, unnamed = _unnamed(candidate, here)
    if unnamed:
        raise FctError(
            f"{DVC_LOCK} in the commit {head[:10]} does not name {unnamed[0]} as it is here: nobody could make it "
            f"again. Commit what made it, with `git add {DVC_LOCK} && git commit` or `fct promote --commit`."
        )
    return head


def _unnamed(candidate: Candidate, here: Mapping[str, str]) -> tuple[str, list[str]]:
    """Return the last commit, and which of the model and its verdict the dvc.lock in it does not name."""
    head = git.run("rev-parse", "HEAD")
    if head is None:
        raise FctError("this is not a git repository with a commit. A model is promoted from the commit that made it.")
    head = head.strip()
    named = checksums(git.run("show", f"HEAD:./{DVC_LOCK}") or "", f"{DVC_LOCK} in {head[:10]}")
    paths = [path.as_posix() for path in (candidate.model, candidate.verdict)]
    return head, [path for path in paths if named.get(path) != here[path]]
