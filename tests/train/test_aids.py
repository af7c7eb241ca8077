"""Teachers and projections are loaded, checked, updated and restored."""

from pathlib import Path

import numpy as np
import pytest
import torch

from fct.core.errors import FctError
from fct.core.paths import STANDARD_PT
from fct.models import saved
from fct.models.device import to_device
from fct.train.aids import TrainingAids
from fct.train.assemble import identity, make_network, open_data


@pytest.fixture
def student(toy):
    """Return a function that makes a network for the toy data, and a sample of its images."""

    def make(method, model="resnet8"):
        setup = toy.setup(model=model)
        data, meta = open_data(setup)
        network, description = make_network(setup, method, data.train, meta)
        return network, to_device(np.array(data.train.images[:2]), torch.device("cpu")), description

    return make


@pytest.fixture
def teacher(student, toy):
    """Return a function that saves an untrained network of the toy data as a teacher, and returns its path."""

    def save(model="resnet8"):
        network, _, description = student(toy.method(name="standard", layers=["stage1"]), model)
        saved.save(network, description, Path("weights/teacher.pt"))
        return "weights/teacher.pt"

    return save


def test_a_frozen_teacher_returns_the_features_of_the_students_layers(student, teacher, toy):
    """It is the network of the file, without gradients, in evaluation mode, with the student's layers."""
    method = toy.method(name="fct", target="teacher", teacher=teacher())
    network, images, _ = student(method)
    context = TrainingAids(network, method, images).at(0.5)
    assert context.progress == 0.5
    assert not context.teacher.training
    assert not any(weight.requires_grad for weight in context.teacher.parameters())
    assert set(method.layers) <= set(context.teacher(images, torch.tensor([100, 100]))[1])


@pytest.mark.parametrize("target", ["teacher", "ema-teacher"])
def test_a_teacher_of_features_does_not_use_flip_tta(student, teacher, toy, target):
    """`model.flip_tta` averages logits, which such a teacher does not need. The student keeps it."""
    method = toy.method(name="fct", target=target, teacher=teacher())
    network, images, description = student(method)
    network.flip_tta = True
    saved.save(network, description.model_copy(update={"flip_tta": True}), Path(method.teacher))
    teacher_network = TrainingAids(network, method, images).at(0).teacher
    assert not getattr(teacher_network, "module", teacher_network).flip_tta
    assert network.flip_tta


def test_logits_may_come_from_another_architecture(student, teacher, toy):
    """`distill` by logits needs only the same classes, so the teacher may have another architecture."""
    method = toy.method(name="distill", teacher=teacher("speednet"))
    network, images, _ = student(method)
    assert TrainingAids(network, method, images).at(0).teacher is not None


def test_a_missing_teacher_is_an_error(student, toy):
    """The error names the key and the file."""
    with pytest.raises(FctError, match=r"method\.teacher: weights/nowhere\.pt is not here"):
        student(toy.method(name="distill", teacher="weights/nowhere.pt"))


def test_the_baseline_can_be_the_teacher(student, toy):
    """`teacher: baseline` is the network that the stage `baseline` trained."""
    network, images, description = student(toy.method(name="standard"))
    saved.save(network, description, STANDARD_PT)
    context = TrainingAids(network, toy.method(name="distill", teacher="baseline"), images).at(0)
    assert torch.equal(
        context.teacher(images, torch.tensor([100, 100]))[0], network.eval()(images, torch.tensor([100, 100]))[0]
    )


def test_the_error_for_a_damaged_baseline_names_its_stage(student, toy):
    """The error says to run the stage `baseline`, not the training that reads the file."""
    network, images, description = student(toy.method(name="standard"))
    saved.save(network, description, STANDARD_PT)
    STANDARD_PT.write_bytes(STANDARD_PT.read_bytes()[:100])
    with pytest.raises(FctError, match=r"standard\.pt is damaged .* `dvc repro --force --single-item baseline`"):
        TrainingAids(network, toy.method(name="distill", teacher="baseline"), images)


def test_a_missing_baseline_is_an_error(student, toy):
    """The error names the stage that makes it."""
    with pytest.raises(FctError, match=r"method\.teacher: baseline: model/standard\.pt .* `dvc repro baseline`"):
        student(toy.method(name="distill", teacher="baseline"))


def test_an_update_moves_the_average(student, toy):
    """An update moves each weight of the average towards the network's, by 1 - momentum."""
    method = toy.method(name="fct", target="ema-teacher", ema_momentum=0.75)
    network, images, _ = student(method)
    aids = TrainingAids(network, method, images)
    weight = network.backbone.head.weight
    before = weight.detach().clone()
    with torch.no_grad():
        weight.add_(1)
    aids.update(network)
    updated = aids.at(0).teacher.module.backbone.head.weight
    torch.testing.assert_close(updated, before + 0.25)


@pytest.mark.parametrize("changed", [{"target": "ema-teacher"}, {"projection": "linear"}])
def test_a_checkpoints_state_is_restored(student, toy, changed):
    """`restore` loads the average and the projections that `state` returned."""
    method = toy.method(name="fct", **changed)
    network, images, _ = student(method)
    first, second = TrainingAids(network, method, images), TrainingAids(network, method, images)
    saved_state = {name: {key: value + 1 for key, value in state.items()} for name, state in first.state().items()}
    assert saved_state
    second.restore(saved_state)
    for name, state in second.state().items():
        assert all(torch.equal(value, saved_state[name][key]) for key, value in state.items())


def test_the_teachers_content_is_part_of_the_checkpoints_identity(student, teacher, toy):
    """A training with another teacher of the same name does not find the old checkpoint."""
    method = toy.method(name="distill", teacher=teacher())
    identities = [identity(toy.setup(), method, {"digest": "", "codec": "", "order": ""})]
    network, _, description = student(toy.method(name="standard", layers=["stage1"]))
    torch.nn.init.zeros_(network.backbone.head.weight)
    saved.save(network, description, Path("weights/teacher.pt"))
    identities.append(identity(toy.setup(), method, {"digest": "", "codec": "", "order": ""}))
    assert identities[0] != identities[1]


def test_the_moving_average_has_statistics_of_its_own(student, toy):
    """An update also moves the running means of the norms, which the average uses instead of those of a batch."""
    method = toy.method(name="fct", target="ema-teacher", ema_momentum=0.75)
    network, images, _ = student(method)
    aids = TrainingAids(network, method, images)
    statistics = network.backbone.stem[1].running_mean
    before = statistics.clone()
    statistics.add_(1)
    aids.update(network.train())
    teacher = aids.at(0).teacher
    torch.testing.assert_close(teacher.module.backbone.stem[1].running_mean, before + 0.25)
    assert not any(module.training for module in teacher.modules())
    assert not any(weight.requires_grad for weight in teacher.parameters())


def test_projections_are_trained_with_the_network(student, toy):
    """The optimiser gets one weight for each projected layer, and none without projections."""
    layers = ["stage1", "stage3"]
    counts = []
    for projection in ("linear", "none"):
        method = toy.method(name="fct", projection=projection, layers=layers)
        network, images, _ = student(method)
        counts.append(len(TrainingAids(network, method, images).weights))
    assert counts == [2, 0]
