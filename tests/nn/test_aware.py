"""Any model with residual mapping blocks: the quality decides, and the model itself stays as it is."""

import copy
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import CheckpointError, checkpoint

from fct.images.tables import UNKNOWN_QUALITY
from fct.nn.aware import QualityAware
from fct.nn.residual import QUALITY_INPUTS

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA"))]
SHAPE = (3, 8, 8)


class Net(nn.Module):
    """Convolutions, of which one may be called twice, and a linear map of a vector."""

    def __init__(self, times=1):
        super().__init__()
        torch.manual_seed(0)
        self.stem = nn.Conv2d(3, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.stage = nn.Sequential(nn.ReLU(), nn.Conv2d(4, 4, 3, padding=1))
        self.unused = nn.Conv2d(4, 4, 1)
        self.head = nn.Linear(4, 3)
        self.times, self.fails, self.checkpoints = times, False, None

    def forward(self, x):
        x = self.norm(self.stem(x))
        for _ in range(self.times):
            x = self.stage(x) if self.checkpoints is None else checkpoint(self.stage, x, use_reentrant=self.checkpoints)
        if self.fails:
            raise ZeroDivisionError
        return self.head(x.mean((2, 3)))


class Tokens(nn.Module):
    """Patches as tokens [B, N, C], and as a map with channels last."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.patches, self.norm, self.mlp = nn.Conv2d(3, 6, 2, 2), nn.LayerNorm(6), nn.Linear(6, 6)
        self.last, self.head = nn.Linear(6, 5), nn.Linear(5, 3)

    def forward(self, x):
        x = self.mlp(self.norm(self.patches(x).flatten(2).mT))
        return self.head(self.last(x.unflatten(1, (4, 4))).mean((1, 2)))


def trained(model, layers, **arguments):
    """Return the model with blocks that do something."""
    aware = QualityAware(model, layers, image_shape=SHAPE, **arguments)
    for block in aware.blocks.values():
        nn.init.normal_(block.expand.weight)
        nn.init.normal_(block.expand.bias)
    return aware


def hooks(model):
    """Count the hooks of a model."""
    return sum(len(module._forward_hooks) + len(module._forward_pre_hooks) for module in model.modules())


@pytest.fixture
def images():
    return torch.randn(4, *SHAPE, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def quality():
    return torch.tensor([10, 30, 50, 95])


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("kind", QUALITY_INPUTS)
@pytest.mark.parametrize(("make", "layers"), [(Net, ["stem", "stage.1"]), (Tokens, ["mlp", "last"])])
def test_untrained_blocks_change_no_prediction(make, layers, kind, device, images, quality):
    """Predictions of a new QualityAware are those of its model at every quality; trained blocks change them."""
    model, images = make().to(device).eval(), images.to(device)
    aware = QualityAware(model, layers, image_shape=SHAPE, quality=kind)
    expected = model(images)
    assert torch.equal(aware(images, quality), expected)
    assert torch.equal(aware(images), expected)
    changed = trained(model, layers, quality=kind)(images, quality)
    assert (changed - expected).abs().amin() > 0


@pytest.mark.parametrize("kind", QUALITY_INPUTS)
@pytest.mark.parametrize(("make", "layers"), [(Net, ["stem", "stage"]), (Tokens, ["mlp", "last"])])
def test_nothing_is_corrected_where_the_quality_is_unknown_or_100(make, layers, kind, images):
    """Trained blocks do nothing for None, UNKNOWN_QUALITY and 100, whatever the qualities of other images are."""
    model = make().eval()
    aware = trained(model, layers, quality=kind)
    expected = model(images)
    assert torch.equal(aware(images), expected)
    assert torch.equal(aware(images, None), expected)
    found = aware(images, torch.tensor([UNKNOWN_QUALITY, 100, 20, 0.0]))
    torch.testing.assert_close(found[[0, 1, 3]], expected[[0, 1, 3]])
    assert not torch.allclose(found[2], expected[2])


def test_each_image_has_its_own_quality(images, quality):
    """A prediction in a batch is that of its image alone."""
    aware = trained(Net().eval(), ["stem", "stage"])
    alone = [aware(images[i : i + 1], quality[i : i + 1]) for i in range(4)]
    torch.testing.assert_close(aware(images, quality), torch.cat(alone))


def test_a_block_corrects_what_later_layers_get(images, quality):
    """The output of a layer is replaced by its block's: the prediction is that of a model with the block in it."""
    aware = trained(Net().eval(), ["stem"])
    model = aware.model
    x = model.norm(aware.blocks["stem"](model.stem(images), quality))
    expected = model.head(model.stage(x).mean((2, 3)))
    torch.testing.assert_close(aware(images, quality), expected)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int64, torch.float16, torch.float64])
def test_qualities_are_numbers_of_any_type(images, quality, dtype):
    """Integers and floats are the same qualities."""
    aware = trained(Net().eval(), ["stem"])
    torch.testing.assert_close(aware(images, quality.to(dtype)), aware(images, quality), rtol=1e-3, atol=1e-3)


def test_the_state_dict_has_the_model_and_the_blocks():
    """Keys are model.* with the names of the model itself, and blocks.*; they load into another one."""
    model = Net()
    names = list(model.state_dict())
    aware = trained(model, ["stem", "stage.1"])
    state = aware.state_dict()
    assert [key.removeprefix("model.") for key in state if key.startswith("model.")] == names
    others = {key.split(".")[1] for key in state if not key.startswith("model.")}
    assert {key.split(".")[0] for key in state} == {"model", "blocks"}
    assert others == {"stem", "stage/1"}
    other = QualityAware(Net(), ["stem", "stage.1"], image_shape=SHAPE)
    other.load_state_dict(state)
    model.load_state_dict({key.removeprefix("model."): state[key] for key in state if key.startswith("model.")})


def test_the_model_is_not_changed():
    """Making blocks leaves the modes, the statistics, the hooks and the gradients of the model as they were."""
    model = Net()
    model.norm.eval()  # frozen
    modes = [module.training for module in model.modules()]
    state = copy.deepcopy(model.state_dict())
    QualityAware(model, ["stem"], image_shape=SHAPE)
    assert [module.training for module in model.modules()] == modes
    torch.testing.assert_close(model.state_dict(), state, rtol=0, atol=0)
    assert hooks(model) == 0
    assert all(weight.grad is None for weight in model.parameters())


def test_no_hook_stays_behind(images, quality):
    """After a call, and after a call that failed in the model, in a block or for want of a layer, no hook remains."""
    aware = trained(Net(), ["stem", "stage"])
    seen = []
    aware.model.norm.register_forward_pre_hook(lambda *_: seen.append(hooks(aware)))
    aware(images, quality)
    assert seen == [3]
    assert hooks(aware) == 1
    aware.model.fails = True
    with pytest.raises(ZeroDivisionError):
        aware(images, quality)
    aware.blocks["stage"].channels = 5
    with pytest.raises(ValueError, match="this block takes 4 axes, 5 channels"):
        aware(images, quality)
    del aware.model.stage
    with pytest.raises(AttributeError, match="stage"):
        aware(images, quality)
    assert hooks(aware) == 1


def test_a_copy_is_independent(images, quality):
    """A copy predicts the same, and training it leaves the first one as it was."""
    aware = trained(Net().eval(), ["stem"])
    twin = copy.deepcopy(aware)
    expected = aware(images, quality)
    assert torch.equal(twin(images, quality), expected)
    twin(images, quality).sum().backward()
    with torch.no_grad():
        for weight in twin.parameters():
            weight.sub_(torch.ones_like(weight))
    assert torch.equal(aware(images, quality), expected)
    assert all(weight.grad is None for weight in aware.parameters())


@pytest.mark.parametrize("kind", QUALITY_INPUTS)
@pytest.mark.parametrize(("make", "layers"), [(Net, ["stem", "stage"]), (Tokens, ["mlp", "last"])])
def test_gradients_reach_the_blocks_and_the_model(make, layers, kind, images, quality):
    """Every weight of the blocks and every weight that the model uses gets a gradient."""
    aware = trained(make(), layers, quality=kind)
    aware(images, quality).square().sum().backward()
    lacking = [name for name, weight in aware.named_parameters() if weight.grad is None or not weight.grad.any()]
    assert [name for name in lacking if "unused" not in name] == []


@pytest.mark.parametrize(
    ("quality", "message"),
    [
        (torch.tensor([10, 20, 30, 101]), "quality is 101; it is from 1 to 100, or 0 if it is unknown"),
        (torch.tensor([10, -1, 30, 40]), "quality is -1;"),
        (torch.tensor([10, 20, float("nan"), 40]), "quality is nan;"),
        (torch.tensor([10, 20, float("inf"), 40]), "quality is inf;"),
        (torch.tensor([True, False, True, True]), "quality is torch.bool; it is a tensor of numbers"),
        (torch.tensor([1j, 1, 2, 3]), "quality is torch.complex64;"),
        (torch.tensor([10]), r"quality has shape \[1\]; it is one number for each of 4 images"),
        (torch.tensor([10] * 8), r"quality has shape \[8\]"), (torch.tensor(10), r"quality has shape \[\]"),
        (torch.ones(4, 1), r"quality has shape \[4, 1\]"), (10, "quality is int;"), ([10] * 4, "quality is list;"),
    ],
)  # fmt: skip
def test_a_wrong_quality_is_refused(images, quality, message):
    """A quality that is out of range, no number, no tensor or not one for each image is a clear error."""
    aware = QualityAware(Net(), ["stem"], image_shape=SHAPE)
    with pytest.raises(ValueError, match=message):
        aware(images, quality)


@pytest.mark.parametrize(
    "shape", [(3, 8.0, 8.0), (3, 8, 12), (8, 8), (1, 3, 8, 8), 8, (3, 0, 0), (0, 8, 8), (3, -8, -8), None, "388"]
)
def test_a_wrong_image_shape_is_refused(shape):
    """The shape of an image is three integers, of a square; the message has an example."""
    with pytest.raises(ValueError, match=r"image_shape is .*; it is \[C, H, W\] of a square image, such as"):
        QualityAware(Net(), ["stem"], image_shape=shape)


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        (["stems"], "no layer is called 'stems'. Nearest: stem"), ("stem", "list of one or more names"),
        ([], "list of one or more names"),
        (["head"], r"'head' returns a feature of shape \[1, 3\]. .* needs a map"),
        (["unused"], "'unused' returns no tensor, is not called, or is called more than once"),
    ],
)  # fmt: skip
def test_layers_without_a_block_are_refused(layers, message):
    """A wrong name, a layer of a vector and one that is not called are clear errors."""
    with pytest.raises(ValueError, match=message):
        QualityAware(Net(), layers, image_shape=SHAPE)


def test_a_layer_that_is_called_twice_is_refused():
    """No block stands behind a layer with two outputs; another layer of that model may have one."""
    model = Net(times=2)
    with pytest.raises(ValueError, match="'stage' returns no tensor, is not called, or is called more than once"):
        QualityAware(model, ["stem", "stage"], image_shape=SHAPE)
    assert hooks(model) == 0
    assert list(QualityAware(model, ["stem", "stem"], image_shape=SHAPE).blocks) == ["stem"]


def test_an_image_that_the_model_does_not_take_is_refused():
    """The message has the size, and torch's reason."""
    with pytest.raises(ValueError, match=r"the model does not take images of 8 x 8 pixels .*3 channels"):
        QualityAware(Net(), ["stem"], image_shape=(1, 8, 8))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_blocks_are_of_the_models_precision(images, quality, dtype):
    """A model in another precision gets blocks in it."""
    aware = trained(Net().to(dtype), ["stem"])
    assert aware(images.to(dtype), quality).dtype == dtype


@pytest.mark.parametrize("kind", QUALITY_INPUTS)
@pytest.mark.parametrize(("make", "layers"), [(Net, ["stem", "norm"]), (Tokens, ["norm", "last"])])
def test_autocast_works(make, layers, kind, images, quality):
    """In bfloat16 predictions are near those in float32, and every block gets gradients."""
    aware = trained(make(), layers, quality=kind, width=0.5)
    expected = aware(images, quality)
    with torch.autocast("cpu", torch.bfloat16):
        found = aware(images, quality)
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found.float(), expected, rtol=0.1, atol=0.2)
    found.float().sum().backward()
    assert all(weight.grad is not None for weight in aware.blocks.parameters())


def test_an_exported_model_takes_both_inputs(images, quality):
    """torch.export of (image, quality) gives a program that predicts as the model, for batches of any size."""
    aware = trained(Net().eval(), ["stem", "stage"], quality="table")
    batch = torch.export.Dim("batch")
    program = torch.export.export(aware, (images, quality), dynamic_shapes=({0: batch}, {0: batch})).module()
    for count in (4, 3):
        torch.testing.assert_close(program(images[:count], quality[:count]), aware(images[:count], quality[:count]))
    more = torch.tensor([UNKNOWN_QUALITY, 100, 1, 99])
    torch.testing.assert_close(program(images, more), aware(images, more))
    assert hooks(aware) == 0


def test_a_model_exported_with_its_image_alone_corrects_nothing(images):
    """torch.export of (image,) gives a program for batches of any size, such as `fct gate` judges."""
    aware = trained(Net().eval(), ["stem", "stage"])
    program = torch.export.export(aware, (images,), dynamic_shapes=({0: torch.export.Dim("batch")},)).module()
    for count in (4, 3):
        torch.testing.assert_close(program(images[:count]), aware.model(images[:count]))


def test_a_compiled_model_gives_equal_results(images, quality):
    """Compiled predictions follow the quality of each call, and so do gradients."""
    torch.compiler.reset()
    aware = trained(Net().eval(), ["stem", "stage"])
    compiled = torch.compile(aware, backend="eager")
    for told in (quality, quality.flip(0), None, torch.tensor([UNKNOWN_QUALITY, 100, 1, 99])):
        torch.testing.assert_close(compiled(images, told), aware(images, told))
    expected = torch.autograd.grad(aware(images, quality).sum(), list(aware.blocks.parameters()))
    found = torch.autograd.grad(compiled(images, quality).sum(), list(aware.blocks.parameters()))
    torch.testing.assert_close(found, expected)
    torch.compiler.reset()


def compiled_around(model):
    return torch.compile(model, backend="eager")


def compiled_inside(model):
    model.stage = torch.compile(model.stage, backend="eager")
    return model


def compiled_in_place(model):
    model.compile(backend="eager")
    return model


@pytest.mark.parametrize("compiled", [compiled_around, compiled_in_place, compiled_inside])
def test_a_model_that_is_compiled_already_is_refused(compiled):
    """Compiled code may not notice the blocks; the message says what to compile."""
    with pytest.raises(TypeError, match="compile the QualityAware instead"):
        QualityAware(compiled(Net()), ["stem"], image_shape=SHAPE)


@pytest.mark.parametrize("use_reentrant", [False, True])
def test_the_whole_model_may_be_checkpointed(use_reentrant, images, quality):
    """With a checkpoint around the QualityAware, gradients are those without."""
    found = []
    for run in (lambda aware, *inputs: aware(*inputs), lambda *all_: checkpoint(*all_, use_reentrant=use_reentrant)):
        aware = trained(Net().eval(), ["stem", "stage"])
        for block in aware.blocks.values():
            nn.init.constant_(block.expand.weight, 0.1)
            nn.init.zeros_(block.expand.bias)
            for name, weight in block.named_parameters():
                if not name.startswith("expand"):
                    nn.init.constant_(weight, 0.1)
        run(aware, images.clone().requires_grad_(), quality).square().sum().backward()
        found.append([weight.grad for weight in aware.parameters()])
    torch.testing.assert_close(found[1], found[0])


def test_a_checkpoint_of_a_part_is_an_error(images, quality):
    """A part that is run again in the backward pass would lack its block: an error, not wrong gradients."""
    aware = trained(Net(), ["stage"])
    aware.model.checkpoints = True
    with pytest.raises(RuntimeError, match=r"'stage' ran without gradients.*checkpoint the whole model"):
        aware(images, quality)
    aware.model.checkpoints = False
    with pytest.raises(CheckpointError, match="different number of tensors"):
        aware(images, quality).sum().backward()
    with torch.no_grad():
        assert aware(images, quality).shape == (4, 3)
    assert hooks(aware) == 0


def test_threads_may_share_a_model():
    """Each call has the blocks' corrections for its own qualities, and none of another thread's."""
    model = QualityAware(nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3)), ["0"], image_shape=(3, 16, 16)).eval()
    nn.init.normal_(model.blocks["0"].expand.weight)
    image = torch.randn(4, 3, 16, 16)
    qualities = [torch.full((4,), quality) for quality in (1, 40, 80)]
    with torch.no_grad():
        expected = [model(image, quality) for quality in qualities]

    def call(number):
        with torch.no_grad():
            return torch.equal(model(image, qualities[number % 3]), expected[number % 3])

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(call, range(300)))


def test_a_model_in_a_wrapper_for_several_devices_is_refused():
    """The wrapper goes around the model with the blocks."""
    with pytest.raises(TypeError, match="wrap the QualityAware in it instead"):
        QualityAware(nn.DataParallel(nn.Conv2d(3, 4, 3)), ["module"])
