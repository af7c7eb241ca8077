"""Which process is at work, so that a later one can tell whether it still lives."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

CLOCK_STEP = 5.0  # seconds; a process's start time, as the kernel tells it, moves when the clock is set
STAGE = "DVC_STAGE"  # in the environment of a stage's command, not in dvc's own


@dataclass(frozen=True)
class Owner:
    """One process, on one host, in this life of its pid."""

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
        """Return what `read` reads."""
        return {"fct.host": self.host, "fct.pid": str(self.pid), "fct.started": f"{self.started:.2f}"}

    def is_same(self, other: Owner) -> bool:
        """Tell whether both are the same process; pids are used again, start times are not."""
        return (self.host, self.pid) == (other.host, other.pid) and abs(self.started - other.started) < CLOCK_STEP

    def is_gone(self) -> bool:
        """Tell whether the process has ended; False for one that this host cannot see."""
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
    """Return a name for the place where pids mean what they mean here: the host and its pid namespace."""
    namespace = Path("/proc/self/ns/pid")  # containers on one host may share its name, never their pids
    return f"{platform.node()}/{namespace.stat().st_ino}" if namespace.exists() else platform.node()


def pipeline_owner() -> Owner:
    """Return the dvc process that runs this stage, or this process itself outside of DVC.

    DVC sets DVC_STAGE for the command of a stage, and so for the shell that may stand between: the first process above
    that lacks it is dvc.
    """
    import psutil

    for process in psutil.Process().parents() if STAGE in os.environ else []:
        with suppress(psutil.Error):  # it ended, or belongs to somebody else
            if STAGE not in process.environ():
                return Owner.of(process.pid)
    return Owner.of(os.getpid())
