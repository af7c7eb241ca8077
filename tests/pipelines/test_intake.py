"""What intake says about a new version of the data."""

from pathlib import Path

from fct.data.scan import Problem
from fct.vcs import disk
from pipelines.intake import _as_code, _describe_cost


def test_the_cost_of_a_new_version_is_told_before_it_is_paid(monkeypatch):
    """A few images compress all caches anew; the message has their size, that of all versions, and how to free disk."""
    usage = disk.Usage(Path("shared"), total=2_200_000_000, current=500_000_000, views=433_000_000)
    monkeypatch.setattr(disk, "measure", lambda: usage)
    text = _describe_cost(9)
    assert "all 9 caches anew" in text
    assert "about 433 MB to the 2.2 GB" in text
    assert "dvc gc --workspace" in text


def test_a_name_is_no_markdown():
    """A file whose name is a link or has marks is shown as it is."""
    assert _as_code(Problem("cat/`[x](http://y).png", "damaged")) == "`cat/'[x](http://y).png: damaged`"
