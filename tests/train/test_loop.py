"""A training is decided by its data and params alone: killed and resumed, or undisturbed."""

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
from fct.models import saved as candidate
from fct.train.aids import TrainingAids
from fct.train.assemble import identity, make_network, open_data
from fct.train.batches import Cached
from fct.train.checkpoint import Checkpoint
from fct.train.loop import Training as Loop
from fct.train.loop import score, train


class Training:
    """A training in the folder that the test stands in, as the train stage makes it."""

    def __init__(self, toy, method=None, model="resnet8", **changed):
        self.setup, self.method = toy.setup(model=model, **changed), method or toy.method()
        self.data, self.meta = open_data(self.setup)
        self.network, _ = make_network(self.setup, self.method, self.data.train, self.meta)
        self.checkpoint = Checkpoint(identity(self.setup, self.method, self.meta))
        self.told = []

    def run(self, *, saved=False):
        checkpoint = self.checkpoint if saved else None
        told = lambda number, metrics: self.told.append((number, metrics))  # noqa: E731 one line is plainer
        self.history = train(
            self.network, self.data, self.method, self.setup.train, checkpoint=checkpoint, on_epoch=told
        )
        return self

    @property
    def weights(self):
        return {name: value.clone() for name, value in self.network.state_dict().items()}


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("name", METHODS)
def test_every_method_learns_the_colours(toy, name):
    """A few epochs of any method tell three colours apart, raw and compressed, and say how at each epoch."""
    setup = toy.setup()
    data, meta = open_data(setup)
    candidate.save(*make_network(setup, toy.method(name="standard"), data.train, meta), STANDARD_PT)  # teaches
    done = Training(toy, toy.method(name=name), epochs=6).run()
    assert done.history[-1]["loss"] < done.history[0]["loss"]
    assert max(metrics["val_compressed"] for metrics in done.history) > 0.6
    parts = {"loss", "cross_entropy", "val_raw", "val_compressed", "learning_rate"}
    own = {"fct": {"consistency"}, "fct-r": {"consistency"}, "stability": {"stability"}, "jsd": {"divergence"}}
    own["distill"] = {"distillation"}
    assert set(done.history[0]) == parts | own.get(name, set())
    assert done.told == list(enumerate(done.history))
    assert not done.network.training


@pytest.mark.parametrize("views", ["cache", "online"])
def test_two_trainings_give_the_same_weights(toy, views):
    """On a CPU the seed decides everything, to the bit; another seed ends elsewhere."""
    one, two, other = (Training(toy, views=views, seed=seed, epochs=2).run() for seed in (0, 0, 1))
    assert same(one.weights, two.weights)
    assert one.history == two.history
    assert not same(one.weights, other.weights)


@pytest.mark.parametrize(
    ("name", "layers", "stem"),
    [
        ("resnet8", ["stage1", "stage3"], "own"), ("mobilenet_v3_small", ["features.1", "features.3"], "own"),
        ("timm/vit_tiny_patch16_224", ["blocks.1", "blocks.9"], "own"),
        ("timm/convnext_atto", ["stages.0", "stages.1"], "small"),
    ],
)  # fmt: skip
def test_bf16_trains_blocks_and_all(toy, name, layers, stem):
    """Mixed precision goes through every part of a step, and weights stay float32."""
    method = toy.method(layers=layers)
    method = method.model_copy(update={"block": method.block.model_copy(update={"layers": layers})})
    done = Training(
        toy, method, model=name, of_model={"stem": stem}, epochs=1, precision="bf16", learning_rate=0.01
    ).run()
    assert np.isfinite(done.history[0]["loss"])
    assert {value.dtype for value in done.network.parameters()} == {torch.float32}


KILLED = """
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

told = json.loads('''{told}''')
setup = Setup((20, 60), "4:2:0", ModelParams.model_validate(told["model"]), TrainParams.model_validate(told["train"]))
method = MethodParams.model_validate(told["method"])
assemble.pick_device = lambda: torch.device("cpu")
data, meta = open_data(setup)
network, _ = make_network(setup, method, data.train, meta)

class Deadly(dict):
    reads = 0
    def __getitem__(self, quality):
        Deadly.reads += 1
        if Deadly.reads > {reads}:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().__getitem__(quality)

data = dataclasses.replace(data, source=Cached(Deadly(data.source.cache)))
train(network, data, method, setup.train, checkpoint=Checkpoint(identity(setup, method, meta)))
"""


def test_a_killed_training_goes_on_to_the_same_weights(toy, killed):
    """SIGKILL in the second of three epochs, then the same command again: the weights of an undisturbed training."""
    undisturbed = Training(toy).run()
    setup = toy.setup()
    told = {"model": setup.model.model_dump(), "train": setup.train.model_dump(), "method": toy.method().model_dump()}
    killed(KILLED.format(told=json.dumps(told), reads=12))  # four steps an epoch, two qualities each
    again = Training(toy)
    assert len(again.checkpoint.load()["history"]) == 1
    again.run(saved=True)
    assert same(again.weights, undisturbed.weights)
    assert again.history == undisturbed.history
    assert [number for number, _ in again.told] == [0, 1, 2]


def test_a_finished_training_is_not_taken_again(toy):
    """Run again after its end, a training gives its best weights and its history at once."""
    first = Training(toy).run(saved=True)
    again = Training(toy)
    again.data = dataclasses.replace(again.data, source=Cached({}))  # nothing to train on
    again.run(saved=True)
    assert same(again.weights, first.weights)
    assert again.history == first.history


@pytest.mark.parametrize(
    "changed",
    [{"learning_rate": 0.05}, {"seed": 1}, {"views": "online"}, {"crop_padding": 1}, {"epochs": 4}, {"batch_size": 16}],
)
def test_a_changed_parameter_never_resumes(toy, changed):
    """Whatever of `train` changes, there is no checkpoint to resume from."""
    Training(toy, epochs=1).run(saved=True)
    assert Training(toy, epochs=1).checkpoint.load()
    assert Training(toy, **{"epochs": 1} | changed).checkpoint.load() is None


def test_changed_data_method_or_model_never_resumes(toy):
    """No other data, codec, qualities or subsampling, and no other method or model, finds the checkpoint."""
    setup, method = toy.setup(), toy.method()
    meta = {"digest": toy.digest, "codec": "a 1.0", "order": "compress, crop"}
    others = [
        (setup, method, meta | {"digest": "f00d"}),
        (setup, method, meta | {"codec": "a 1.1"}),
        (setup, method, meta | {"order": "crop, compress"}),
        (setup._replace(qualities=(20,)), method, meta),
        (setup._replace(subsampling="4:4:4"), method, meta),
        (setup._replace(model=setup.model.model_copy(update={"width": 9})), method, meta),
        (setup, toy.method(weight=0.31), meta),
        (setup, toy.method(layers=["stage1"]), meta),
    ]
    paths = {Checkpoint(identity(*each)).path for each in [(setup, method, meta), *others]}
    assert len(paths) == 1 + len(others)


def test_a_diverging_training_names_the_step(toy):
    """An absurd learning rate stops with the step and what to lower; no checkpoint was kept yet, and that is said."""
    with pytest.raises(
        FctError, match=r"diverged: the loss is .* at step [234] of epoch 1\. There is no checkpoint yet"
    ) as caught:
        Training(toy, learning_rate=1e6).run(saved=True)
    assert "Lower train.learning_rate or method.weight in params.yaml" in str(caught.value)


def test_a_loss_that_is_not_a_number_names_the_last_good_checkpoint(toy):
    """NaN weights after the first epoch stop the second at its first step, with the checkpoint to go back to."""
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
    kept = training.checkpoint.load()["network"]
    assert all(torch.isfinite(value).all() for value in kept.values())


@pytest.mark.parametrize("epochs", [1, 2])
def test_weights_that_blow_up_at_the_end_of_an_epoch_are_never_kept(toy, epochs):
    """One step an epoch, so huge that the weights overflow: an error, and no checkpoint of them to resume from."""
    training = Training(toy, toy.method(name="standard"), epochs=epochs, batch_size=96, learning_rate=1e38)
    with pytest.raises(FctError, match=r"diverged: .* epoch 1\. There is no checkpoint yet"):
        training.run(saved=True)
    assert training.checkpoint.load() is None


def test_patience_ends_a_training_that_gets_no_better(toy):
    """Validation that cannot improve stops after `patience` more epochs; the first, as good as any, is kept."""
    training = Training(toy, epochs=9, patience=2)
    labels = np.full(len(training.data.val), 7)  # a class that no network of three predicts
    training.data = dataclasses.replace(training.data, val=dataclasses.replace(training.data.val, labels=labels))
    first = []

    def keep(number, _metrics):
        if number == 0:
            first.append(training.weights)

    history = train(training.network, training.data, training.method, training.setup.train, on_epoch=keep)
    assert len(history) == 3
    assert same(training.weights, first[0])


def test_the_best_epoch_is_kept(toy):
    """The network is left with the weights after which raw plus compressed accuracy was first highest."""
    training = Training(toy, epochs=5, learning_rate=0.5)
    weights = []
    history = train(
        training.network, training.data, training.method, training.setup.train,
        on_epoch=lambda _number, _metrics: weights.append(training.weights),
    )  # fmt: skip
    scores = [metrics["val_raw"] + metrics["val_compressed"] for metrics in history]
    assert same(training.weights, weights[int(np.argmax(scores))])
    assert len(set(scores)) > 1


def test_what_a_method_keeps_beside_the_network_is_taken_up(toy):
    """A training with a moving-average teacher and projections, stopped after an epoch, ends with the same weights."""
    method = toy.method(name="fct", target="ema-teacher", projection="linear", weight=1.0)
    straight = Training(toy, method).run()
    stopped = Training(toy, method)

    def stop(number, _metrics):
        if number == 0:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(stopped.network, stopped.data, method, stopped.setup.train, checkpoint=stopped.checkpoint, on_epoch=stop)
    resumed = Training(toy, method).run(saved=True)
    assert same(straight.weights, resumed.weights)
    assert straight.history == resumed.history


def test_the_sampler_decides_which_qualities_are_drawn(toy):
    """A curriculum begins with the highest quality alone."""
    training = Training(toy, quality_sampler="curriculum")
    started = Loop(training.network, training.data, training.method, training.setup.train)
    with closing(started.batches(0)) as batches:
        assert {int(quality) for batch in batches for quality in batch.quality} == {60}
    with closing(started.batches(2)) as batches:
        assert {int(quality) for batch in batches for quality in batch.quality} == {20, 60}


def loop(training, checkpoint=None):
    """Return the loop behind a training, before its first step."""
    return Loop(training.network, training.data, training.method, training.setup.train, checkpoint)


def test_the_moving_average_teacher_moves_with_each_step(toy):
    """After a step the teacher lies between where it was and the network's new weights, by the momentum."""
    running = loop(Training(toy, toy.method(name="fct", target="ema-teacher", ema_momentum=0.75)))
    ours, teachers = running.network.backbone.head.weight, running.companions.teacher.module.backbone.head.weight
    running.network.train()
    with closing(running.batches(0)) as batches:
        for _ in range(2):
            before = teachers.detach().clone()
            running.step(next(batches))
            assert not torch.equal(teachers, before)
            torch.testing.assert_close(teachers, 0.75 * before + 0.25 * ours.detach())


def test_methods_see_how_much_of_the_training_is_over(toy, monkeypatch):
    """The progress is 0 at the first step, grows by a step's share of all, and goes on so after a resumed epoch."""
    seen = []
    told = TrainingAids.at
    monkeypatch.setattr(TrainingAids, "at", lambda self, progress: seen.append(progress) or told(self, progress))
    first = Training(toy, epochs=2)
    loop(first, first.checkpoint).run_epoch(0)
    again = loop(Training(toy, epochs=2), first.checkpoint)
    again.resume()
    again.run_epoch(1)
    assert seen == pytest.approx([step / 8 for step in range(8)])  # four steps an epoch


@pytest.mark.parametrize("augments", [False, True])
def test_steps_are_plain_gradient_descent(toy, augments):
    """Each step takes the gradient of its own batch alone; what a method draws follows from the training's seed."""
    method = toy.method(name="augment" if augments else "pair")
    one, other = Training(toy, method), Training(toy, method)
    running, by_hand = loop(one), loop(other)
    running.run_epoch(0)
    network, batches = other.network.train(), by_hand.batches(0)
    with closing(batches):
        for batch in batches:
            gradients = torch.autograd.grad(
                METHODS[method.name].loss(network, batch, method, Context()).total, list(network.parameters())
            )
            for weight, gradient in zip(network.parameters(), gradients, strict=True):
                weight.grad = gradient
            by_hand.optimiser.step()
            by_hand.schedule.step()
    assert same(one.weights, other.weights)


def test_each_epoch_has_an_order_of_its_own(toy):
    """The second epoch shows the images in another order than the first, and so does another seed's first."""

    def order(seed, number):
        running = loop(Training(toy, toy.method(name="standard"), seed=seed, crop_padding=0, flip=False))
        with closing(running.batches(number)) as batches:
            return torch.cat([batch.raw for batch in batches])

    first = order(0, 0)
    assert torch.equal(first, order(0, 0))
    assert not torch.equal(first, order(0, 1))
    assert not torch.equal(first, order(1, 0))


def test_every_epoch_trains_in_training_mode(toy):
    """Validation looks at the network in evaluation mode, as its maker may have; each step still counts a batch."""
    running = loop(Training(toy, toy.method(name="standard"), epochs=2))
    counted = running.network.backbone.stem[1].num_batches_tracked
    for number in range(2):
        running.network.eval()
        running.run_epoch(number)
        assert int(counted) == (number + 1) * running.steps


def test_the_learning_rate_rises_and_falls_once(toy):
    """One cycle over all steps: its peak is the learning rate of params.yaml, and it begins and ends far below."""
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


def test_raw_and_compressed_accuracy_count_alike_for_the_best_epoch():
    """An epoch that gains on compressed images is better than one that gains less on raw ones."""
    gains = [{"val_raw": 0.6, "val_compressed": 0.6}, {"val_raw": 0.7, "val_compressed": 0.6}]
    gains += [{"val_raw": 0.6, "val_compressed": 0.75}]
    assert sorted(gains, key=score) == gains
    assert score({"val_raw": 0.8, "val_compressed": 0.6}) == score({"val_raw": 0.6, "val_compressed": 0.8})


def test_a_training_leaves_its_network_in_evaluation_mode(toy):
    """Also where it had ended before, and no epoch is taken."""
    first, again = (
        Training(toy, toy.method(name="standard"), epochs=1),
        Training(toy, toy.method(name="standard"), epochs=1),
    )
    assert not first.run(saved=True).network.training
    again.network.train()
    assert not again.run(saved=True).network.training


def test_a_total_that_is_no_number_stops_though_its_cross_entropy_is_one(toy):
    """The consistency term alone may run away: the first step says so."""
    method = toy.method(name="fct", distance="mse", weight=1e300)
    with pytest.raises(FctError, match=r"diverged: the loss is inf at step 1 of epoch 1"):
        Training(toy, method).run()
