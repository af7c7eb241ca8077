"""Compiled functions are cached, and work without a cache."""

import subprocess
import sys
import textwrap

import numba
import pytest

from fct.jpeg.compiled import compiled


def test_without_a_cache_folder_functions_are_compiled(monkeypatch):
    """If numba cannot write its cache, the function is compiled without it."""
    real = numba.njit

    def refusing(*arguments, cache=False, **options):
        if cache:
            raise RuntimeError("cannot cache function 'add': no locator available")
        return real(*arguments, **options)

    monkeypatch.setattr(numba, "njit", refusing)

    @compiled
    def add(a, b):
        return a + b

    assert add(2, 3) == 5


@pytest.mark.timeout(120)
def test_another_process_loads_the_compiled_function(tmp_path):
    """A function that one process compiled is loaded by the next."""
    (tmp_path / "work.py").write_text(
        textwrap.dedent("""
            from fct.jpeg.compiled import compiled

            @compiled
            def double(x):
                return 2 * x

            double(4)
            print(sum(double.stats.cache_hits.values()))
        """)
    )
    ran = [
        subprocess.run([sys.executable, "work.py"], cwd=tmp_path, capture_output=True, text=True, check=True).stdout
        for _ in range(2)
    ]
    assert ran == ["0\n", "1\n"]
