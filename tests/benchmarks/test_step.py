"""The step that is timed needs nothing but its own data."""

from benchmarks.speed import step


def test_a_step_is_taken_where_no_teacher_is(tmp_path, monkeypatch):
    """params.yaml's method may be pulled to a teacher, whose file a fresh clone does not have."""
    monkeypatch.setattr(step, "IMAGES", 256)
    split, source = step.data(tmp_path)
    training = step._training("resnet8", 8, split, source, "fp32")
    next(step._steps(training))
    assert training.steps_taken == 1
