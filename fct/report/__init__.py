"""One self-contained HTML page about a candidate, for those who decide: `fct report`."""

from fct.report.beside import others
from fct.report.page import build

__all__ = ["build", "others"]
