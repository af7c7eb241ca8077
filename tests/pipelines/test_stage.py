"""The reason of a failed stage, and whether it is tried again."""

import pytest
from prefect.logging import disable_run_logger

from pipelines.process import Commands, Ended
from pipelines.stage import _reason, is_temporary, stage_task

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


def test_what_the_cache_could_not_take_fails_the_stage(start_pipeline, full_disk):
    """DVC ends with status 0 then, and the push at the end of the night would leave the files out."""
    start_pipeline(full_disk.dag)
    with disable_run_logger():
        state = stage_task("folder", Commands({}, 1)).fn(is_cached=False)
    assert state.is_failed()
    assert "folder: DVC could not put them into its cache" in state.message
