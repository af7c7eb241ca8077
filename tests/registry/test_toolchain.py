"""A version's interpreter and packages are told from those that are here."""

import json
import platform
from importlib.metadata import version

from fct.registry import toolchain
from fct.registry.messages import format_toolchain


def test_the_same_toolchain_has_no_difference():
    """What is installed differs in nothing from itself, and nothing is known of a version without tags."""
    assert toolchain.differences(toolchain.tags()) == toolchain.differences({}) == {}


def test_another_interpreter_and_other_packages_are_named_in_one_line():
    """The line has both versions of each, and `none` for a package that is not installed here."""
    packages = {"numpy": version("numpy"), "torch": "1.0", "no-such-package": "2.0"}
    made_with = {"fct.python": "3.0.1", "fct.packages": json.dumps(packages)}
    assert format_toolchain(toolchain.differences(made_with)) == (
        "  promoted with Python 3.0.1, torch 1.0, no-such-package 2.0; "
        f"rebuilt with Python {platform.python_version()}, torch {version('torch')}, no-such-package none"
    )
