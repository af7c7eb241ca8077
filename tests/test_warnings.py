"""Warnings are errors in this suite, except those that packages silence while they are imported."""

import subprocess
import sys
from textwrap import dedent


def test_mlflow_can_be_imported_while_other_threads_restore_the_filters(pytestconfig):
    """A thread that leaves `catch_warnings` undoes what MLflow and what it imports have silenced just then."""
    code = f"""
        import warnings
        from _pytest.config import apply_warning_filters
        apply_warning_filters({pytestconfig.getini("filterwarnings")!r}, [])
        warnings.simplefilter = warnings.filterwarnings = lambda *_, **__: None
        import pipelines.flows, mlflow
    """
    ended = subprocess.run([sys.executable, "-c", dedent(code)], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
