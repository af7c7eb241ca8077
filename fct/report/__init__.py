"""The command `fct report`: one self-contained HTML page about a candidate, for the people who decide on it."""

from fct.report.comparison import models_beside
from fct.report.page import build

__all__ = ["build", "models_beside"]
