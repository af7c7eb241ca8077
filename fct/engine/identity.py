"""What decides the results of a task beside its arguments: this package's code, and the packages that it calls."""

from __future__ import annotations

import platform
from importlib.metadata import version
from pathlib import Path

from fct.core.files import digest

PACKAGES = ("numba", "numpy", "pillow")
ROOT = Path(__file__).parents[1]


def code_identity() -> dict[str, str]:
    """Return the versions of Python and of the packages, and a digest of this package's code, by name."""
    code = {str(path.relative_to(ROOT)): path.read_text() for path in sorted(ROOT.rglob("*.py"))}
    return {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}, "fct": digest(code)}
