"""model.pt has a network and everything that is needed to build it again."""

import os

import pytest
import torch

from fct.core.errors import FctError
from fct.models import saved
from fct.nn.estimator import QualityEstimator
from fct.train.assemble import identity, make_network, open_data


@pytest.fixture
def untrained(toy):
    setup = toy.setup()
    data, meta = open_data(setup)
    return make_network(setup, toy.method(), data.train, meta)


def test_a_saved_network_is_loaded(untrained, tmp_path):
    """The loaded network has the weights and the blocks, is in evaluation mode and predicts the same."""
    network, description = untrained
    torch.nn.init.normal_(network.blocks["stage1"].expand.weight)
    path = tmp_path / "model/model.pt"
    saved.save(network, description, path)
    loaded, loaded_description = saved.load(path)
    assert loaded_description == description
    assert not loaded.training
    pixels = torch.randint(0, 256, (3, 3, 16, 16), dtype=torch.uint8), torch.tensor([10, 50, 100])
    torch.testing.assert_close(network.eval()(*pixels)[0], loaded(*pixels)[0])  # memory formats differ
    assert all(torch.equal(value, loaded.state_dict()[name]) for name, value in network.state_dict().items())


def test_an_estimator_is_saved_with_its_network(untrained, tmp_path):
    """A loaded network estimates unknown qualities as the saved one did."""
    network, description = untrained
    network.estimator = QualityEstimator(3).eval()
    saved.save(network, description, tmp_path / "model.pt")
    loaded, _ = saved.load(tmp_path / "model.pt")
    pixels = torch.rand(2, 3, 16, 16)
    torch.testing.assert_close(loaded.estimator(pixels), network.estimator(pixels))


def test_the_description_identifies_data_and_params(untrained, toy):
    """It has classes, size, statistics of the training images, trained qualities, and digests of data and params."""
    _, description = untrained
    pixels = toy.split("train").images / 255
    assert description.mean == pytest.approx(pixels.mean((0, 1, 2)), abs=1e-4)
    assert description.std == pytest.approx(pixels.std((0, 1, 2)), abs=1e-4)
    assert (description.classes, description.size, description.channels) == (["red", "green", "blue"], 16, 3)
    assert (description.qualities, description.data_digest) == ([20, 60], toy.digest)
    data, meta = open_data(toy.setup())
    digests = {make_network(toy.setup(**c), toy.method(), data.train, meta)[1].params_digest for c in ({}, {"seed": 1})}
    assert len(digests) == 2


def test_only_fct_r_has_blocks(toy):
    """`fct` shares its parameters with `fct-r` but gets a network without blocks."""
    data, meta = open_data(toy.setup())
    assert not make_network(toy.setup(), toy.method(name="fct"), data.train, meta)[0].uses_quality


def test_the_seed_decides_the_weights(toy):
    """The same seed gives the same untrained network, and another seed gives another."""
    data, meta = open_data(toy.setup())
    stems = [
        make_network(toy.setup(seed=seed), toy.method(), data.train, meta)[0].backbone.stem[0].weight
        for seed in (0, 0, 1)
    ]
    assert torch.equal(stems[0], stems[1])
    assert not torch.equal(stems[0], stems[2])


def test_the_same_network_gives_the_same_file(untrained, tmp_path):
    """The bytes of the file depend only on its content, not on its name."""
    network, description = untrained
    for name in ("a.pt", "other.pt"):
        saved.save(network, description, tmp_path / name)
    assert (tmp_path / "a.pt").read_bytes() == (tmp_path / "other.pt").read_bytes()


def test_a_missing_model_is_an_error(tmp_path):
    """The error for a missing model.pt has the command that makes it."""
    with pytest.raises(FctError, match=r"model\.pt is not here\. Make it with `dvc repro train`"):
        saved.load(tmp_path / "model.pt")


@pytest.mark.parametrize("damage", [lambda b: b[: len(b) // 2], lambda _: b"", lambda _: b"not a file of torch's"])
def test_a_damaged_model_is_an_error(untrained, tmp_path, damage):
    """The error for half a file, an empty file or another kind of file has the command that makes it again."""
    path = tmp_path / "model.pt"
    saved.save(*untrained, path)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(FctError, match=r"model\.pt is damaged \(.*\)\. Make it again with `dvc repro --force .*train`"):
        saved.load(path)


@pytest.mark.parametrize(
    "change",
    [
        lambda content: [content],
        lambda _content: torch.ones(3),
        lambda content: {"state": content["state"]},
        lambda content: content | {"description": "{"},
        lambda content: content | {"description": 3},
        lambda content: content | {"state": {"other.weight": torch.ones(3)}},
        lambda content: content | {"state": None},
    ],
    ids=["list", "tensor", "bare", "no JSON", "number", "other tensors", "no state"],
)
def test_a_file_with_other_content_is_an_error_with_the_remedy(untrained, tmp_path, change):
    """The error for any other content that torch saved ends with the remedy."""
    path = tmp_path / "model.pt"
    saved.save(*untrained, path)
    torch.save(change(torch.load(path, weights_only=True)), path)
    with pytest.raises(FctError, match=r"model\.pt is not a model\.pt of this version of the project\. Do this\.$"):
        saved.load(path, remedy="Do this.")


def test_a_model_with_code_in_it_is_an_error(tmp_path):
    """Only weights are loaded. Code in a pickle does not run."""

    class Bomb:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "ran"),)

    torch.save({"description": "{}", "state": Bomb()}, tmp_path / "model.pt")
    with pytest.raises(FctError, match="is damaged"):
        saved.load(tmp_path / "model.pt")
    assert not (tmp_path / "ran").exists()


@pytest.fixture
def pretrained(untrained, toy):
    """Save a network in weights/, and return a setup that starts from it."""
    network, description = untrained
    saved.save(network, description, toy.root / "weights/old.pt")
    return toy.setup(of_model={"weights": "weights/old.pt"}, seed=1)


def test_a_training_starts_from_the_weights_of_a_file(untrained, pretrained, toy, capsys):
    """The backbone has the weights of the file, and a message names the layers that have none."""
    data, meta = open_data(pretrained)
    network, _ = make_network(pretrained, toy.method(), data.train, meta)
    old = untrained[0].backbone.state_dict()
    assert all(torch.equal(value, old[name]) for name, value in network.backbone.state_dict().items())
    assert capsys.readouterr().out == "loaded weights/old.pt; layers without pretrained weights: none\n"


def test_a_changed_file_of_weights_is_another_training(pretrained, toy):
    """The content of the file is part of the checkpoint's identity."""
    _, meta = open_data(pretrained)
    before = identity(pretrained, toy.method(), meta)
    with (toy.root / "weights/old.pt").open("ab") as file:
        file.write(b"more")
    assert identity(pretrained, toy.method(), meta) != before
    assert identity(toy.setup(seed=1), toy.method(), meta)["weights"] is None


def test_a_saved_network_does_not_need_its_pretrained_weights(pretrained, toy):
    """model.pt loads after the file of pretrained weights was deleted."""
    data, meta = open_data(pretrained)
    saved.save(*make_network(pretrained, toy.method(), data.train, meta))
    (toy.root / "weights/old.pt").unlink()
    assert saved.load()[0].uses_quality
