"""What is wrong in params.yaml is said once, with its line, and without a traceback."""

import pytest

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]


@pytest.mark.parametrize(
    ("key", "value", "line", "said"),
    [
        ("data.sead", 1, "sead: 1", "unknown key. Did you mean 'seed'?"),
        ("cache.qualities", [0, 50], "- 0", "0"),
        ("method.layers", [], "layers: []", "needs at least 1"),
        ("train.learning_rate", -0.1, "learning_rate: -0.1", "greater than 0"),
        ("evaluate.confidence", 95, "confidence: 95", "less than 1"),
    ],
)
def test_bad_params_are_named(copy, key, value, line, said):
    """`dvc repro` stops with one error: the line, the key, and what is wrong with it."""
    copy.change({key: value})
    lines = (copy.folder / "params.yaml").read_text().splitlines()
    start = next(n for n, text in enumerate(lines) if text.startswith(f"{key.split('.')[0]}:"))
    number = next(n for n, text in enumerate(lines, 1) if n > start and text.strip().startswith(line))
    out = copy.run("dvc", "repro", status=255)
    (error,) = [line for line in out.splitlines() if line.startswith("error:")]
    assert error.startswith(f"error: params.yaml, line {number}: {key}")
    assert said in error
    assert "Traceback" not in out


def test_a_misspelt_layer_is_refused_before_the_first_training(copy):
    """The stage baseline, which does not use it, says so at its start: not the search after it."""
    copy.change({"method.layers": ["stage9"], "train.epochs": 2})
    out = copy.run("dvc", "repro", status=255)
    assert "method.layers: no layer is called 'stage9'. Nearest: stage" in out
    assert "Running stage 'search'" not in out
    assert "epoch 1/2" not in out
