"""Taps take the outputs of layers as they are, change nothing of the model, and leave nothing behind."""

import copy
import gc
import io
import pickle
import warnings
import weakref
from collections import OrderedDict

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from fct.losses.consistency import FeatureConsistencyLoss
from fct.nn.aware import QualityAware
from fct.nn.taps import FeatureTaps

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA"))]


def network():
    """Two convolutions; the layer behind the norm works in place."""
    torch.manual_seed(0)
    return nn.Sequential(
        OrderedDict(
            stem=nn.Conv2d(3, 4, 3, padding=1),
            norm=nn.BatchNorm2d(4),
            act=nn.ReLU(inplace=True),
            stage=nn.Sequential(nn.Conv2d(4, 6, 3, stride=2, padding=1), nn.ReLU()),
            pool=nn.AdaptiveAvgPool2d(1),
            flat=nn.Flatten(),
            head=nn.Linear(6, 3),
        )
    )


class Calls(nn.Module):
    """A model that calls its layer as often as it is told, and may fail behind it."""

    def __init__(self, times=1):
        super().__init__()
        self.stem, self.layer, self.times, self.fails = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 1), times, False

    def forward(self, x):
        x = self.stem(x)
        for _ in range(self.times):
            x = self.layer(x)
        if self.fails:
            raise ZeroDivisionError
        return x.mean((2, 3))


class Checkpointed(nn.Module):
    """A model that may checkpoint its second half."""

    def __init__(self, use_reentrant=None):
        super().__init__()
        torch.manual_seed(0)
        self.stem, self.use_reentrant = nn.Conv2d(3, 4, 3), use_reentrant
        self.rest = nn.Sequential(nn.Conv2d(4, 6, 3), nn.ReLU(), nn.Conv2d(6, 3, 3), nn.Tanh())

    def forward(self, x):
        x = self.stem(x)
        if self.use_reentrant is None:
            return self.rest(x).mean((2, 3))
        return checkpoint(self.rest, x, use_reentrant=self.use_reentrant).mean((2, 3))


@pytest.fixture
def model():
    return network()


@pytest.fixture
def images():
    return torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(0))


def hooks(model):
    """Count the hooks of a model."""
    return sum(len(module._forward_hooks) + len(module._forward_pre_hooks) for module in model.modules())


def outputs(model, layers, images):
    """Return copies of the layers' outputs, by hooks made by hand."""
    found = {}
    handles = [
        model.get_submodule(layer).register_forward_hook(
            lambda _module, _inputs, output, layer=layer: found.update({layer: output.detach().clone()})
        )
        for layer in layers
    ]
    model(images)
    for handle in handles:
        handle.remove()
    return found


def grads(model):
    return [weight.grad for weight in model.parameters()]


@pytest.mark.parametrize("device", DEVICES)
def test_features_are_the_outputs_of_the_layers(model, images, device):
    """Each feature is what a hook of one's own sees, though the layer behind works in place."""
    model, images = model.to(device), images.to(device)
    layers = ["norm", "stage", "stage.0", "head"]
    expected = outputs(model, layers, images)
    taps = FeatureTaps(model, layers)
    model(images)
    features = taps.features()
    assert list(features) == layers
    torch.testing.assert_close(features, expected, rtol=0, atol=0)
    assert (features["norm"] < 0).any()


def test_taps_do_not_change_the_model(images):
    """Outputs, weights, statistics, modes and the state dict are those of a model that was never tapped."""
    plain, tapped = network(), network()
    tapped.norm.eval()
    plain.norm.eval()
    taps = FeatureTaps(tapped, ["norm", "stage"])
    for mode in (True, False):
        assert torch.equal(plain.train(mode)(images), tapped.train(mode)(images))
        assert [module.training for module in tapped.modules()] == [module.training for module in plain.modules()]
    assert tapped.state_dict().keys() == plain.state_dict().keys()
    torch.testing.assert_close(tapped.state_dict(), plain.state_dict(), rtol=0, atol=0)
    assert taps.features().keys() == {"norm", "stage"}


def test_halves_are_those_of_the_batch(model, images):
    """The first half of each feature is that of the raw images, the second that of the compressed ones."""
    expected = outputs(model.eval(), ["norm", "head"], images)
    taps = FeatureTaps(model, ["norm", "head"])
    model(images)
    raw, compressed = taps.halves()
    for layer, feature in expected.items():
        assert torch.equal(raw[layer], feature[:2])
        assert torch.equal(compressed[layer], feature[2:])


def test_gradients_reach_the_layers_below(model, images):
    """A loss of a feature trains the layers up to the tapped one, and no layer above it."""
    taps = FeatureTaps(model, ["norm"])
    model(images)
    taps.features()["norm"].square().mean().backward()
    assert [name for name, weight in model.named_parameters() if weight.grad is not None] == [
        "stem.weight", "stem.bias", "norm.weight", "norm.bias",
    ]  # fmt: skip
    assert model.stem.weight.grad.abs().sum() == pytest.approx(0, abs=1e-3)  # the norm takes the scale away
    assert model.norm.weight.grad.abs().sum() > 0


def vit():
    from torchvision.models import VisionTransformer

    return VisionTransformer(16, 4, num_layers=1, num_heads=1, hidden_dim=8, mlp_dim=8, num_classes=3)


def swin():
    from torchvision.models import SwinTransformer

    return SwinTransformer([2, 2], 8, [1, 1], [1, 1], window_size=[4, 4], num_classes=3)


def convnext():
    from torchvision.models.convnext import CNBlockConfig, ConvNeXt

    return ConvNeXt([CNBlockConfig(8, 6, 1), CNBlockConfig(6, None, 1)], num_classes=3)


@pytest.mark.parametrize(
    ("make", "layer", "axis", "shape"),
    [
        (vit, "encoder.layers.encoder_layer_0", 2, (2, 8, 17)),
        (swin, "features.1", 3, (2, 8, 8, 8)),
        (swin, "features.2", 3, (2, 16, 4, 4)),
        (convnext, "features.1", 1, (2, 8, 4, 4)),
        (convnext, "features.1.0.block.3", 3, (2, 32, 4, 4)),
    ],
)
def test_channels_are_second(make, layer, axis, shape):
    """Tokens of a ViT, maps of a Swin with channels last and those of a ConvNeXt get their channels at axis 1."""
    model, images = make().eval(), torch.randn(2, 3, 16, 16)
    expected = outputs(model, [layer], images)[layer].movedim(axis, 1)
    taps = FeatureTaps(model, [layer])
    model(images)
    feature = taps.features()[layer]
    assert feature.shape == shape
    assert torch.equal(feature, expected)


def test_images_need_not_be_square(model):
    """Of images that are not square, the layers inside the tapped one tell where the channels are."""
    images = torch.randn(2, 3, 8, 12)
    taps = FeatureTaps(model, ["stage"])
    model(images)
    assert taps.features()["stage"].shape == (2, 6, 4, 6)
    linear = nn.Sequential(nn.Conv2d(3, 4, 1), Permute(), nn.Linear(4, 5))
    taps = FeatureTaps(linear, ["2"])
    linear(images)
    assert taps.features()["2"].shape == (2, 5, 8, 12)


class Permute(nn.Module):
    def forward(self, x):
        return x.permute(0, 2, 3, 1)


def test_an_unclear_layout_can_be_given(model):
    """The output of an activation for an image that is not square is unclear, but for the argument `layout`."""
    images = torch.randn(2, 3, 8, 12)
    taps = FeatureTaps(model, ["act"])
    model(images)
    with pytest.raises(RuntimeError, match=r"'act' returns a tensor of shape \[2, 4, 8, 12\].*give layout="):
        taps.features()
    taps = FeatureTaps(model, ["act", "head"], layout="map")
    model(images)
    assert [feature.shape for feature in taps.features().values()] == [(2, 4, 8, 12), (2, 3)]


def test_a_given_layout_is_for_features_with_as_many_axes(images):
    """With maps and tokens in one model, "map" does not make maps of the tokens."""
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.Flatten(2), nn.Linear(64, 5))
    taps = FeatureTaps(model, ["0", "2"], layout="map")
    model(images)
    assert [feature.shape for feature in taps.features().values()] == [(4, 4, 8, 8), (4, 5, 4)]


def test_an_unclear_layout_is_clear_at_another_size(images):
    """A cube of an activation is unclear; the next batch, of another size, is not."""
    model = nn.Sequential(nn.Conv2d(3, 8, 1), nn.ReLU())
    taps = FeatureTaps(model, ["1"])
    model(images)
    with pytest.raises(RuntimeError, match="not clear"):
        taps.features()
    model(images[:, :, :4, :4])
    assert taps.features()["1"].shape == (4, 8, 4, 4)


def test_images_may_come_behind_other_arguments():
    """The images are the argument with the most axes, wherever it stands."""
    model = QualityAware(network(), ["stem"], image_shape=(3, 8, 8))
    taps = FeatureTaps(model, ["model.stem"])
    model(quality=torch.tensor([10, 20]), image=torch.randn(2, 3, 8, 12))
    assert taps.features()["model.stem"].shape == (2, 4, 8, 12)


def test_windows_of_odd_batches_have_no_halves():
    """A layer with several rows an image needs its layout; the images then decide whether there are halves."""
    model = nn.Sequential(Windows(), nn.Linear(3, 4))
    taps = FeatureTaps(model, ["1"])
    model(torch.randn(2, 3, 4, 4))
    with pytest.raises(RuntimeError, match=r"a tensor of shape \[4, 8, 4\] for 2 images, and it is not clear"):
        taps.features()
    taps = FeatureTaps(model, ["1"], layout="tokens")
    model(torch.randn(2, 3, 4, 4))
    assert taps.halves()[1]["1"].shape == (2, 4, 8)
    model(torch.randn(3, 3, 4, 4))
    with pytest.raises(ValueError, match="the batch has 3 images"):
        taps.halves()


class Windows(nn.Module):
    """Two windows of each image: [B, C, H, W] -> [2 B, N, C]."""

    def forward(self, x):
        return x.reshape(2 * len(x), x.shape[1], -1).mT


def test_an_odd_batch_has_no_halves(model, images):
    """A batch of three images is refused, and the message says what to give the model."""
    taps = FeatureTaps(model, ["stage"])
    model(images[:3])
    with pytest.raises(ValueError, match=r"3 images; two halves need an even number: .*torch.cat\(\[images"):
        taps.halves()


def test_a_wrong_name_lists_the_nearest(model):
    """A layer that does not exist is refused with the names that are near."""
    with pytest.raises(ValueError, match=r"no layer is called 'stag'. Nearest: stage"):
        FeatureTaps(model, ["norm", "stag"])
    assert hooks(model) == 0


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ("stage", "list of one or more names"), ([], "list of one or more names"), (None, "list of one or more names"),
        ([nn.ReLU()], "a layer is ReLU; give its name"), ([nn.Sequential(nn.ReLU())], "a layer is Sequential"),
        ([3], "a layer is int"), ([""], "no layer is called ''"),
    ],
)  # fmt: skip
def test_layers_are_a_list_of_names(model, layers, message):
    """One name, no name, and modules in the place of their names are clear errors."""
    with pytest.raises((ValueError, TypeError), match=message):
        FeatureTaps(model, layers)
    assert hooks(model) == 0


def test_a_generator_of_names_is_read_once(model, images):
    """Names may come from any iterable, and a name given twice is one layer."""
    taps = FeatureTaps(model, (name for name in ["norm", "stage", "norm"]))
    model(images)
    assert list(taps.features()) == ["norm", "stage"]


def test_a_layout_that_does_not_exist_is_refused(model):
    """The message lists the layouts."""
    with pytest.raises(ValueError, match="layout is 'nchw'; it is one of vector, map, tokens, channels-last"):
        FeatureTaps(model, ["stage"], layout="nchw")
    assert hooks(model) == 0


def test_scripted_and_parallel_models_are_refused(model):
    """No layer of a scripted model or of a DataParallel can be tapped; the messages say what to do."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        scripted = torch.jit.script(model)
    with pytest.raises(TypeError, match="tap the model before"):
        FeatureTaps(scripted, ["stage"])
    with pytest.raises(TypeError, match="use DistributedDataParallel"):
        FeatureTaps(nn.DataParallel(model), ["stage"])
    with pytest.raises(TypeError, match="the model is function"):
        FeatureTaps(network, ["stage"])
    assert hooks(model) == 0


def test_reading_before_a_forward_pass_is_an_error(model, images):
    """There is nothing to read before the first pass, after a part of the model, or after model.forward."""
    taps = FeatureTaps(model, ["stage"])
    for call in (lambda: None, lambda: model.stage(torch.randn(2, 4, 8, 8)), lambda: model.forward(images)):
        call()
        with pytest.raises(RuntimeError, match="there is no forward pass to read"):
            taps.features()


def test_features_are_read_once(model, images):
    """The second reading is an error, and the next pass gives features anew."""
    taps = FeatureTaps(model, ["stage"])
    for _ in range(2):
        model(images)
        taps.features()
        with pytest.raises(RuntimeError, match="were read already"):
            taps.features()


@pytest.mark.parametrize(
    ("times", "message"),
    [(0, "'layer' was not called in the last forward pass"), (2, "'layer' was called more than once"), (3, "more")],
)
def test_a_layer_is_called_once(images, times, message):
    """A layer that is not called, or more than once, has no feature, until the model calls it once."""
    model = Calls(times)
    taps = FeatureTaps(model, ["layer", "stem"])
    model(images)
    with pytest.raises(RuntimeError, match=message):
        taps.features()
    model.times = 1
    model(images)
    assert taps.features().keys() == {"layer", "stem"}


def test_a_tuple_is_no_feature():
    """A layer that returns several tensors, as an LSTM does, is a clear error."""
    model = nn.LSTM(3, 4)
    around = nn.Sequential(OrderedDict(cells=model))
    taps = FeatureTaps(around, ["cells"])
    around(torch.randn(2, 5, 3))
    with pytest.raises(RuntimeError, match="'cells' returns tuple, not one tensor; tap another module"):
        taps.features()


def test_a_failed_pass_leaves_nothing_behind(images):
    """After an error in the model there is nothing to read, no feature lives on, and close removes all hooks."""
    model = Calls()
    taps = FeatureTaps(model, ["layer"])
    model(images)  # is not read
    model.fails = True
    with pytest.raises(ZeroDivisionError):
        model(images)
    with pytest.raises(RuntimeError, match="there is no forward pass to read"):
        taps.features()
    assert taps._pass.features == {}
    model.fails = False
    model(images)
    assert taps.features().keys() == {"layer"}
    taps.close()
    assert hooks(model) == 0


def test_taps_end_with_close_with_the_context_and_with_the_object(model, images):
    """Each end removes all hooks, lets the features go, and leaves hooks of others."""
    model.stage.register_forward_hook(lambda *_: None)
    before = hooks(model)
    with FeatureTaps(model, ["stage"]) as taps:
        model(images)
        feature = weakref.ref(taps._pass.features["stage"])
        assert hooks(model) > before
    assert hooks(model) == before
    assert feature() is None
    with pytest.raises(RuntimeError, match="these taps are closed"):
        taps.features()
    taps.close()
    with pytest.raises(ZeroDivisionError), FeatureTaps(model, ["stage"]):
        raise ZeroDivisionError
    assert hooks(model) == before
    taps = FeatureTaps(model, ["stage"])
    model(images)
    feature = weakref.ref(taps._pass.features["stage"])
    del taps
    assert hooks(model) == before
    assert feature() is None


def test_taps_and_losses_of_one_model_are_independent(images):
    """With two taps and two losses, gradients are the sum of both alone; closing one leaves the other."""
    consistency = {"stem": FeatureConsistencyLoss(distance="mse"), "stage": FeatureConsistencyLoss(distance="cosine")}
    expected = []
    for layer, loss in consistency.items():
        model = network().eval()
        with FeatureTaps(model, [layer]) as taps:
            model(images)
            loss(*taps.halves()).backward()
        expected.append(model.stem.weight.grad)
    model = network().eval()
    both = {layer: FeatureTaps(model, [layer]) for layer in consistency}
    model(images)
    sum(loss(*both[layer].halves()) for layer, loss in consistency.items()).backward()
    torch.testing.assert_close(model.stem.weight.grad, sum(expected))
    both["stem"].close()
    model(images)
    assert both["stage"].features().keys() == {"stage"}


def test_a_block_comes_before_the_tap(model, images):
    """In a QualityAware model the feature is the one behind the block, which the later layers get."""
    model = QualityAware(model.eval(), ["stem"], image_shape=(3, 8, 8))
    nn.init.normal_(model.blocks["stem"].expand.weight)
    quality = torch.tensor([10, 50, 90, 100])
    plain = model.model.stem(images)
    taps, inner = FeatureTaps(model, ["model.stem"]), FeatureTaps(model.model, ["stem"])
    model(images, quality)
    feature = taps.features()["model.stem"]
    assert torch.equal(feature, model.blocks["stem"](plain, quality))
    assert not torch.equal(feature, plain)
    assert torch.equal(inner.features()["stem"], feature)


def test_validation_needs_no_gradients(model, images):
    """Inside torch.no_grad and inference_mode, features come without gradients."""
    taps = FeatureTaps(model.eval(), ["stage"])
    for context in (torch.no_grad, torch.inference_mode):
        with context():
            model(images)
        assert not taps.features()["stage"].requires_grad
    model(images)
    assert taps.features()["stage"].requires_grad


def test_autocast_features_feed_the_loss(model, images):
    """Features in bfloat16 give a loss in float32 and gradients."""
    taps = FeatureTaps(model, ["stage", "head"])
    with torch.autocast("cpu", torch.bfloat16):
        model(images)
        raw, compressed = taps.halves()
        loss = FeatureConsistencyLoss()(raw, compressed)
    assert {raw["stage"].dtype, compressed["head"].dtype} == {torch.bfloat16}
    assert loss.dtype == torch.float32
    loss.backward()
    assert model.norm.weight.grad.abs().sum() > 0


def test_checkpointing_gives_the_same_gradients(images):
    """With non-reentrant checkpoints of a part and of all, gradients are those without; nothing stays behind."""
    found = []
    for use_reentrant, whole in ((None, False), (False, False), (None, True)):
        model = Checkpointed(use_reentrant)
        taps = FeatureTaps(model, ["stem", "rest.0", "rest.2"])
        logits = checkpoint(model, images, use_reentrant=False) if whole else model(images)
        loss = logits.square().mean() + FeatureConsistencyLoss()(*taps.halves())
        loss.backward()
        found.append(grads(model))
        with pytest.raises(RuntimeError, match="there is no forward pass to read"):
            taps.features()
    torch.testing.assert_close(found[1], found[0])
    torch.testing.assert_close(found[2], found[0])


def test_a_reentrant_checkpoint_is_an_error(images):
    """Features from inside a reentrant checkpoint have no gradients; the message says what to use."""
    model = Checkpointed(use_reentrant=True)
    taps = FeatureTaps(model, ["rest.0"])
    model(images)
    with pytest.raises(RuntimeError, match=r"'rest.0' ran without gradients.*use_reentrant=False"):
        taps.features()


def deepcopied(model):
    return copy.deepcopy(model)


def pickled(model):
    return pickle.loads(pickle.dumps(model))


def saved(model):
    buffer = io.BytesIO()
    torch.save(model, buffer)
    buffer.seek(0)
    return torch.load(buffer, weights_only=False)


def averaged(model):
    return torch.optim.swa_utils.AveragedModel(model, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.9))


@pytest.mark.parametrize("duplicate", [deepcopied, pickled, saved, averaged])
def test_a_copy_has_no_taps(model, images, duplicate):
    """A copy of a tapped model computes the same, gives taps nothing, takes no features, and may be tapped itself."""
    taps = FeatureTaps(model.eval(), ["norm", "stage"])
    expected = model(images)
    feature = taps._pass.features["stage"]
    twin = duplicate(model)
    assert torch.equal(twin(images * 2), model.forward(images * 2))
    assert torch.equal(twin(images), expected)
    assert taps._pass.features["stage"] is feature
    inner = getattr(twin, "module", twin)
    with FeatureTaps(inner, ["stage"]) as others:
        twin(images)
        assert torch.equal(others.features()["stage"], taps.features()["stage"])


def test_a_saved_model_does_not_need_this_package(model, images):
    """No pickle of a tapped model names this package or has its features."""
    plain = len(pickle.dumps(model))
    taps = FeatureTaps(model, ["norm", "stage"])
    model(images.repeat(100, 1, 1, 1))
    buffer = io.BytesIO()
    torch.save(model, buffer)
    for data in (pickle.dumps(model), buffer.getvalue()):
        assert b"fct" not in data
        assert b"Tap" not in data
    assert len(pickle.dumps(model)) < plain + 1000
    assert taps.features().keys() == {"norm", "stage"}


@pytest.mark.parametrize("duplicate", [copy.copy, deepcopied, pickled])
def test_taps_are_not_copied(model, duplicate):
    """Taps themselves cannot be copied or saved; the message says to make new ones."""
    with pytest.raises(TypeError, match="make new ones"):
        duplicate(FeatureTaps(model, ["stage"]))


@pytest.mark.parametrize("strict", [False, True])
def test_an_exported_model_has_no_taps(model, images, strict):
    """torch.export gives the same graph with taps and without, and the taps work afterwards."""
    model.eval()
    plain = torch.export.export(model, (images,), strict=strict)
    taps = FeatureTaps(model, ["norm", "stage"])
    model(images)
    program = torch.export.export(model, (images,), strict=strict)
    assert [str(node) for node in program.graph.nodes] == [str(node) for node in plain.graph.nodes]
    buffer = io.BytesIO()
    torch.export.save(program, buffer)
    assert b"fct." not in buffer.getvalue()
    assert b"taps" not in buffer.getvalue()
    model(images)
    assert taps.features().keys() == {"norm", "stage"}


def test_an_onnx_model_has_no_taps(model, images):
    """An ONNX file has the operations of the model and one output, and does not name this package."""
    taps = FeatureTaps(model.eval(), ["norm", "stage"])
    exported = torch.onnx.export(model, (images,), dynamo=True, verbose=False).model_proto
    assert b"fct." not in exported.SerializeToString()
    assert len(exported.graph.output) == 1
    assert "Identity" not in {node.op_type for node in exported.graph.node}
    assert taps._pass.features == {}


def test_a_traced_model_has_no_taps(model, images):
    """torch.jit.trace sees no copy of a feature."""
    taps = FeatureTaps(model.eval(), ["norm", "stage"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        traced = torch.jit.trace(model, images)
    assert "clone" not in str(traced.inlined_graph)
    model(images)
    assert taps.features().keys() == {"norm", "stage"}


@pytest.fixture
def whole():
    """Return arguments of torch.compile for whole graphs alone, and the list of the graphs that are made."""
    graphs = []

    def backend(graph, _examples):
        graphs.append(graph)
        return graph

    torch.compiler.reset()
    yield {"backend": backend, "fullgraph": True}, graphs
    torch.compiler.reset()


def taps_first(model, layers, arguments):
    taps = FeatureTaps(model, layers)
    return torch.compile(model, **arguments), taps


def taps_last(model, layers, arguments):
    compiled = torch.compile(model, **arguments)
    return compiled, FeatureTaps(compiled, layers)


def in_place(model, layers, arguments):
    model.compile(**arguments)
    return model, FeatureTaps(model, layers)


@pytest.mark.parametrize("order", [taps_first, taps_last, in_place])
def test_a_compiled_model_has_taps(whole, order, images):
    """Compiled before or after the taps are made, but once, features and gradients are those of the model itself."""
    layers = ["norm", "stage"]
    arguments, graphs = whole
    eager, model = network(), network()
    reference = FeatureTaps(eager, layers)
    compiled, taps = order(model, layers, arguments)
    for _ in range(2):
        losses = []
        for run, read in ((eager, reference), (compiled, taps)):
            loss = run(images).square().mean() + FeatureConsistencyLoss()(*read.halves())
            loss.backward()
            losses.append(loss)
        torch.testing.assert_close(*losses)
        torch.testing.assert_close(grads(model), grads(eager))
    assert len(graphs) == 1
    compiled(torch.randn(6, 3, 8, 12))  # a batch of another size
    assert taps.halves()[0]["stage"].shape == (3, 6, 4, 6)
    taps.close()
    torch.testing.assert_close(compiled(images), network()(images))
    assert taps._pass.features == {}


def test_taps_of_a_model_that_ran_compiled_need_a_reset(whole, model, images):
    """Taps made after the first compiled call are not noticed; the message says what to do, and it helps."""
    compiled = torch.compile(model, **whole[0])
    compiled(images)
    taps = FeatureTaps(compiled, ["stage"])
    compiled(images)
    with pytest.raises(RuntimeError, match=r"torch.compiler.reset\(\)"):
        taps.features()
    torch.compiler.reset()
    compiled(images)
    assert taps.features().keys() == {"stage"}


def test_a_distributed_model_has_taps(model, images, tmp_path):
    """Under DistributedDataParallel, taps of the wrapper and of the model inside see its layers."""
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/rendezvous", rank=0, world_size=1)
    try:
        distributed = nn.parallel.DistributedDataParallel(model)
        taps, inner = FeatureTaps(distributed, ["stage"]), FeatureTaps(model, ["stage"])
        logits = distributed(images)
        raw, compressed = taps.halves()
        (logits.mean() + FeatureConsistencyLoss()(raw, compressed)).backward()
        assert torch.equal(inner.features()["stage"].chunk(2)[1], compressed["stage"])
        assert all(weight.grad is not None for weight in model.parameters())
        with pytest.raises(ValueError, match=r"no layer is called 'module.stage'. The outermost .*stage"):
            FeatureTaps(distributed, ["module.stage"])
    finally:
        torch.distributed.destroy_process_group()


def test_memory_does_not_grow():
    """Over 1,000 steps, in half of which the features are read, no tensor is left behind."""
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(inplace=True), nn.Linear(4, 2))
    images, loss = torch.randn(4, 3), FeatureConsistencyLoss()
    counts = []
    gc.collect()
    gc.freeze()  # what was there before is not counted
    with FeatureTaps(model, ["0", "1"]) as taps:
        for step in range(1000):
            total = model(images).mean()
            if step % 2:
                total = total + loss(*taps.halves())
            total.backward()
            del total
            if step % 300 == 0:
                counts.append(sum(issubclass(type(value), torch.Tensor) for value in gc.get_objects()))
    gc.unfreeze()
    assert len(set(counts)) == 1


def test_a_feature_lives_as_long_as_its_reader(model, images):
    """Taps hold no feature that was read."""
    taps = FeatureTaps(model, ["stage"])
    model(images)
    features = taps.features()
    feature = weakref.ref(features["stage"])
    del features
    assert feature() is None
