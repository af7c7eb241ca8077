"""How the model was made, from the files of its training."""

from pathlib import Path

import pytest

from fct.core.params import to_yaml
from fct.evaluate.model import open_model
from fct.export.onnx import export
from fct.models import saved
from fct.report.method import describe
from fct.report.network import read_making
from fct.train.assemble import make_network, open_data


@pytest.fixture
def trained(toy):
    """Write a network with blocks, its ONNX file and its method; return network and method."""
    method = toy.method(layers=["stage1", "stage3"])
    setup = toy.setup()
    data, meta = open_data(setup)
    network, description = make_network(setup, method, data.train, meta)
    Path("model").mkdir()
    Path("search").mkdir()
    saved.save(network, description, Path("model/model.pt"))
    export(network, description, Path("model/model.onnx"))
    Path("search/best.yaml").write_text(to_yaml({"trial": 0, "method": method.model_dump()}))
    return network, method


def test_the_architecture_is_that_of_the_file(trained):
    """Backbone, width, stem, blocks and where they sit, and the number of parameters."""
    network, _ = trained
    lines = read_making(open_model(Path("model/model.onnx"))).architecture
    assert lines["backbone"] == "resnet8"
    assert lines["width"] == "8 channels in the first stage"
    assert lines["stem"] == "its own"
    assert lines["residual mapping blocks"].startswith("behind stage1, stage3; width 0.5")
    assert lines["without JPEG tables"] == "blocks change nothing"
    total, blocks = (sum(one.numel() for one in part.parameters()) for part in (network, network.blocks))
    assert lines["parameters"] == f"{total:,}; {blocks:,} in the blocks"


@pytest.mark.usefixtures("trained")
def test_the_method_is_that_of_the_training():
    """Its name and its knobs, with the trained qualities."""
    lines = read_making(open_model(Path("model/model.onnx"))).method
    assert (lines["method"], lines["layers"], lines["trained qualities"]) == ("fct-r", "stage1, stage3", "20, 60")


def test_a_method_of_another_training_is_not_shown(trained):
    """Its layers are not those of the network."""
    _, method = trained
    other = method.model_copy(update={"layers": ["stage2"]})
    Path("search/best.yaml").write_text(to_yaml({"trial": 0, "method": other.model_dump()}))
    making = read_making(open_model(Path("model/model.onnx")))
    assert making.architecture
    assert not making.method
    assert "search/best.yaml is of another training" in making.unknown


def test_a_network_that_the_file_was_not_made_from_is_not_shown(trained):
    """Another training wrote model.pt since."""
    network, _ = trained
    _, description = saved.load(Path("model/model.pt"))
    saved.save(network, description.model_copy(update={"params_digest": "other"}), Path("model/model.pt"))
    making = read_making(open_model(Path("model/model.onnx")))
    assert not making.architecture
    assert "is not the network that model/model.onnx was made from" in making.unknown


@pytest.mark.parametrize(
    ("name", "shown", "hidden"),
    [
        ("standard", {"method"}, {"trained qualities", "weight of the consistency term"}),
        ("augment", {"images seen compressed"}, {"batch normalisation", "layers"}),
        ("jsd", {"weight of the consistency term", "batch normalisation"}, {"target", "layers"}),
        ("distill", {"teacher", "learnt from the teacher"}, {"target", "images seen compressed"}),
        ("fct", {"target", "distance", "layers"}, {"features compared", "moving average"}),
    ],
)
def test_only_knobs_that_a_method_uses_are_shown(toy, name, shown, hidden):
    """The other keys of params.yaml are there, but change nothing."""
    lines = describe(toy.method(name=name), [20])
    assert shown <= set(lines)
    assert not hidden & set(lines)


@pytest.mark.parametrize(
    ("name", "used", "shown"),
    [
        (
            "fct-r",
            {"prediction_weight": 2, "hidden_quality": 0.3},
            {"weight of predictions", "qualities hidden in training"},
        ),
        ("fct", {"prediction_weight": 2, "hidden_quality": 0.3}, {"weight of predictions"}),
        ("fct-r", {}, set()),
    ],
)
def test_additions_to_the_paper_are_shown_where_they_act(toy, name, used, shown):
    """Neither stands in the report at its default of 0, nor the hidden quality without blocks."""
    lines = describe(toy.method(name=name, **used), [20])
    assert {"weight of predictions", "qualities hidden in training"} & set(lines) == shown
