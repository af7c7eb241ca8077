"""What was measured on one machine is extrapolated in proportion, and the page has the tables of the results."""

import json
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from benchmarks import dvc_status, growth
from fct.core.document import parse, to_plain
from fct.core.errors import FctError

MEASURED = growth.Measured(
    cpu_of_image=0.072, read=1e8, status=3.0, transactions_of_trial=30.0, transactions_of_worker=0.05, trials=20.0
)
TASK = growth.Task(
    images=1_000_000,
    file=1e5,
    pixels=100,
    qualities=2,
    shard=30_000_000,
    epochs=36,
    pairs=1000.0,
    cores=10,
    trial=600.0,
)


def test_what_a_machine_needs_is_computed_from_the_measurements():
    """Two qualities of a million images of 30 kB."""
    found = growth.extrapolate(MEASURED, 10, TASK)
    assert found["GB of caches"] == pytest.approx(60)
    assert found["GB of everything"] == pytest.approx(60 + 30 + 200)
    assert found["files of caches"] == 2000
    assert found["hours to build caches"] == pytest.approx(0.2)
    assert found["hours of hashing"] == pytest.approx(600 / 3600)
    assert found["hours of training"] == pytest.approx(1.0)
    assert found["GB/s of reading"] == pytest.approx(0.6)
    assert found["transactions/s"] == pytest.approx(1.0)
    assert found["share of the search's limit"] == pytest.approx(1 / 1200)


def test_more_gpus_share_the_work_and_not_the_disk():
    """Times of work fall, rates grow, and what one host does stays."""
    few, many = (growth.extrapolate(MEASURED, gpus, TASK) for gpus in (8, 64))
    factors = {name: many[name] / few[name] for name in few}
    assert factors.pop("hours to build caches") == factors.pop("hours of training") == pytest.approx(1 / 8)
    for name in ("GB/s of reading", "transactions/s", "share of the search's limit"):
        assert factors.pop(name) == pytest.approx(8)
    assert set(factors.values()) == {1}


def test_the_task_has_the_keys_of_params_yaml():
    """And `dvc status` was measured with as many files."""
    cache = to_plain(parse(growth.HERE.parent / "params.yaml"), "params.yaml")["cache"]
    assert len(cache["qualities"]) == growth.IMAGENET.qualities
    assert cache["shard"] << 20 == growth.IMAGENET.shard
    *_, most = dvc_status.CASES.values()
    assert most.qualities * most.shards == growth.IMAGENET.shards


def test_shards_are_as_large_as_real_ones():
    """The cases have the sizes of their names."""
    sizes = [dvc_status.CASES[name].bytes / 1e9 for name in ("1 GB", "10 GB")]
    assert sizes == pytest.approx([1, 10], rel=0.1)


def test_too_small_a_disk_is_an_error_before_anything_is_written(monkeypatch):
    """It says how much is needed, and where else it may be."""
    monkeypatch.setattr(dvc_status.shutil, "disk_usage", lambda _: SimpleNamespace(free=10e9))
    with pytest.raises(FctError, match=r"has 10 GB free, 24 GB are needed\. Set TMPDIR"):
        dvc_status.measure(dvc_status.CASES["10 GB"])


def test_results_that_are_missing_are_named_with_their_command(tmp_path, monkeypatch):
    """In one sentence, without a traceback."""
    monkeypatch.setattr(growth, "RESULTS", tmp_path / "growth.json")
    result = CliRunner().invoke(growth.main, ["--tables"])
    assert result.exit_code == 2
    assert result.stderr == "error: growth.json is not there. Run `python -m benchmarks.growth`.\n"
    (tmp_path / "growth.json").write_text(json.dumps({"status": {}}))
    for name in ("engine", "search_workers"):
        (tmp_path / f"{name}.json").write_text("{}")
    with pytest.raises(FctError, match=r"has no flow\. Run `python -m benchmarks.growth --only flow`"):
        growth.tables()


def test_the_page_has_the_tables_of_the_results():
    """`python -m benchmarks.growth --tables` writes them."""
    page = growth.PAGE.read_text()
    for name, block in growth.tables().items():
        begin, end = (mark.format(name) for mark in growth.MARKS)
        assert block.strip() == page[page.index(begin) + len(begin) : page.index(end)].strip()
