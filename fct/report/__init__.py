"""One self-contained HTML page about a candidate, for those who decide: `fct report`."""

from fct.report.comparison import models_beside
from fct.report.page import build

__all__ = ["build", "models_beside"]
