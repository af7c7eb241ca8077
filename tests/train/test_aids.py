"""Teachers and projections: read, refused, followed and taken up again."""

from pathlib import Path

import numpy as np
import pytest
import torch

from fct.core.errors import FctError
from fct.core.paths import STANDARD_PT
from fct.models import saved as candidate
from fct.models.device import to_device
from fct.train.aids import TrainingAids
from fct.train.assemble import identity, make_network, open_data


@pytest.fixture
def student(toy):
    """Make a network for the toy data, and a few of its images."""

    def make(method, model="resnet8"):
        setup = toy.setup(model=model)
        data, meta = open_data(setup)
        network, description = make_network(setup, method, data.train, meta)
        return network, to_device(np.array(data.train.images[:2]), torch.device("cpu")), description

    return make


@pytest.fixture
def teacher(student, toy):
    """Save an untrained network of the toy data as a teacher; return its path."""

    def save(model="resnet8"):
        network, _, description = student(toy.method(name="standard", layers=["stage1"]), model)
        candidate.save(network, description, Path("weights/teacher.pt"))
        return "weights/teacher.pt"

    return save


def test_a_frozen_teacher_shows_the_layers_that_are_pulled(student, teacher, toy):
    """It is the file's network, without gradients, in evaluation mode, and shows the student's layers."""
    method = toy.method(name="fct", target="teacher", teacher=teacher())
    network, images, _ = student(method)
    context = TrainingAids(network, method, images).at(0.5)
    assert context.progress == 0.5
    assert not context.teacher.training
    assert not any(weight.requires_grad for weight in context.teacher.parameters())
    assert set(method.layers) <= set(context.teacher(images, torch.tensor([100, 100]))[1])


@pytest.mark.parametrize("target", ["teacher", "ema-teacher"])
def test_a_teacher_of_features_makes_no_mirror_pass(student, teacher, toy, target):
    """`model.flip_tta` averages logits, which nobody asks such a teacher for; the student keeps it."""
    method = toy.method(name="fct", target=target, teacher=teacher())
    network, images, description = student(method)
    network.flip_tta = True
    candidate.save(network, description.model_copy(update={"flip_tta": True}), Path(method.teacher))
    shown = TrainingAids(network, method, images).at(0).teacher
    assert not getattr(shown, "module", shown).flip_tta
    assert network.flip_tta


def test_logits_may_come_from_another_architecture(student, teacher, toy):
    """`distill` by logits only needs the same classes: a larger network may teach a smaller one."""
    method = toy.method(name="distill", teacher=teacher("speednet"))
    network, images, _ = student(method)
    assert TrainingAids(network, method, images).at(0).teacher is not None


def test_a_teacher_that_is_not_there_is_refused(student, toy):
    """The error names the key and the file."""
    with pytest.raises(FctError, match=r"method\.teacher: weights/nowhere\.pt is not here"):
        student(toy.method(name="distill", teacher="weights/nowhere.pt"))


def test_the_pipelines_own_baseline_may_teach(student, toy):
    """`teacher: baseline` is the network that the stage of this name trained."""
    network, images, description = student(toy.method(name="standard"))
    candidate.save(network, description, STANDARD_PT)
    context = TrainingAids(network, toy.method(name="distill", teacher="baseline"), images).at(0)
    assert torch.equal(
        context.teacher(images, torch.tensor([100, 100]))[0], network.eval()(images, torch.tensor([100, 100]))[0]
    )


def test_a_damaged_baseline_says_which_stage_makes_it(student, toy):
    """Not the training that is about to read it, but the stage `baseline`."""
    network, images, description = student(toy.method(name="standard"))
    candidate.save(network, description, STANDARD_PT)
    STANDARD_PT.write_bytes(STANDARD_PT.read_bytes()[:100])
    with pytest.raises(FctError, match=r"standard\.pt is damaged .* `dvc repro --force --single-item baseline`"):
        TrainingAids(network, toy.method(name="distill", teacher="baseline"), images)


def test_a_baseline_that_was_not_trained_cannot_teach(student, toy):
    """The error says which stage makes it."""
    with pytest.raises(FctError, match=r"method\.teacher: baseline: model/standard\.pt .* `dvc repro baseline`"):
        student(toy.method(name="distill", teacher="baseline"))


def test_the_moving_average_follows(student, toy):
    """After a step each of its weights lies between its own and the network's, by the momentum."""
    method = toy.method(name="fct", target="ema-teacher", ema_momentum=0.75)
    network, images, _ = student(method)
    companions = TrainingAids(network, method, images)
    weight = network.backbone.head.weight
    before = weight.detach().clone()
    with torch.no_grad():
        weight.add_(1)
    companions.update(network)
    followed = companions.at(0).teacher.module.backbone.head.weight
    torch.testing.assert_close(followed, before + 0.25)


@pytest.mark.parametrize("changed", [{"target": "ema-teacher"}, {"projection": "linear"}])
def test_what_is_kept_is_taken_up(student, toy, changed):
    """A checkpoint's state brings back the average and the projections."""
    method = toy.method(name="fct", **changed)
    network, images, _ = student(method)
    one, other = TrainingAids(network, method, images), TrainingAids(network, method, images)
    kept = {name: {key: value + 1 for key, value in state.items()} for name, state in one.state().items()}
    assert kept
    other.restore(kept)
    for name, state in other.state().items():
        assert all(torch.equal(value, kept[name][key]) for key, value in state.items())


def test_the_teachers_content_is_part_of_what_a_checkpoint_is_known_by(student, teacher, toy):
    """A teacher trained anew under the same name never meets the old one's checkpoint."""
    method = toy.method(name="distill", teacher=teacher())
    known = [identity(toy.setup(), method, {"digest": "", "codec": "", "order": ""})]
    network, _, description = student(toy.method(name="standard", layers=["stage1"]))
    torch.nn.init.zeros_(network.backbone.head.weight)
    candidate.save(network, description, Path("weights/teacher.pt"))
    known.append(identity(toy.setup(), method, {"digest": "", "codec": "", "order": ""}))
    assert known[0] != known[1]


def test_the_moving_average_has_statistics_of_its_own(student, toy):
    """The running means of its norms follow by the momentum too, and it never takes a batch's own in their place."""
    method = toy.method(name="fct", target="ema-teacher", ema_momentum=0.75)
    network, images, _ = student(method)
    companions = TrainingAids(network, method, images)
    statistics = network.backbone.stem[1].running_mean
    before = statistics.clone()
    statistics.add_(1)
    companions.update(network.train())
    teacher = companions.at(0).teacher
    torch.testing.assert_close(teacher.module.backbone.stem[1].running_mean, before + 0.25)
    assert not any(module.training for module in teacher.modules())
    assert not any(weight.requires_grad for weight in teacher.parameters())


def test_projections_are_trained_with_the_network(student, toy):
    """The optimiser gets a weight for each projected layer, and none where nothing is projected."""
    layers = ["stage1", "stage3"]
    counts = []
    for projection in ("linear", "none"):
        method = toy.method(name="fct", projection=projection, layers=layers)
        network, images, _ = student(method)
        counts.append(len(TrainingAids(network, method, images).weights))
    assert counts == [2, 0]
