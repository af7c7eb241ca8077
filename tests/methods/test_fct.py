"""`fct` is `pair` plus the consistency of features, measured by several distances."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import cross_entropy

from fct.images.tables import UNKNOWN_QUALITY
from fct.losses.projection import projections
from fct.methods import augment, fct, jsd, pair
from fct.methods.batch import Batch, Context, forward_both

DISTANCES = ["mse", "centred-mse", "cosine"]


def feature(seed, *shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("blocks", [False, True])
@pytest.mark.parametrize("distance", DISTANCES)
def test_with_weight_0_it_is_pair_to_the_bit(make_network, batch, toy, gradients, distance, blocks):
    """At weight 0 the loss and every gradient are those of `pair`."""
    network, control_network = make_network(blocks=blocks), make_network(blocks=blocks)
    loss = fct.loss(network, batch, toy.method(weight=0, distance=distance, target="raw"))
    control = pair.loss(control_network, batch, toy.method(name="pair"))
    assert torch.equal(loss.total, control.total)
    actual, expected = gradients(network, loss.total), gradients(control_network, control.total)
    assert actual.keys() == expected.keys()
    assert [name for name in actual if not torch.equal(actual[name], expected[name])] == []


@pytest.mark.parametrize("target", ["raw", "raw-detached"])
def test_the_loss_adds_the_weighted_mean_over_layers(make_network, batch, toy, target):
    """The loss is the cross entropy plus lambda times the layers' mean distance, for both targets."""
    network = make_network(blocks=True).eval()
    method = toy.method(weight=0.7, distance="mse", target=target)
    loss = fct.loss(network, batch, method)
    _, features = forward_both(network, batch, method)
    by_layer = [float((compressed - raw).detach().square().mean()) for raw, compressed in features.values()]
    assert len(by_layer) == 2
    assert loss.parts["consistency"].item() == pytest.approx(sum(by_layer) / 2, rel=1e-5)
    total = loss.parts["cross_entropy"].item() + 0.7 * loss.parts["consistency"].item()
    assert loss.total.item() == pytest.approx(total, rel=1e-6)


def test_the_divergence_of_predictions_is_added_with_its_weight(make_network, batch, toy):
    """With a weight of 2 the loss is the one without, plus twice the divergence that `jsd` has."""
    network = make_network().eval()
    without, expected = fct.loss(network, batch, toy.method()), jsd.loss(network, batch, toy.method(name="jsd"))
    loss = fct.loss(network, batch, toy.method(prediction_weight=2))
    assert loss.parts["divergence"].item() == expected.parts["divergence"].item() > 0
    assert loss.total.item() == pytest.approx(without.total.item() + 2 * loss.parts["divergence"].item())


def test_predictions_pull_on_every_trained_weight(make_network, batch, toy, gradients):
    """Unlike consistency of inner layers, the divergence reaches the head."""
    network = make_network()
    loss = fct.loss(network, batch, toy.method(prediction_weight=2))
    assert float(gradients(network, loss.parts["divergence"])["backbone.head.weight"].abs().sum()) > 0


class _Told(torch.nn.Module):
    """A network that keeps the qualities it is told."""

    def forward(self, image, quality):
        self.quality = quality
        return torch.zeros(len(image), 3, requires_grad=True), {"layer": torch.rand(len(image), 4)}


@pytest.mark.parametrize(("name", "probability", "hidden"), [("fct-r", 1.0, 12), ("fct-r", 0.0, 0), ("fct", 1.0, 0)])
def test_a_quality_that_is_hidden_is_unknown(batch, toy, name, probability, hidden):
    """With probability 1 blocks are told nothing of either view, with 0 everything; `fct` has no blocks."""
    network = _Told()
    fct.loss(network, batch, toy.method(name=name, hidden_quality=probability, layers=["layer"]))
    assert int((network.quality == UNKNOWN_QUALITY).sum()) == hidden


@pytest.mark.parametrize("views", ["both", "one"])
def test_the_teacher_is_told_what_the_network_is_not(batch, toy, views):
    """Its features of the raw images are those that it has where it knows their quality."""
    teacher, known = _Told(), torch.full_like(batch.raw_quality, 75)
    params = toy.method(name="fct-r", hidden_quality=1.0, target="teacher", matched_views=views, layers=["layer"])
    fct.loss(_Told(), replace(batch, raw_quality=known), params, Context(teacher=teacher))
    assert set(teacher.quality.tolist()) == {75}


@given(probability=st.floats(0.05, 0.95))
@settings(max_examples=20)
def test_views_are_hidden_independently_with_the_probability(probability):
    """Over 4,000 images each view's share of hidden ones is the probability, and both are hidden with its square."""
    size, image = 4_000, torch.zeros(4_000, 1, 1, 1, dtype=torch.uint8)
    known = torch.full((size,), 50)
    batch = Batch(image, known, image, known, known, image)
    torch.manual_seed(0)
    hidden = fct.hide_qualities(batch, probability)
    raw, compressed = hidden.raw_quality == UNKNOWN_QUALITY, hidden.quality == UNKNOWN_QUALITY
    for share, expected in ((raw, probability), (compressed, probability), (raw & compressed, probability**2)):
        assert float(share.float().mean()) == pytest.approx(expected, abs=0.04)
    assert set(hidden.quality[~compressed].tolist()) == {50}


class _Branches(torch.nn.Module):
    """A network whose features are two parameters, to test the gradient of each branch."""

    def __init__(self, raw, compressed):
        super().__init__()
        self.raw, self.compressed = torch.nn.Parameter(raw), torch.nn.Parameter(compressed)

    def forward(self, image, _quality):
        return torch.zeros(len(image), 3), {"layer": torch.cat([self.raw, self.compressed])}


@pytest.mark.parametrize("distance", DISTANCES)
def test_a_detached_raw_branch_gets_no_gradient(batch, toy, distance):
    """With raw-detached only the compressed features get a gradient. With raw, the raw features get one, too."""
    gradients = {}
    for target in ("raw-detached", "raw"):
        network = _Branches(feature(1, 6, 4, 2, 2), feature(2, 6, 4, 2, 2))
        fct.loss(network, batch, toy.method(distance=distance, target=target, layers=["layer"])).total.backward()
        gradients[target] = [float(leaf.grad.abs().sum()) for leaf in (network.raw, network.compressed)]
    assert gradients["raw-detached"][0] == 0
    assert min(gradients["raw-detached"][1], *gradients["raw"]) > 0


@pytest.mark.parametrize("target", ["raw", "raw-detached"])
def test_consistency_reaches_the_weights_below_its_layers(make_network, batch, toy, gradients, target):
    """The consistency term has a gradient for the stem and the blocks, but not for the head."""
    network = make_network(blocks=True)
    loss = fct.loss(network, batch, toy.method(target=target))
    term_gradients = gradients(network, loss.parts["consistency"])
    assert float(term_gradients["backbone.stem.0.weight"].abs().sum()) > 0
    assert float(term_gradients["blocks.stage3.expand.weight"].abs().sum()) > 0
    assert "backbone.head.weight" not in term_gradients


@pytest.mark.parametrize(
    ("schedule", "progress", "share"), [("constant", 0.3, 1.0), ("rising", 0.3, 0.3), ("falling", 0.3, 0.7)]
)
def test_the_weight_follows_its_schedule(make_network, batch, toy, schedule, progress, share):
    """The consistency term has the share of its weight that the schedule gives for the progress."""
    method = toy.method(weight=0.5, schedule=schedule)
    loss = fct.loss(make_network().eval(), batch, method, Context(progress))
    expected = loss.parts["cross_entropy"] + 0.5 * share * loss.parts["consistency"]
    torch.testing.assert_close(loss.total, expected)


@pytest.mark.parametrize("target", ["teacher", "ema-teacher"])
def test_the_target_can_be_a_teachers_feature(make_network, batch, toy, target):
    """With a teacher, the target is its feature of the reference, not the network's feature of the raw view."""
    network, teacher = make_network().eval(), make_network(blocks=False).eval()
    torch.nn.init.constant_(teacher.backbone.stem[0].weight, 0.1)
    method = toy.method(name="fct", distance="mse", target=target, teacher="some.pt")
    batch = replace(batch, reference=batch.raw.flip(3))
    loss = fct.loss(network, batch, method, Context(teacher=teacher))
    _, features = network(batch.compressed, batch.quality)
    _, targets = teacher(batch.reference, batch.raw_quality)
    expected = sum((features[layer] - targets[layer]).square().mean().item() for layer in method.layers) / 2
    assert loss.parts["consistency"].item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("own", [False, True])
def test_features_of_both_views_can_be_matched(make_network, batch, toy, own):
    """With `matched_views: both` the term is the mean distance of both views to the teacher's features."""
    network, teacher = make_network().eval(), make_network().eval()
    torch.nn.init.constant_(teacher.backbone.stem[0].weight, 0.1)
    method = toy.method(name="fct", distance="mse", target="teacher", teacher="some.pt", matched_views="both")
    batch = replace(batch, reference=batch.raw.flip(3)) if own else batch
    loss = fct.loss(network, batch, method, Context(teacher=teacher))
    pairs = [(batch.raw, batch.raw_quality, batch.raw), (batch.compressed, batch.quality, batch.reference)]
    distances = []
    for view, quality, teacher_view in pairs:
        features, targets = network(view, quality)[1], teacher(teacher_view, batch.raw_quality)[1]
        distances += [(features[layer] - targets[layer]).square().mean().item() for layer in method.layers]
    assert loss.parts["consistency"].item() == pytest.approx(sum(distances) / 4, rel=1e-5)


def with_one_view(toy, **changed):
    told = {"distance": "mse", "target": "teacher", "teacher": "some.pt", "matched_views": "one", "probability": 1}
    return toy.method(**told | changed)


def test_one_view_can_be_matched(make_network, batch, toy):
    """With `matched_views: one` and probability 1 only compressed views are seen, and pulled to the teacher."""
    network, teacher = make_network().eval(), make_network().eval()
    torch.nn.init.constant_(teacher.backbone.stem[0].weight, 0.1)
    method = with_one_view(toy)
    batch = replace(batch, reference=batch.raw.flip(3))
    loss = fct.loss(network, batch, method, Context(teacher=teacher))
    logits, features = network(batch.compressed, batch.quality)
    targets = teacher(batch.reference, batch.raw_quality)[1]
    distances = [(features[layer] - targets[layer]).square().mean().item() for layer in method.layers]
    assert loss.parts["consistency"].item() == pytest.approx(sum(distances) / len(distances), rel=1e-5)
    torch.testing.assert_close(loss.parts["cross_entropy"], cross_entropy(logits, batch.labels))


def test_a_raw_view_has_the_teachers_crop(make_network, batch, toy):
    """With probability 0 the network sees what the teacher sees, so that equal networks have equal features."""
    network = make_network(blocks=False).eval()
    batch = replace(batch, reference=batch.raw.flip(3))
    loss = fct.loss(network, batch, with_one_view(toy, name="fct", probability=0), Context(teacher=network))
    assert loss.parts["consistency"].item() == 0


@pytest.mark.parametrize("probability", [0, 0.5, 1])
def test_one_view_without_weight_is_augment(make_network, batch, toy, probability):
    """With weight 0, `matched_views: one` is `augment` with blocks, to the bit."""
    method = with_one_view(toy, weight=0, probability=probability)
    batch = replace(batch, reference=batch.raw.flip(3))
    totals = []
    for module, name in ((fct, "fct-r"), (augment, "augment")):
        torch.manual_seed(0)
        method = method.model_copy(update={"name": name})
        totals.append(module.loss(make_network(), batch, method, Context(teacher=make_network())).total)
    assert torch.equal(*totals)


def test_the_mean_over_positions_is_compared(make_network, batch, toy):
    """With the projection `mean`, only each channel's mean over the image counts."""
    network = make_network().eval()
    method = toy.method(name="fct", distance="mse", projection="mean", layers=["stage1"])
    loss = fct.loss(network, batch, method)
    raw, compressed = forward_both(network, batch, method)[1]["stage1"]
    expected = (raw.mean((2, 3)) - compressed.mean((2, 3))).square().mean().item()
    assert loss.parts["consistency"].item() == pytest.approx(expected, rel=1e-4)


def test_a_linear_projection_maps_the_compressed_feature(make_network, batch, toy):
    """It is applied only to the compressed view, and starts as the identity."""
    network = make_network().eval()
    plain, linear = (
        toy.method(name="fct", distance="mse", layers=["stage1"], projection=name) for name in ("none", "linear")
    )
    layers = projections({"stage1": 8})
    identity = fct.loss(network, batch, linear, Context(projections=layers))
    torch.testing.assert_close(identity.total, fct.loss(network, batch, plain).total)
    with torch.no_grad():
        layers["stage1"].weight.mul_(2)
    raw, compressed = forward_both(network, batch, linear)[1]["stage1"]
    doubled = fct.loss(network, batch, linear, Context(projections=layers))
    torch.testing.assert_close(doubled.parts["consistency"], (2 * compressed - raw).square().mean())


def test_a_projection_mixes_channels_by_its_rows():
    """Channel o of the projected feature is the sum of all channels, weighted by row o."""
    projection = projections({"stage1": 2})["stage1"]
    with torch.no_grad():
        projection.weight.copy_(torch.tensor([[1.0, 2.0], [0.0, 3.0]]))
    projected = projection(torch.tensor([[[[1.0]], [[10.0]]]]))
    assert projected.flatten().tolist() == [21.0, 30.0]
