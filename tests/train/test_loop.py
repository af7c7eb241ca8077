"""Data and params alone decide a training, whether it is interrupted or not."""

import dataclasses
import json
from contextlib import closing

import numpy as np
import pytest
import torch

from fct.core.errors import FctError
from fct.core.paths import STANDARD_PT
from fct.methods.batch import Context
from fct.methods.registry import METHODS
from fct.models import saved
from fct.train.aids import TrainingAids
from fct.train.assemble import identity, make_network, open_data
from fct.train.batches import Cached
from fct.train.checkpoint import Checkpoint
from fct.train.estimator import fit_estimator
from fct.train.group import Group
from fct.train.loop import Training as Loop
from fct.train.loop import score, train


class Training:
    """A training in the current folder, set up as in the train stage."""

    def __init__(self, toy, method=None, model="resnet8", learning_rate=None, **changed):
        self.setup, self.method = toy.setup(model=model, **changed), method or toy.method()
        if learning_rate is not None:  # more than params.yaml may say
            train = self.setup.train.model_copy(update={"learning_rate": learning_rate})
            self.setup = self.setup._replace(train=train)
        self.data, self.meta = open_data(self.setup)
        self.network, _ = make_network(self.setup, self.method, self.data.train, self.meta)
        self.checkpoint = Checkpoint(identity(self.setup, self.method, self.meta))
        self.reported = []

    def run(self, *, use_checkpoint=False):
        checkpoint = self.checkpoint if use_checkpoint else None
        self.history = train(
            self.network, self.data, self.method, self.setup.train,
            checkpoint=checkpoint, on_epoch=lambda number, metrics: self.reported.append((number, metrics)),
        )  # fmt: skip
        return self

    @property
    def weights(self):
        return {name: value.clone() for name, value in self.network.state_dict().items()}


def are_equal(first, second):
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("name", METHODS)
def test_every_method_learns_the_colours(toy, name):
    """Each method learns three colours in a few epochs, raw and compressed, and reports metrics of each epoch."""
    setup = toy.setup()
    data, meta = open_data(setup)
    saved.save(*make_network(setup, toy.method(name="standard"), data.train, meta), STANDARD_PT)  # the teacher
    training = Training(toy, toy.method(name=name), epochs=6).run()
    assert training.history[-1]["loss"] < training.history[0]["loss"]
    assert max(metrics["val_compressed"] for metrics in training.history) > 0.6
    parts = {"loss", "cross_entropy", "val_raw", "val_compressed", "learning_rate"}
    own = {"fct": {"consistency"}, "fct-r": {"consistency"}, "stability": {"stability"}, "jsd": {"divergence"}}
    own["distill"] = {"distillation"}
    assert set(training.history[0]) == parts | own.get(name, set())
    assert training.reported == list(enumerate(training.history))
    assert not training.network.training


@pytest.mark.parametrize("views", ["cache", "online"])
def test_two_trainings_give_the_same_weights(toy, views):
    """On a CPU the same seed gives the same weights to the bit, and another seed gives others."""
    first, second, other = (Training(toy, views=views, seed=seed, epochs=2).run() for seed in (0, 0, 1))
    assert are_equal(first.weights, second.weights)
    assert first.history == second.history
    assert not are_equal(first.weights, other.weights)


@pytest.mark.parametrize(
    ("name", "layers", "stem"),
    [
        ("resnet8", ["stage1", "stage3"], "own"), ("mobilenet_v3_small", ["features.1", "features.3"], "small"),
        ("timm/vit_tiny_patch16_224", ["blocks.1", "blocks.9"], "own"),
        ("timm/convnext_atto", ["stages.0", "stages.1"], "small"),
    ],
)  # fmt: skip
def test_bf16_trains_all_parts_of_a_network(toy, name, layers, stem):
    """A step in mixed precision works for backbones, blocks and losses, and weights stay float32."""
    method = toy.method(layers=layers)
    method = method.model_copy(update={"block": method.block.model_copy(update={"layers": layers})})
    training = Training(
        toy, method, model=name, of_model={"stem": stem}, epochs=1, precision="bf16", learning_rate=0.01
    ).run()
    assert np.isfinite(training.history[0]["loss"])
    assert {value.dtype for value in training.network.parameters()} == {torch.float32}


KILLED_SCRIPT = """
import os, signal
from fct.core import params
from fct.splits.store import open_split
from fct.methods.params import MethodParams
from fct.models.params import ModelParams
import torch
from fct.train import assemble
from fct.train.assemble import Setup, identity, make_network, open_data
from fct.train.batches import Cached
from fct.train.checkpoint import Checkpoint
from fct.train.loop import Training as Loop
from fct.train.loop import train
from fct.train.params import TrainParams
import dataclasses, json

config = json.loads('''{config}''')
model, schedule = ModelParams.model_validate(config["model"]), TrainParams.model_validate(config["train"])
setup = Setup((20, 60), "4:2:0", model, schedule)
method = MethodParams.model_validate(config["method"])
assemble.pick_device = lambda: torch.device("cpu")
data, meta = open_data(setup)
network, _ = make_network(setup, method, data.train, meta)

class KillAfterReads(dict):
    reads = 0
    def __getitem__(self, quality):
        KillAfterReads.reads += 1
        if KillAfterReads.reads > {reads}:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().__getitem__(quality)

data = dataclasses.replace(data, source=Cached(KillAfterReads(data.source.cache)))
train(network, data, method, setup.train, checkpoint=Checkpoint(identity(setup, method, meta)))
"""


EVERYTHING = {"optimiser": "adamw", "rate_schedule": "cosine", "learning_rate": 0.01, "ema": 0.9, "clip_norm": 1.0}
EVERYTHING |= {"accumulate": 2, "balance": "classes", "layer_decay": 0.8, "freeze": ["stem.*"]}
EVERYTHING |= {"resized_crop": {"scale": [0.5, 1.0], "ratio": [0.8, 1.25]}, "colour_jitter": 0.3, "erasing": 0.3}
EVERYTHING |= {"policy": "trivial-augment", "mixup": 0.2, "cutmix": 1.0}


@pytest.mark.parametrize("changed", [{}, EVERYTHING], ids=["default", "everything"])
def test_a_killed_training_resumes_to_the_same_weights(toy, killed, changed):
    """A training that was killed in its second epoch, and run again, ends with the weights of an uninterrupted one."""
    uninterrupted = Training(toy, **changed).run()
    setup = toy.setup(**changed)
    config = {"model": setup.model.model_dump(), "train": setup.train.model_dump(), "method": toy.method().model_dump()}
    killed(KILLED_SCRIPT.format(config=json.dumps(config), reads=12))  # four steps per epoch, two qualities per step
    resumed = Training(toy, **changed)
    assert len(resumed.checkpoint.load()["history"]) == 1
    resumed.run(use_checkpoint=True)
    assert are_equal(resumed.weights, uninterrupted.weights)
    assert resumed.history == uninterrupted.history
    assert [number for number, _ in resumed.reported] == [0, 1, 2]


@pytest.mark.parametrize("resized_crop", [None, {"scale": [0.5, 1.0], "ratio": [0.8, 1.25]}])
def test_a_training_takes_parts_of_images_that_are_kept_larger(toy, monkeypatch, resized_crop):
    """Images of train of 20 pixels become batches of 16, as the network and all other splits have them."""
    split = toy.split("train")
    larger = np.pad(split.images, ((0, 0), (2, 2), (2, 2), (0, 0)), "edge")
    np.save(toy.root / "data/splits/train/images.npy", larger)
    for quality in toy.qualities:
        toy.build_cache(quality)
    monkeypatch.setattr("fct.train.estimator.STEPS", 2)
    method = toy.method()
    method = method.model_copy(update={"block": method.block.model_copy(update={"unknown_quality": "estimate"})})
    training = Training(toy, method, resized_crop=resized_crop, epochs=1).run()
    for batch in loop(training).batches(0):
        assert batch.raw.shape == batch.compressed.shape == (24, 3, 16, 16)
    assert training.network.size == 16
    fit_estimator(training.network, training.data, method, training.setup.train)
    assert training.network.estimator is not None


def test_a_finished_training_is_not_repeated(toy):
    """A training that is run again after its end returns its best weights and history without a step."""
    first = Training(toy).run(use_checkpoint=True)
    again = Training(toy)
    again.data = dataclasses.replace(again.data, source=Cached({}))  # a step would fail
    again.run(use_checkpoint=True)
    assert are_equal(again.weights, first.weights)
    assert again.history == first.history


@pytest.mark.parametrize(
    "changed",
    [
        {"learning_rate": 0.05},
        {"seed": 1},
        {"views": "online"},
        {"crop_padding": 1},
        {"epochs": 4},
        {"batch_size": 16},
        {"processes": 2},
    ],
)
def test_a_changed_parameter_never_resumes(toy, changed):
    """After a change of any value of `train` there is no checkpoint to resume from."""
    Training(toy, epochs=1).run(use_checkpoint=True)
    assert Training(toy, epochs=1).checkpoint.load()
    assert Training(toy, **{"epochs": 1} | changed).checkpoint.load() is None


def test_changed_data_method_or_model_never_resumes(toy):
    """With other data, codec, qualities, subsampling, method or model, the checkpoint is not found."""
    setup, method = toy.setup(), toy.method()
    meta = {"digest": toy.digest, "codec": "a 1.0", "order": "compress, crop"}
    changed = [
        (setup, method, meta | {"digest": "f00d"}),
        (setup, method, meta | {"codec": "a 1.1"}),
        (setup, method, meta | {"order": "crop, compress"}),
        (setup._replace(qualities=(20,)), method, meta),
        (setup._replace(subsampling="4:4:4"), method, meta),
        (setup._replace(model=setup.model.model_copy(update={"width": 9})), method, meta),
        (setup, toy.method(weight=0.31), meta),
        (setup, toy.method(layers=["stage1"]), meta),
    ]
    paths = {Checkpoint(identity(*parts)).path for parts in [(setup, method, meta), *changed]}
    assert len(paths) == 1 + len(changed)


def test_a_diverging_training_names_the_step(toy):
    """The error for a huge learning rate has the step and what to lower, and says that there is no checkpoint yet."""
    with pytest.raises(
        FctError, match=r"diverged: the loss is .* at step [234] of epoch 1\. There is no checkpoint yet"
    ) as caught:
        Training(toy, learning_rate=1e6).run(use_checkpoint=True)
    assert "Lower train.learning_rate or method.weight in params.yaml" in str(caught.value)


def test_a_loss_that_is_not_a_number_names_the_last_good_checkpoint(toy):
    """NaN weights after the first epoch are an error at the next step, with the last good checkpoint."""
    training = Training(toy)

    def poison(number, _metrics):
        if number == 0:
            with torch.no_grad():
                training.network.backbone.head.weight.fill_(float("nan"))

    with pytest.raises(
        FctError, match=r"the loss is nan at step 1 of epoch 2\. The last good checkpoint is "
    ) as caught:
        train(
            training.network, training.data, training.method, training.setup.train,
            checkpoint=training.checkpoint, on_epoch=poison,
        )  # fmt: skip
    assert str(training.checkpoint.path) in str(caught.value)
    weights = training.checkpoint.load()["network"]
    assert all(torch.isfinite(value).all() for value in weights.values())


@pytest.mark.parametrize("epochs", [1, 2])
def test_weights_that_overflow_at_the_end_of_an_epoch_are_not_saved(toy, epochs):
    """If the only step of an epoch makes the weights overflow, it is an error, and no checkpoint is saved."""
    training = Training(toy, toy.method(name="standard"), epochs=epochs, batch_size=96, learning_rate=1e38)
    with pytest.raises(FctError, match=r"diverged: .* epoch 1\. There is no checkpoint yet"):
        training.run(use_checkpoint=True)
    assert training.checkpoint.load() is None


def test_patience_ends_a_training_that_does_not_improve(toy):
    """Without improvement, a training stops after `patience` more epochs and keeps the first epoch's weights."""
    training = Training(toy, epochs=9, patience=2)
    labels = np.full(len(training.data.val), 7)  # a class that the network never predicts
    training.data = dataclasses.replace(training.data, val=dataclasses.replace(training.data.val, labels=labels))
    first = []

    def copy_weights(number, _metrics):
        if number == 0:
            first.append(training.weights)

    history = train(training.network, training.data, training.method, training.setup.train, on_epoch=copy_weights)
    assert len(history) == 3
    assert are_equal(training.weights, first[0])


def test_the_best_epoch_is_kept(toy):
    """The network ends with the weights of the first epoch of the highest raw plus compressed accuracy."""
    training = Training(toy, epochs=5, learning_rate=0.5)
    weights = []
    history = train(
        training.network, training.data, training.method, training.setup.train,
        on_epoch=lambda _number, _metrics: weights.append(training.weights),
    )  # fmt: skip
    scores = [metrics["val_raw"] + metrics["val_compressed"] for metrics in history]
    assert are_equal(training.weights, weights[int(np.argmax(scores))])
    assert len(set(scores)) > 1


def test_teacher_and_projections_are_resumed(toy):
    """A training with an EMA teacher and projections, stopped and resumed, ends with the same weights."""
    method = toy.method(name="fct", target="ema-teacher", projection="linear", weight=1.0)
    uninterrupted = Training(toy, method).run()
    stopped = Training(toy, method)

    def stop(number, _metrics):
        if number == 0:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(stopped.network, stopped.data, method, stopped.setup.train, checkpoint=stopped.checkpoint, on_epoch=stop)
    resumed = Training(toy, method).run(use_checkpoint=True)
    assert are_equal(uninterrupted.weights, resumed.weights)
    assert uninterrupted.history == resumed.history


def test_the_sampler_decides_which_qualities_are_drawn(toy):
    """A curriculum draws only the highest quality at first, and all qualities later."""
    training = Training(toy, quality_sampler="curriculum")
    running = Loop(training.network, training.data, training.method, training.setup.train)
    with closing(running.batches(0)) as batches:
        assert {int(quality) for batch in batches for quality in batch.quality} == {60}
    with closing(running.batches(2)) as batches:
        assert {int(quality) for batch in batches for quality in batch.quality} == {20, 60}


def loop(training, checkpoint=None):
    """Return the loop of a training before its first step."""
    return Loop(training.network, training.data, training.method, training.setup.train, checkpoint)


def test_the_moving_average_teacher_moves_with_each_step(toy):
    """After each step the teacher's weights are 0.75 of its old ones plus 0.25 of the network's new ones."""
    running = loop(Training(toy, toy.method(name="fct", target="ema-teacher", ema_momentum=0.75)))
    student, teacher = running.network.backbone.head.weight, running.aids.teacher.module.backbone.head.weight
    running.network.train()
    with closing(running.batches(0)) as batches:
        for _ in range(2):
            before = teacher.detach().clone()
            running.step(next(batches))
            assert not torch.equal(teacher, before)
            torch.testing.assert_close(teacher, 0.75 * before + 0.25 * student.detach())


def test_methods_get_the_progress_of_the_training(toy, monkeypatch):
    """The progress is 0 at the first step, and grows by the same amount with each step, also after a resume."""
    values = []
    real = TrainingAids.at
    monkeypatch.setattr(TrainingAids, "at", lambda self, progress: values.append(progress) or real(self, progress))
    first = Training(toy, epochs=2)
    loop(first, first.checkpoint).run_epoch(0)
    again = loop(Training(toy, epochs=2), first.checkpoint)
    again.resume()
    again.run_epoch(1)
    assert values == pytest.approx([step / 8 for step in range(8)])  # four steps per epoch


@pytest.mark.parametrize("augments", [False, True])
def test_steps_are_plain_gradient_descent(toy, augments):
    """Each step uses only the gradient of its batch. The seed decides the random choices of a method."""
    method = toy.method(name="augment" if augments else "pair")
    first, second = Training(toy, method), Training(toy, method)
    running, by_hand = loop(first), loop(second)
    running.run_epoch(0)
    network, batches = second.network.train(), by_hand.batches(0)
    with closing(batches):
        for batch in batches:
            gradients = torch.autograd.grad(
                METHODS[method.name].loss(network, batch, method, Context()).total, list(network.parameters())
            )
            for weight, gradient in zip(network.parameters(), gradients, strict=True):
                weight.grad = gradient
            by_hand.optimiser.step()
            by_hand.schedule.step()
    assert are_equal(first.weights, second.weights)


def test_each_epoch_has_another_order(toy):
    """The order of the images differs between epochs and between seeds."""

    def order(seed, number):
        running = loop(Training(toy, toy.method(name="standard"), seed=seed, crop_padding=0, flip=False))
        with closing(running.batches(number)) as batches:
            return torch.cat([batch.raw for batch in batches])

    first = order(0, 0)
    assert torch.equal(first, order(0, 0))
    assert not torch.equal(first, order(0, 1))
    assert not torch.equal(first, order(1, 0))


def looped(training):
    """Return the loop of a training, in training mode."""
    loop = Loop(training.network, training.data, training.method, training.setup.train)
    loop.network.train()
    return loop


def test_gradients_of_several_batches_make_one_step(toy):
    """With `accumulate` the weights change after every second batch, and the rate with them."""
    loop = looped(Training(toy, accumulate=2))
    changes, before = [], None
    for batch in loop.batches(0):
        before = [weight.detach().clone() for weight in loop.network.parameters()]
        loop.step(batch)
        changes.append(not are_equal(dict(enumerate(before)), dict(enumerate(loop.network.parameters()))))
    assert changes == [False, True, False, True]
    assert loop.schedule.last_epoch == 2


def test_an_epoch_has_whole_steps(toy):
    """Of four batches, three make a step, and the last is left out; more than there are make one step."""
    assert len(list(looped(Training(toy, accumulate=3)).batches(0))) == 3
    assert len(list(looped(Training(toy, accumulate=9)).batches(0))) == 4


def test_the_norm_of_the_gradient_is_limited(toy):
    """Plain gradient descent moves the weights by no more than the rate times the limit."""
    loop = looped(
        Training(
            toy, toy.method(name="standard"), clip_norm=1e-3, momentum=0.0, weight_decay=0.0, learning_rate=0.5,
            rate_schedule="cosine", warm_up=0.0,
        )
    )  # fmt: skip
    before = [weight.detach().clone() for weight in loop.network.parameters()]
    loop.step(next(iter(loop.batches(0))))
    after = [weight.detach() for weight in loop.network.parameters()]
    moved = sum(float((old - new).square().sum()) for old, new in zip(before, after, strict=True))
    assert moved**0.5 == pytest.approx(0.5 * 1e-3, rel=1e-3)


def test_the_average_of_the_weights_is_what_is_kept(toy):
    """With `ema` the result is the average at the best epoch, not the weights of any step."""
    plain, averaged = Training(toy, epochs=1).run(), Training(toy, epochs=1, ema=0.9).run()
    assert plain.history[0]["loss"] == averaged.history[0]["loss"]
    assert not are_equal(plain.weights, averaged.weights)


def test_a_loss_in_fp16_is_scaled_and_an_overflow_changes_nothing(toy):
    """The scale is large; while gradients overflow, it shrinks, and neither weights nor learning rate move."""
    loop = looped(Training(toy, precision="fp16", clip_norm=1.0))
    loop.scaler.load_state_dict(loop.scaler.state_dict() | {"scale": 1e30})
    before = [weight.detach().clone() for weight in loop.network.parameters()]
    batches = [batch for number in range(2) for batch in loop.batches(number)]
    loop.step(batches[0])
    assert loop.scaler.get_scale() == pytest.approx(0.5e30)
    assert loop.schedule.last_epoch == 0
    assert are_equal(dict(enumerate(before)), dict(enumerate(loop.network.parameters())))
    loop.scaler.load_state_dict(loop.scaler.state_dict() | {"scale": 1024.0})
    for batch in batches[1:]:
        loop.step(batch)
    assert loop.schedule.last_epoch > 0
    assert not are_equal(dict(enumerate(before)), dict(enumerate(loop.network.parameters())))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_fp16_learns_on_a_gpu(toy):
    """The scaled loss falls as in other precisions, and weights stay float32."""
    training = Training(toy, precision="fp16", epochs=6).run()
    assert training.history[-1]["loss"] < training.history[0]["loss"]
    assert {value.dtype for value in training.network.parameters()} == {torch.float32}


def test_frozen_weights_and_their_norms_do_not_change(toy):
    """Neither weights nor running statistics of the stem move; the rest is trained."""
    training = Training(toy, freeze=["stem.*"], epochs=1)
    before = {name: value.clone() for name, value in training.network.backbone.state_dict().items()}
    training.run()
    after = training.network.backbone.state_dict()
    same = {name for name in before if torch.equal(before[name], after[name])}
    assert {name for name in before if name.startswith("stem.")} <= same
    assert "head.weight" not in same


def test_with_balance_a_rare_class_is_drawn_as_often_as_others(toy):
    """Of the images of an epoch, each class has about its share, whatever its number of images."""
    training = Training(toy, balance="classes", batch_size=96)
    labels = training.data.train.labels
    rare = np.flatnonzero(labels == labels[0])[:1]
    kept = np.concatenate([np.flatnonzero(labels != labels[0]), rare])
    split = dataclasses.replace(training.data.train, labels=np.where(np.isin(np.arange(len(labels)), kept), labels, 2))
    loop = looped(training)
    loop.data = dataclasses.replace(training.data, train=split)
    drawn = np.concatenate([batch.labels.numpy() for number in range(10) for batch in loop.batches(number)])
    shares = np.bincount(drawn, minlength=3) / len(drawn)
    present = np.unique(split.labels)
    assert shares[present] == pytest.approx(1 / len(present), abs=0.08)


def test_a_training_can_start_from_the_baselines_weights(toy):
    """Its network begins with the baseline's; without its file the error says how to make it."""
    with pytest.raises(FctError, match=r"train\.start: baseline: .*standard\.pt is not here\. .*dvc repro baseline"):
        Training(toy, start="baseline")
    baseline = Training(toy, toy.method(name="standard"), epochs=1).run()
    _, description = make_network(baseline.setup, baseline.method, baseline.data.train, baseline.meta)
    saved.save(baseline.network, description, STANDARD_PT)
    started = Training(toy, start="baseline")
    assert are_equal(baseline.network.backbone.state_dict(), started.network.backbone.state_dict())
    assert started.network.blocks is not None


def test_every_epoch_trains_in_training_mode(toy):
    """Batch statistics are updated in every step, although validation sets the network to evaluation mode."""
    running = loop(Training(toy, toy.method(name="standard"), epochs=2))
    batches = running.network.backbone.stem[1].num_batches_tracked
    for number in range(2):
        running.network.eval()
        running.run_epoch(number)
        assert int(batches) == (number + 1) * running.steps


def test_the_learning_rate_rises_and_falls_once(toy):
    """The learning rate has one peak, at the value of params.yaml, and is far lower at the start and the end."""
    running = loop(Training(toy, epochs=2))
    rates = []
    running.network.train()
    for number in range(2):
        with closing(running.batches(number)) as batches:
            for batch in batches:
                rates.append(running.optimiser.param_groups[0]["lr"])
                running.step(batch)
    assert max(rates) == pytest.approx(0.1, rel=0.05)
    assert 0 < rates.index(max(rates)) < len(rates) - 1
    assert max(rates[0], rates[-1]) < max(rates) / 10


def test_raw_and_compressed_accuracy_count_equally_for_the_best_epoch():
    """The epoch with the larger gain is better, whether the gain is on raw or on compressed images."""
    epochs = [{"val_raw": 0.6, "val_compressed": 0.6}, {"val_raw": 0.7, "val_compressed": 0.6}]
    epochs += [{"val_raw": 0.6, "val_compressed": 0.75}]
    assert sorted(epochs, key=score) == epochs
    assert score({"val_raw": 0.8, "val_compressed": 0.6}) == score({"val_raw": 0.6, "val_compressed": 0.8})


def test_a_training_leaves_its_network_in_evaluation_mode(toy):
    """This also holds for a training that had ended before, where no step is taken."""
    first, again = (
        Training(toy, toy.method(name="standard"), epochs=1),
        Training(toy, toy.method(name="standard"), epochs=1),
    )
    assert not first.run(use_checkpoint=True).network.training
    again.network.train()
    assert not again.run(use_checkpoint=True).network.training


def test_an_infinite_total_loss_stops_although_the_cross_entropy_is_finite(toy):
    """If only the consistency term diverges, the first step is an error."""
    method = toy.method(name="fct", distance="mse").model_copy(update={"weight": 1e300})
    with pytest.raises(FctError, match=r"diverged: the loss is inf at step 1 of epoch 1"):
        Training(toy, method).run()


def test_a_small_split_has_images_for_every_process(toy):
    """The error names the key and the number of training images, before anything is computed."""
    training = Training(toy)
    with pytest.raises(
        FctError, match=r"train\.processes: 49 processes are too many for 96 training images: each needs"
    ):
        Loop(
            training.network,
            training.data,
            training.method,
            training.setup.train.model_copy(update={"batch_size": 1000}),
            group=Group(0, 49),
        )
