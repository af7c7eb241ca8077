"""The reason of a failed stage, and whether it is tried again."""

import pytest

from pipelines.process import Commands, Ended
from pipelines.stage import _reason, is_temporary, lost_outs, stage_task

FAILED = "ERROR: failed to reproduce 'train': failed to run: python -m fct.train, exited with {}"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("ERROR: Unable to acquire lock. Most likely another DVC process is running", True),
        ("ERROR: '/x/model' is busy, it is being blocked by:", True),
        (FAILED.format(75), True),  # the tracking server did not answer
        (FAILED.format(1), False),
        (FAILED.format(175), False),
        (FAILED.format(-9), False),
    ],
)
def test_only_temporary_failures_are_tried_again(line, expected):
    """A lock that was held and a server that did not answer are temporary; a diverged training is not."""
    assert is_temporary(Ended(255, ("begins", line))) is expected


@pytest.mark.parametrize(
    ("tail", "expected"),
    [
        (
            ("> python", "error: images: cannot use", "         - a.png: damaged", FAILED.format(1)),
            "images: cannot use",
        ),
        (("> python", FAILED.format(-9)), FAILED.format(-9).removeprefix("ERROR: ")),
        (("Segmentation fault",), "Segmentation fault"),
        ((), "exit status 255"),
    ],
)
def test_the_reason_is_what_a_person_would_read(tail, expected):
    """This project's error comes first, then DVC's error, then the last line of output."""
    assert _reason(Ended(255, tail)).startswith(expected)


@pytest.mark.parametrize("stage", ["images/{0}.dvc", "images/{a.b}.dvc", "cache@10"])
def test_braces_of_a_folder_are_no_template(stage):
    """Prefect formats the name of a task's run."""
    name = stage_task(stage, Commands({}, 1)).task_run_name
    assert name.format(is_cached=True) == stage


def test_outs_that_did_not_fit_into_the_cache_are_lost():
    """DVC 3.67 ends with status 0 if a file of a folder met a full disk, so its words count."""
    said = ["> python", "ERROR: failed to transfer 'b87c' - [Errno 28] No space left on device", "Updating lock file"]
    assert lost_outs(said)
    assert not lost_outs(["> python", "Updating lock file 'dvc.lock'"])
