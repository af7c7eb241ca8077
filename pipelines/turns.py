"""The locks of a project: one run works at a time, one process serves the deployments."""

from __future__ import annotations

from pathlib import Path

RUNNING = Path(".fct/running.lock")  # held by the flow run at work
SERVING = Path(".fct/serving.lock")  # held by the process that serves the deployments
