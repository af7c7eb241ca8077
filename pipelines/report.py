"""The artifacts of a finished run in Prefect's UI. Each has a key; Prefect keeps its history under it."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from prefect import State
from prefect.artifacts import (
    create_image_artifact,
    create_link_artifact,
    create_markdown_artifact,
    create_table_artifact,
)

from fct.core.paths import ACCURACY_PNG, DVC_LOCK, VERDICT
from fct.registry import status
from fct.registry.messages import format_status
from fct.tracking.pipeline import runs_named
from fct.tracking.server import connect, translate_errors
from fct.vcs.dvc_lock import checksums
from pipelines.clone import Clone
from pipelines.stage import CACHED

METRICS = Path("metrics")

Numbers = Mapping[str, float]


def numbers() -> dict[str, float]:
    """Return every number of the metrics files as `file.key`, and each check's value as `gate.name`."""
    values = {f"gate.{check['name']}": check["value"] for check in verdict().get("checks", ())}
    for path in sorted(METRICS.glob("*.json")):
        if path != VERDICT:
            values |= {f"{path.stem}.{key}": value for key, value in _leaves(json.loads(path.read_text()))}
    return values


def show_stages(states: Mapping[str, State[float]]) -> None:
    """Show the outcome of each stage and how long it took."""
    rows = [{"stage": stage, "outcome": _outcome(state), "seconds": _seconds(state)} for stage, state in states.items()]
    create_table_artifact(rows, key="stages", description="What each stage did: ran, or was up to date (cached).")


def show_verdict(verdict: Mapping[str, Any]) -> None:
    """Show the verdict with every check."""
    lines = [
        f"# {verdict['verdict']}",
        f"On {verdict['split']['images']:,} images of the gate split; model `{verdict['model_sha256'][:12]}`.",
        "",
        f"| check | value | {verdict['confidence']:.0%} interval | needed | |",
        "|---|---|---|---|---|",
    ]
    for check in verdict["checks"]:
        interval = "" if check["low"] == check["high"] else f"{check['low']:.4f} to {check['high']:.4f}"
        needed = f"{check['direction']} {check['threshold']:.4g}"
        word = "passed" if check["passed"] else "**failed**"
        lines.append(f"| {check['name']} | {check['value']:.4g} | {interval} | {needed} | {word} |")
    create_markdown_artifact("\n".join(lines), key="verdict", description="The gate's verdict and its checks.")


def show_registry() -> None:
    """Show which versions are champion, challenger and previous."""
    text = f"```\n{format_status(*status())}\n```"
    create_markdown_artifact(text, key="registry", description="The champion, challenger and previous version.")


def show_branch(clone: Clone) -> None:
    """Show where the results of a run with overrides are, and how to use them."""
    lines = [f"Results are on the branch `{clone.branch}`, from the commit `{clone.commit[:10]}`.", ""]
    lines += [f"- look: `git diff {clone.commit[:10]} {clone.branch} -- params.yaml metrics`"]
    lines += [f"- take over: `git merge {clone.branch} && dvc checkout`", f"- forget: `git branch -D {clone.branch}`"]
    if clone.left_out:
        lines += ["", f"Not included, since they are not committed: {', '.join(clone.left_out)}"]
    create_markdown_artifact("\n".join(lines), key="branch", description="The results of a run with other params.")


def show_curve() -> None:
    """Show accuracy against JPEG quality."""
    if ACCURACY_PNG.exists():
        picture = base64.b64encode(ACCURACY_PNG.read_bytes()).decode()
        create_image_artifact(
            f"data:image/png;base64,{picture}", key="accuracy-by-quality", description="Accuracy by JPEG quality."
        )


def show_page(location: str, page: Path) -> None:
    """Link to the report: in MLflow if a server shows it, or else to the file."""
    link = location if location.startswith("http") else page.resolve().as_uri()
    create_link_artifact(link, link_text="the report", key="report", description="The model on one page.")


def show_changes(before: Numbers, now: Numbers) -> None:
    """Show each number beside those of the last run and of the champion."""
    champion = _champion()
    rows = [
        {
            "metric": name,
            "this run": f"{value:.4g}",
            "last run": _format_change(before.get(name), value),
            "champion": _format_change(champion.get(name), value),
        }
        for name, value in now.items()
        if not name.endswith((".low", ".high"))  # bounds of intervals
    ]
    create_table_artifact(
        rows, key="metrics", description="Metrics, and how they differ from the last run's and the champion's."
    )


def show_links(pipeline: str) -> None:
    """Show the run in MLflow and DVC's checksums."""
    server = connect()
    if server.uri.startswith("http"):
        with translate_errors(server.uri):
            runs = runs_named(server, pipeline)
        for run in runs:
            link = f"{server.uri}/#/experiments/{server.experiment}/runs/{run.info.run_id}"
            create_link_artifact(
                link, link_text="the run in MLflow", key="mlflow", description="Curves, params, plots."
            )
    rows = [{"path": path, "md5": md5} for path, md5 in checksums(DVC_LOCK.read_text(), str(DVC_LOCK)).items()]
    create_table_artifact(rows, key="dvc", description="DVC's checksum of every out.")


def verdict() -> dict[str, Any]:
    """Return the gate's verdict, or an empty dictionary if there is none yet."""
    content: dict[str, Any] = json.loads(VERDICT.read_text()) if VERDICT.exists() else {}
    return content


def _champion() -> dict[str, float]:
    """Return the champion's values on the gate split when it was promoted."""
    champion = status()[1].champion
    values = json.loads(champion.tags.get("fct.checks", "{}")) if champion else {}
    return {f"gate.{name}": value for name, value in values.items()}


def _outcome(state: State[float]) -> str:
    if state.is_completed():
        return "cached" if state.name == CACHED else "ran"
    return "failed" if state.is_failed() else "not started"  # since a stage that it needs failed


def _seconds(state: State[float]) -> str:
    result = state.result(raise_on_failure=False) if state.is_final() else None
    return f"{result:.1f}" if isinstance(result, float) else ""


def _leaves(tree: Any, prefix: str = "") -> Iterator[tuple[str, float]]:
    if isinstance(tree, Mapping):
        for key, value in tree.items():
            yield from _leaves(value, f"{prefix}.{key}" if prefix else str(key))
    elif isinstance(tree, int | float):
        yield prefix, float(tree)


def _format_change(before: float | None, now: float) -> str:
    return "" if before is None else f"{before:.4g} ({now - before:+.2g})"
