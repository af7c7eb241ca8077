"""The proof a file needs before it is registered: it is the file that passed the gate, and a commit can rebuild it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fct.cache.store import cache_folder
from fct.core.errors import FailedModelError, FctError
from fct.core.files import md5, sha256
from fct.core.paths import CACHE, CACHE_INDEX, DVC_LOCK, Candidate
from fct.registry.limits import WHO
from fct.registry.versions import Version
from fct.vcs import git, inputs
from fct.vcs.dvc_lock import checksums

VS_CHAMPION = "_vs_champion"  # suffix of the lines that promotion judges


@dataclass(frozen=True)
class Evidence:
    """A file that passed the gate, and the commit that names it."""

    precision: str  # fp32 | int8
    sha256: str
    verdict: dict[str, Any]
    commit: str
    data: dict[str, str]  # DVC's checksums of data/..., by path
    lines: dict[str, list[Any]]  # of the gate: name -> direction and threshold
    conditions: dict[str, Any]  # of the measurement: `EvaluateParams.conditions`
    is_dirty: bool = False  # whether the commit lacks an input of the stages

    def tags(self) -> dict[str, str]:
        """Return the tags of the registered version."""
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
        """Return the new tags of `version`, which has the same file: none if it already carries this proof."""
        tags = self.tags()
        compared = ("fct.gate", "fct.yardstick", "fct.checks", "fct.gate_digest")
        return tags if any(version.tags.get(key) != tags[key] for key in compared) else {}


def gather_evidence(
    candidate: Candidate,
    lines: Mapping[str, Sequence[Any]],
    conditions: Mapping[str, Any],
    *,
    commit: bool,
    dirty: bool,
) -> Evidence:
    """Return the proof that a candidate may be promoted.

    Args:
        candidate: The paths of the file and of its verdict.
        lines: The lines of the gate by name: direction and threshold.
        conditions: `EvaluateParams.conditions` of params.yaml.
        dirty: Allow inputs of the pipeline whose present content is in neither git nor DVC.
        commit: Commit dvc.lock, metrics, plots and .dvc files first if the last commit lacks them.

    Raises:
        FctError: the file did not pass, the verdict is about another file or another gate, the commit does not name the
            file, or the commit does not hold everything that made the file.
    """
    for path in (candidate.model, candidate.verdict, DVC_LOCK):
        if not path.is_file():
            raise FctError(f"{path} is not here. Make it with `dvc repro`, or get it with `dvc pull`.")
    digest, verdict = sha256(candidate.model), _read_verdict(candidate)
    if verdict["model_sha256"] != digest:
        raise FctError(
            f"{candidate.verdict}: the verdict is about another file than {candidate.model} "
            f"(sha256 {verdict['model_sha256'][:12]}..., not {digest[:12]}...). Run `dvc repro {candidate.stage}`."
        )
    failed = [_format_check(check) for check in verdict["checks"] if not check["passed"]]
    if verdict["verdict"] != "PASS" or failed:
        heading = f"{candidate.verdict}: the verdict is {verdict['verdict']}; nothing is registered."
        raise FailedModelError("\n".join([heading, *failed]))
    judged = {check["name"]: [check["direction"], check["threshold"]] for check in verdict["checks"]}
    if missing := [name for name in lines if name not in judged and not name.endswith(VS_CHAMPION)]:
        raise FctError(
            f"{candidate.verdict}: {missing[0]} was not judged, but params.yaml asks for {_bound(lines[missing[0]])}. "
            f"Run `dvc repro {candidate.stage}`."
        )
    if changed := [name for name in judged if list(lines.get(name, ())) != judged[name]]:
        raise FctError(
            f"{candidate.verdict}: {changed[0]} was judged by {_bound(judged[changed[0]])}, but params.yaml says "
            f"{_bound(lines.get(changed[0]))}. Run `dvc repro {candidate.stage}`."
        )
    for key, value in conditions.items():
        if verdict.get(key) != value:
            raise FctError(
                f"{candidate.verdict}: it was judged with evaluate.{key} {verdict.get(key)}, but params.yaml says "
                f"{value}. Run `dvc repro {candidate.stage}`."
            )
    lock = DVC_LOCK.read_text()
    problems = inputs.problems(lock)
    refused = [problem for problem in problems if not (commit and inputs.is_uncommitted_dvc_file(problem))]
    if refused and not dirty:
        more = f" {len(refused) - 1:,} more inputs of the pipeline have problems." if len(refused) > 1 else ""
        raise FctError(
            f"{refused[0]} Otherwise nobody could rebuild the model.{more} --allow-dirty promotes it as it is."
        )
    locked = checksums(lock, str(DVC_LOCK))
    commit_id = _find_commit(candidate, locked, commit=commit, is_due=len(refused) < len(problems))
    return Evidence(
        precision=candidate.precision,
        sha256=digest,
        verdict=verdict,
        commit=commit_id,
        data=_data_checksums(locked),
        lines={name: list(line) for name, line in lines.items()},
        conditions=dict(conditions),
        is_dirty=bool(refused),
    )


def refuse_weaker(champion: Version, evidence: Evidence) -> None:
    """Refuse a gate that is weaker than the one that the champion passed.

    Lines that only an 8-bit file or only a 32-bit file can have do not count if the two files differ in precision.

    Raises:
        FctError: a check is missing, its threshold is looser, the confidence is lower, or views are no longer
            measured. The message names every such point.
    """
    lines, passed = evidence.lines, json.loads(champion.tags.get("fct.gate", "{}"))
    if champion.tags.get("fct.precision", evidence.precision) != evidence.precision:
        passed = {
            name: line
            for name, line in passed.items()
            if name != "parity" and not name.endswith(("_vs_fp32", "_over_trainings"))
        }
    weaker = []
    for name, (direction, threshold) in passed.items():
        now = lines.get(name)
        if (
            now is None
            or now[0] != direction
            or (now[1] < threshold if direction == "at least" else now[1] > threshold)
        ):
            weaker.append(f"  {name}: {_bound([direction, threshold])} then, {_bound(now)} now")
    then, here = json.loads(champion.tags.get("fct.yardstick", "{}")), evidence.conditions
    if then and here["confidence"] < then["confidence"]:
        weaker.append(f"  evaluate.confidence: {then['confidence']} then, {here['confidence']} now")
    weaker += [
        f"  evaluate.{key}: {value} then, not now"
        for key in ("qualities", "unseen")
        for value in then.get(key, [])
        if value not in here[key]
    ]
    if weaker:
        raise FctError(
            f"params.yaml: the gate is weaker than the one that the champion, version {champion.number}, passed:\n"
            + "\n".join(weaker)
            + "\nRestore these values, or promote with --allow-weaker-gate and a reason (--why)."
        )


def _bound(line: Sequence[Any] | None) -> str:
    return "nothing" if line is None else f"{line[0]} {line[1]:.4g}"


def _data_checksums(locked: Mapping[str, str]) -> dict[str, str]:
    """Return the checksums of the data. DVC's lock keeps caches of removed qualities too: they are left out."""
    index = CACHE_INDEX
    if not index.is_file():
        return {path: checksum for path, checksum in locked.items() if path.startswith("data/")}
    used = {cache_folder(quality).as_posix() for quality in json.loads(index.read_text())["qualities"]}
    unused = {path for path in locked if path.startswith(f"{CACHE.as_posix()}/q")} - used
    return {path: checksum for path, checksum in locked.items() if path.startswith("data/") and path not in unused}


def current_user() -> str:
    """Return the name and address that git has for the user, or else the login name."""
    name = (git.run("config", "user.name") or "").strip()
    email = (git.run("config", "user.email") or "").strip()
    if name or email:
        return (f"{name} <{email}>" if email else name)[:WHO]
    return git.user()


def _read_verdict(candidate: Candidate) -> dict[str, Any]:
    try:
        verdict: dict[str, Any] = json.loads(candidate.verdict.read_text())
        _ = verdict["verdict"], verdict["model_sha256"][:1], verdict["split"]["digest"]
        for check in verdict["checks"]:
            _ = check["passed"], check["value"], _format_check(check)
    except (ValueError, KeyError, TypeError) as error:
        raise FctError(
            f"{candidate.verdict} is damaged ({type(error).__name__}: {error}). Run `dvc repro {candidate.stage}`."
        ) from None
    return verdict


def _format_check(check: Mapping[str, Any]) -> str:
    interval = f"{check['low']:.4g} to {check['high']:.4g}"
    return (
        f"  {check['name']}: {check['value']:.4g} ({interval}), must be {check['direction']} {check['threshold']:.4g}"
    )


def _find_commit(candidate: Candidate, locked: Mapping[str, str], *, commit: bool, is_due: bool) -> str:
    """Return the commit whose dvc.lock names the model and the verdict in the working copy.

    With `commit`, commit what the pipeline wrote first if the last commit does not name them, or if `is_due`.

    Raises:
        FctError: dvc.lock, in the working copy or in the commit, names other files.
    """
    for path in (candidate.model, candidate.verdict):
        if locked.get(path.as_posix()) != md5(path):
            raise FctError(
                f"{DVC_LOCK} does not name {path} as it is now. Run `dvc repro`, or `dvc checkout` to restore the file."
            )
    head, unnamed = _unnamed(candidate, locked)
    if commit and (unnamed or is_due):
        git.commit_outs("Reproduce the pipeline\n\ndvc.lock names the model that is promoted.")
        head, unnamed = _unnamed(candidate, locked)
    if unnamed:
        raise FctError(
            f"{DVC_LOCK} in the commit {head[:10]} does not name {unnamed[0]} as it is now, so nobody could "
            f"rebuild it. Commit it with `git add {DVC_LOCK} && git commit` or `fct promote --commit`."
        )
    return head


def _unnamed(candidate: Candidate, locked: Mapping[str, str]) -> tuple[str, list[str]]:
    """Return the last commit, and the files (model, verdict) that its dvc.lock does not name."""
    head = git.run("rev-parse", "HEAD")
    if head is None:
        raise FctError("There is no git commit here. A promotion needs the commit that made the model. Commit first.")
    head = head.strip()
    named = checksums(git.run("show", f"HEAD:./{DVC_LOCK}") or "", f"{DVC_LOCK} in {head[:10]}")
    paths = [path.as_posix() for path in (candidate.model, candidate.verdict)]
    return head, [path for path in paths if named.get(path) != locked[path]]
