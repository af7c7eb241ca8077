"""`fct layers` lists the layers of a model by the names that params.yaml takes."""

import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from fct.cli import layers, main
from fct.core import params
from fct.models import backbones
from fct.models.params import BlockParams
from fct.nn.layout import Layout
from fct.nn.residual import ResidualMappingBlock


@pytest.fixture
def list_layers(tmp_path, monkeypatch):
    """Run the command in a folder with the repository's params.yaml; return its lines."""
    shutil.copy(Path(__file__).parents[2] / "params.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        done = CliRunner().invoke(main, ["layers", *arguments])
        assert done.exit_code == 0, done.output
        return done.output.splitlines()

    return run


def weights(module):
    return sum(weight.numel() for weight in module.parameters())


def by_name(lines):
    return {line.split()[0]: line.split() for line in lines[2:]}


def test_the_model_of_params_is_listed(list_layers):
    """Without a name: shapes at 32 pixels in colour where there are no data, parameters, and the cost of a block."""
    lines, model = list_layers(), params.load(layers.Params).model
    network = backbones.build_backbone(model.name, width=model.width, classes=10, channels=3, size=32, stem=model.stem)
    assert lines[0] == f"{model.name}: 3 x 32 x 32 pixels, {weights(network):,} parameters"
    stages = {name: line for name, line in by_name(lines).items() if line[-1] == "stage"}
    assert len(stages) > 1
    for name, (_, kind, *shape, parameters, block, _) in stages.items():
        module = network.get_submodule(name)
        assert (kind, parameters) == (type(module).__name__, f"{weights(module):,}")
        assert shape[1::2] == ["x", "x"]
        assert int(block.replace(",", "")) > 0


@pytest.mark.parametrize(
    ("model", "stages"),
    [
        ("resnet18", ["layer1", "layer2", "layer3", "layer4"]),
        ("mobilenet_v3_small", [f"features.{number}" for number in (0, 1, 3, 8, 12)]),
        ("convnext_tiny", [f"features.{number}" for number in (1, 3, 5, 7)]),
        ("vit_b_16", [f"encoder.layers.encoder_layer_{number}" for number in (2, 5, 8, 11)]),
        ("timm/efficientnet_b0", [f"blocks.{number}" for number in (0, 1, 2, 4, 6)]),
        ("vgg11", [f"features.{number}" for number in (1, 4, 9, 14, 19, 20)]),
    ],
)
def test_the_outer_layers_are_shown_down_to_the_stages(list_layers, model, stages):
    """The list has the stages and their neighbours, and nothing inside the stages."""
    lines = by_name(list_layers(model))
    assert [name for name, line in lines.items() if line[-1] == "stage"] == stages
    assert not [name for name in lines if name.startswith(tuple(f"{stage}." for stage in stages))]
    assert len(lines) > len(stages)


def test_all_shows_every_module(list_layers):
    """--all names every module."""
    assert "layer1.0.conv1" not in by_name(list_layers("resnet18"))
    assert "layer1.0.conv1" in by_name(list_layers("resnet18", "--all"))


def test_tokens_and_outputs_that_are_no_tensor(list_layers):
    """A transformer's layers show tokens by channels; an output that is no tensor has neither shape nor block."""
    lines = by_name(list_layers("vit_b_32", "--all", "--size", "32"))
    assert lines["encoder.layers.encoder_layer_0"][2:5] == ["2", "x", "768"]
    assert lines["encoder.layers.encoder_layer_0.self_attention"][2] == "-"
    assert lines["encoder.layers.encoder_layer_0.self_attention"][-1] == "-"


def test_the_cost_is_that_of_params_block(list_layers):
    """A block twice as wide has its parameters."""
    params = Path("params.yaml")
    params.write_text(params.read_text().replace("width: 0.5", "width: 1.0"))
    block = BlockParams(layers=["any"], width=1.0, quality="film", consistency="after", unknown_quality="bypass")
    real = ResidualMappingBlock(64, Layout(1, is_map=True), width=block.width, quality=block.quality)
    assert by_name(list_layers("--width", "16"))["stage3"][-2] == f"{weights(real):,}"


def test_the_width_of_the_own_networks_can_be_chosen(list_layers):
    """--width takes the place of model.width."""
    assert by_name(list_layers("--width", "24"))["stage1"][2] == "24"


def test_grey_images_of_another_size(list_layers):
    """--size and --channels give the size and channels of the images."""
    lines = list_layers("--size", "28", "--channels", "1", "--width", "16")
    assert lines[0].startswith("speednet: 1 x 28 x 28 pixels")
    assert by_name(lines)["stage1"][2:7] == ["16", "x", "13", "x", "13"]


def test_an_unknown_model_is_answered_with_the_nearest(list_layers):
    """The exit status is 1, and the message names models that exist."""
    list_layers()
    done = CliRunner().invoke(main, ["layers", "resnet17"])
    assert done.exit_code == 2
    assert "Nearest: resnet" in done.output


def test_without_params_the_defaults_are_used(tmp_path, monkeypatch):
    """In any folder a model is listed, and stderr says where the cost of a block is from."""
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(main, ["layers", "speednet"])
    assert done.exit_code == 0
    assert done.stdout.startswith("speednet: 3 x 32 x 32 pixels")
    assert done.stderr.startswith("params.yaml is not here. ")
    assert done.stderr.endswith("defaults.yaml is used.\n")
