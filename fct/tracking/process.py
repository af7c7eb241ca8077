"""Identifies the process that works in a run, so that a later process can see whether it still lives."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

CLOCK_STEP = 5.0  # seconds; the kernel's start time of a process moves when the clock is set
STAGE = "DVC_STAGE"  # in the environment of a stage's command, not in dvc's own


@dataclass(frozen=True)
class Owner:
    """One process on one host: its pid and its start time."""

    host: str
    pid: int
    started: float  # seconds since the epoch

    @classmethod
    def of(cls, pid: int) -> Owner:
        """Return the process with this pid on this host."""
        import psutil

        return cls(host(), pid, psutil.Process(pid).create_time())

    @classmethod
    def read(cls, tags: Mapping[str, str]) -> Owner | None:
        """Return the process that `tags` name, or None if they name none."""
        try:
            return cls(tags["fct.host"], int(tags["fct.pid"]), float(tags["fct.started"]))
        except (KeyError, ValueError):
            return None

    def tags(self) -> dict[str, str]:
        """Return the tags that `read` reads."""
        return {"fct.host": self.host, "fct.pid": str(self.pid), "fct.started": f"{self.started:.2f}"}

    def is_same(self, other: Owner) -> bool:
        """Return whether both are the same process. Pids are reused, start times are not."""
        return (self.host, self.pid) == (other.host, other.pid) and abs(self.started - other.started) < CLOCK_STEP

    def is_gone(self) -> bool:
        """Return whether the process has ended. For a process of another host, return False."""
        import psutil

        if self.host != host():
            return False
        try:
            return not self.is_same(Owner.of(self.pid))
        except psutil.NoSuchProcess:
            return True
        except psutil.AccessDenied:
            return False


@cache
def host() -> str:
    """Return a name for the host and its namespace of pids."""
    namespace = Path("/proc/self/ns/pid")  # containers on one host may share its name, but not their pids
    return f"{platform.node()}/{namespace.stat().st_ino}" if namespace.exists() else platform.node()


def pipeline_owner() -> Owner:
    """Return the dvc process that runs this stage, or this process itself outside of DVC.

    DVC sets DVC_STAGE for the command of a stage, and for a shell in between. The first ancestor without it is dvc.
    """
    import psutil

    for process in psutil.Process().parents() if STAGE in os.environ else []:
        with suppress(psutil.Error):  # the process ended, or belongs to another user
            if STAGE not in process.environ():
                return Owner.of(process.pid)
    return Owner.of(os.getpid())
