"""model.pt is a network and all that is needed to build it again."""

import os

import pytest
import torch

from fct.core.errors import FctError
from fct.models import saved as candidate
from fct.nn.estimator import QualityEstimator
from fct.train.assemble import identity, make_network, open_data


@pytest.fixture
def made(toy):
    setup = toy.setup()
    data, meta = open_data(setup)
    return make_network(setup, toy.method(), data.train, meta)


def test_a_saved_network_is_loaded(made, tmp_path):
    """The loaded network has the weights and the blocks, is in evaluation mode and predicts the same."""
    network, description = made
    torch.nn.init.normal_(network.blocks["stage1"].expand.weight)
    path = tmp_path / "model/model.pt"
    candidate.save(network, description, path)
    loaded, read = candidate.load(path)
    assert read == description
    assert not loaded.training
    pixels = torch.randint(0, 256, (3, 3, 16, 16), dtype=torch.uint8), torch.tensor([10, 50, 100])
    torch.testing.assert_close(network.eval()(*pixels)[0], loaded(*pixels)[0])  # memory formats differ
    assert all(torch.equal(value, loaded.state_dict()[name]) for name, value in network.state_dict().items())


def test_an_estimator_is_saved_with_its_network(made, tmp_path):
    """A loaded network estimates unknown qualities as the saved one did."""
    network, description = made
    network.estimator = QualityEstimator(3).eval()
    candidate.save(network, description, tmp_path / "model.pt")
    loaded, _ = candidate.load(tmp_path / "model.pt")
    pixels = torch.rand(2, 3, 16, 16)
    torch.testing.assert_close(loaded.estimator(pixels), network.estimator(pixels))


def test_the_description_tells_data_and_params(made, toy):
    """Classes, size, statistics of the training images, trained qualities, and digests of data and params."""
    _, description = made
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
    """The same seed gives the same untrained network, another seed another."""
    data, meta = open_data(toy.setup())
    stems = [
        make_network(toy.setup(seed=seed), toy.method(), data.train, meta)[0].backbone.stem[0].weight
        for seed in (0, 0, 1)
    ]
    assert torch.equal(stems[0], stems[1])
    assert not torch.equal(stems[0], stems[2])


def test_the_same_network_is_the_same_file(made, tmp_path):
    """What is saved follows from content only, whatever the file is called."""
    network, description = made
    for name in ("a.pt", "other.pt"):
        candidate.save(network, description, tmp_path / name)
    assert (tmp_path / "a.pt").read_bytes() == (tmp_path / "other.pt").read_bytes()


def test_without_a_model_the_command_is_named(tmp_path):
    """A missing model.pt says how to make it."""
    with pytest.raises(FctError, match=r"model\.pt is not here\. Make it with `dvc repro train`"):
        candidate.load(tmp_path / "model.pt")


@pytest.mark.parametrize("damage", [lambda b: b[: len(b) // 2], lambda _: b"", lambda _: b"not a file of torch's"])
def test_a_damaged_model_names_the_command(made, tmp_path, damage):
    """Half a model.pt, an empty one or another kind of file is refused with the way out."""
    path = tmp_path / "model.pt"
    candidate.save(*made, path)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(FctError, match=r"model\.pt is damaged \(.*\)\. Make it again with `dvc repro --force .*train`"):
        candidate.load(path)


@pytest.mark.parametrize(
    "change",
    [
        lambda saved: [saved],
        lambda _saved: torch.ones(3),
        lambda saved: {"state": saved["state"]},
        lambda saved: saved | {"description": "{"},
        lambda saved: saved | {"description": 3},
        lambda saved: saved | {"state": {"other.weight": torch.ones(3)}},
        lambda saved: saved | {"state": None},
    ],
    ids=["list", "tensor", "bare", "no JSON", "number", "other tensors", "no state"],
)
def test_a_file_of_something_else_is_refused_with_the_remedy(made, tmp_path, change):
    """Whatever torch saved into it: a sentence that ends with what its reader is told to do."""
    path = tmp_path / "model.pt"
    candidate.save(*made, path)
    torch.save(change(torch.load(path, weights_only=True)), path)
    with pytest.raises(FctError, match=r"model\.pt is no model\.pt of this version of the project\. Do this\.$"):
        candidate.load(path, remedy="Do this.")


def test_a_model_with_code_in_it_is_refused(tmp_path):
    """Loading is weights-only: what a pickle would run is not run."""

    class Bomb:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "ran"),)

    torch.save({"description": "{}", "state": Bomb()}, tmp_path / "model.pt")
    with pytest.raises(FctError, match="is damaged"):
        candidate.load(tmp_path / "model.pt")
    assert not (tmp_path / "ran").exists()


@pytest.fixture
def pretrained(made, toy):
    """Save a network under weights/ and say so in the model's parameters."""
    network, description = made
    candidate.save(network, description, toy.root / "weights/old.pt")
    return toy.setup(of_model={"weights": "weights/old.pt"}, seed=1)


def test_a_training_starts_from_a_files_weights(made, pretrained, toy, capsys):
    """The backbone has the file's weights, not its seed's, and what stays untrained is said."""
    data, meta = open_data(pretrained)
    network, _ = make_network(pretrained, toy.method(), data.train, meta)
    old = made[0].backbone.state_dict()
    assert all(torch.equal(value, old[name]) for name, value in network.backbone.state_dict().items())
    assert capsys.readouterr().out == "starts from weights/old.pt; untrained: nothing\n"


def test_a_changed_file_of_weights_is_another_training(pretrained, toy):
    """Its content is a part of what checkpoints are known by."""
    _, meta = open_data(pretrained)
    before = identity(pretrained, toy.method(), meta)
    with (toy.root / "weights/old.pt").open("ab") as file:
        file.write(b"more")
    assert identity(pretrained, toy.method(), meta) != before
    assert identity(toy.setup(seed=1), toy.method(), meta)["weights"] is None


def test_a_saved_network_does_not_need_the_file_that_it_started_from(pretrained, toy):
    """model.pt is all that is needed."""
    data, meta = open_data(pretrained)
    candidate.save(*make_network(pretrained, toy.method(), data.train, meta))
    (toy.root / "weights/old.pt").unlink()
    assert candidate.load()[0].uses_quality
