"""Workers are placed on GPUs and cores, and told apart by how they ended."""

import pytest

from fct.core.errors import FctError
from fct.search.launch import assign_gpus, check_database, is_worth_another


def gpus_of(places):
    return [place["CUDA_VISIBLE_DEVICES"] for place in places]


@pytest.mark.parametrize(
    ("workers", "share", "expected"),
    [
        (2, 1, ["0", "5"]),
        (1, 0.5, ["0"]),
        (4, 0.5, ["0", "0", "5", "5"]),
        (3, 0, ["", "", ""]),
        (6, 1 / 3, list("000555")),
    ],
)
def test_each_worker_sees_its_gpu(workers, share, expected):
    """As many share one as `compute.gpus_per_trial` allows; 0 hides all."""
    assert gpus_of(assign_gpus(workers, share, ["0", "5"])) == expected


def test_a_host_without_gpus_needs_none():
    """Trainings then run on its cores."""
    assert assign_gpus(2, 1, []) == [{}, {}]


def test_too_few_gpus_are_an_error():
    """It says how many workers there may be."""
    with pytest.raises(FctError, match=r"3 workers with compute\.gpus_per_trial: 1 .* at most 2 workers"):
        assign_gpus(3, 1, ["0", "1"])


def test_many_workers_without_a_database_are_an_error(monkeypatch):
    """One needs none."""
    monkeypatch.delenv("FCT_DATABASE_URL", raising=False)
    check_database(1)
    with pytest.raises(FctError, match="2 workers need a PostgreSQL database"):
        check_database(2)


@pytest.mark.parametrize(("status", "expected"), [(0, False), (2, False), (75, True), (-9, True), (143, True)])
def test_a_signal_is_told_from_an_error(status, expected):
    """A worker that was killed, or lost a server, is started again; an error would come again."""
    assert is_worth_another(status) == expected
