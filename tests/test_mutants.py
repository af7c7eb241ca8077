"""The deliberate faults of tests/mutants are still of today's code."""

import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
sys.path.append(str(REPOSITORY / "tests/mutants"))

from groups import GROUPS  # noqa: E402 - a script's module, on no path before


@pytest.mark.parametrize("group", GROUPS, ids=lambda group: group.module)
def test_each_mutant_changes_one_place(group):
    """Whoever edits a line that a mutant replaces learns of it at once, not from the next `make mutants`."""
    source = (REPOSITORY / f"{group.module.replace('.', '/')}.py").read_text()
    assert [mutant.what for mutant in group.mutants if source.count(mutant.old) != 1] == []


def test_the_tests_of_each_mutant_exist():
    """A renamed test would be run by nobody."""
    named = {
        each
        for group in GROUPS
        for tests in (group.tests, *(mutant.tests for mutant in group.mutants))
        for each in tests
    }
    missing = [each for each in named if not _exists(*each.split("::")[:2])]
    assert missing == []


def _exists(file: str, name: str = "") -> bool:
    path = REPOSITORY / file
    return path.is_file() and f"def {name.partition('[')[0]}" in path.read_text()
