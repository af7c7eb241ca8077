"""The network shows inner features by name, corrects them with blocks, and leaves no trace on its backbone."""

import copy

import pytest
import torch

from fct.core.errors import FctError
from fct.images.tables import NO_TABLES
from fct.models import backbones
from fct.models.network import Network
from fct.models.params import BlockParams

QUALITY = torch.tensor([30, 100])


def blocks(layers, **changed):
    told = {
        "layers": list(layers),
        "width": 0.5,
        "quality": "film",
        "consistency": "after",
        "unknown_quality": "bypass",
    }
    return BlockParams.model_validate(told | changed)


def make(name="resnet8", layers=("stage1", "stage3"), block=None, channels=3, size=32):
    torch.manual_seed(0)
    backbone = backbones.build_backbone(name, width=8, classes=3, channels=channels, size=size)
    statistics = {"mean": [0.25] * channels, "std": [0.5] * channels}
    return Network(backbone, **statistics, layers=layers, block=block, size=size).eval()


def image(channels=3, size=16):
    random = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, (2, channels, size, size), dtype=torch.uint8, generator=random)


def hooks(network):
    return [name for name, module in network.named_modules() if module._forward_hooks or module._forward_pre_hooks]


def test_pixels_are_normalised_by_channel():
    """(pixel / 255 - mean) / std, with each channel's own mean and deviation."""
    network = Network(
        backbones.build_backbone("resnet8", width=8, classes=3, channels=3, size=32),
        mean=[0.0, 0.5, 1.0], std=[1.0, 0.5, 0.25], layers=["stage1"],
    )  # fmt: skip
    pixel = torch.tensor([51, 255, 0], dtype=torch.uint8).view(1, 3, 1, 1)
    torch.testing.assert_close(network.normalised(pixel).flatten(), torch.tensor([0.2, 1.0, -4.0]))


def test_features_are_what_the_layers_give():
    """Without blocks the logits are the backbone's own, and each feature is its layer's output."""
    network = make()
    logits, features = network(image(), QUALITY)
    backbone = network.backbone
    x = network.normalised(image())
    stage1 = backbone.stage1(backbone.stem(x))
    assert torch.equal(logits, backbone(x))
    assert list(features) == ["stage1", "stage3"]
    assert torch.equal(features["stage1"], stage1)
    assert torch.equal(features["stage3"], backbone.stage3(backbone.stage2(stage1)))


@pytest.mark.parametrize(
    ("name", "layer"),
    [("resnet8", "stage1.0.norm1"), ("resnet8", "stem.1"), ("resnet18", "bn1"), ("resnet18", "layer1.0.bn2")],
)
def test_features_survive_what_follows_in_place(name, layer):
    """A later layer that works in place, as ReLUs and sums of ResNets do, does not change what is shown."""
    network = make(name, layers=[layer])
    seen = []
    module = network.backbone.get_submodule(layer)
    handle = module.register_forward_hook(lambda _module, _inputs, output: seen.append(output.clone()))
    _, features = network(image(size=32), QUALITY)
    handle.remove()
    assert torch.equal(features[layer], seen[0])


def test_blocks_correct_what_later_layers_see():
    """With a trained block the shown feature is the corrected one, and the prediction changes with the quality."""
    network = make(block=blocks(["stage1", "stage3"]))
    plain = make()(image(), QUALITY)
    torch.testing.assert_close(network(image(), QUALITY), plain)  # untrained blocks do nothing
    torch.nn.init.normal_(network.blocks["stage1"].expand.weight)
    logits, features = network(image(), QUALITY)
    moved = [not torch.allclose(a, b) for a, b in zip(logits, plain[0], strict=True)]
    assert moved == [True, False]  # quality 30, quality 100
    assert not torch.allclose(features["stage3"][0], plain[1]["stage3"][0])
    assert torch.equal(features["stage1"], network.blocks["stage1"](plain[1]["stage1"], QUALITY))


def test_a_mirrored_prediction_is_the_mean_with_the_mirror_images():
    """In evaluation logits are those of both, blocks and all, while features are the image's own; training sees one."""
    network = make(block=blocks(["stage1", "stage3"]))
    torch.nn.init.normal_(network.blocks["stage1"].expand.weight)
    logits, features = network(image(), QUALITY)
    others, _ = network(image().flip(3), QUALITY)
    network.flip_tta = True
    both, shown = network(image(), QUALITY)
    torch.testing.assert_close(both, (logits + others) / 2)
    assert torch.equal(shown["stage3"], features["stage3"])
    statistics = network.train().backbone.stem[1].num_batches_tracked
    before = int(statistics)
    network(image(), QUALITY)
    assert int(statistics) == before + 1


def test_an_unknown_quality_is_estimated():
    """Told of no tables, blocks take what the estimator sees; told another quality, or in training, they take that."""
    network = make(block=blocks(["stage1"]))
    torch.nn.init.normal_(network.blocks["stage1"].expand.weight)
    bypassed = network(image(), torch.tensor([100, NO_TABLES]))[0]
    at_forty = network(image(), torch.tensor([40, 40]))[0]
    network.estimator = lambda pixels: torch.full((len(pixels),), 40.0)
    torch.testing.assert_close(network(image(), torch.tensor([NO_TABLES, 40]))[0], at_forty)
    network.train()
    network.backbone.eval()  # whose statistics are not in question
    torch.testing.assert_close(network(image(), torch.tensor([NO_TABLES, 100]))[0], bypassed)


def test_only_blocks_use_the_quality():
    """`uses_quality` says whether the prediction can depend on it."""
    assert make(block=blocks(["stage1", "stage3"])).uses_quality
    assert not make().uses_quality


@pytest.mark.parametrize("name", ["mobilenet_v3_small", "resnet18"])
@pytest.mark.parametrize("channels", [1, 3])
def test_torchvisions_inner_layers_have_blocks_too(name, channels):
    """Layers with dots in their names, at 32 pixels, in grey and colour."""
    prefix = "" if channels == 3 else "model."
    layer = prefix + {"mobilenet_v3_small": "features.3", "resnet18": "layer2.0"}[name]
    network = make(name, layers=[layer], block=blocks([layer]), channels=channels)
    logits, features = network(image(channels, 32), QUALITY)
    assert logits.shape == (2, 3)
    assert features[layer].ndim == 4
    network.load_state_dict(copy.deepcopy(network.state_dict()))


def test_an_unknown_layer_names_the_nearest():
    """A slip of the finger is answered with layers that exist, under the key of params.yaml."""
    with pytest.raises(FctError, match=r"params\.yaml: method\.layers: no layer is called 'stag3'\. Nearest: stage3"):
        make(layers=["stage1", "stag3"])
    with pytest.raises(FctError, match=r"params\.yaml: features\.layers: no layer is called 'stag3'"):
        make().watch(["stag3"], key="features.layers")


def test_blocks_need_maps_or_tokens():
    """A layer whose feature is a vector can be pulled at, but has no place for a block."""
    assert make(layers=["head"])(image(), QUALITY)[1]["head"].shape == (2, 3)
    with pytest.raises(FctError, match=r"'head' gives a feature of shape \[1, 3\]; .* needs \[B, C, H, W\]"):
        make(block=blocks(["head"]))


def test_finding_the_channels_leaves_the_backbone_as_it_was():
    """Making blocks passes an image through the backbone: its statistics, mode and hooks stay."""
    torch.manual_seed(0)
    backbone = backbones.build_backbone("resnet8", width=8, classes=3, channels=3, size=32).train()
    before = copy.deepcopy(backbone.state_dict())
    Network(backbone, mean=[0.0] * 3, std=[1.0] * 3, layers=["stage1"], block=blocks(["stage1"]))
    assert backbone.training
    assert hooks(backbone) == []
    assert all(torch.equal(before[name], value) for name, value in backbone.state_dict().items())


def test_no_hook_stays_after_a_call():
    """After a call, and after one that failed, the network has no hooks."""
    network = make(block=blocks(["stage1", "stage3"]))
    network(image(), QUALITY)
    assert hooks(network) == []
    with pytest.raises(RuntimeError):
        network(image(channels=2), QUALITY)
    with pytest.raises(RuntimeError):
        network(image(), torch.tensor([30, 30, 30]))  # a block fails, in the middle of the call
    assert hooks(network) == []


def test_watching_shows_more_and_predicts_the_same():
    """Watched layers are shown beside the method's, once each; the prediction stays, blocks and all."""
    network = make(block=blocks(["stage1", "stage3"]))
    torch.nn.init.normal_(network.blocks["stage1"].expand.weight)
    before, _ = network(image(), QUALITY)
    network.watch(["stage2", "stage1"], key="features.layers")
    after, features = network(image(), QUALITY)
    assert torch.equal(before, after)
    assert list(features) == ["stage1", "stage2", "stage3"]


def test_the_consistency_term_may_see_features_before_their_block():
    """With `before`, the shown feature is the layer's own; what later layers see stays the corrected one."""
    after, before = (make(block=blocks(["stage1"], consistency=which)) for which in ("after", "before"))
    for network in (after, before):
        torch.nn.init.constant_(network.blocks["stage1"].expand.bias, 0.3)
    (logits, corrected), (same, own) = after(image(), QUALITY), before(image(), QUALITY)
    assert torch.equal(logits, same)
    assert torch.equal(own["stage1"], make()(image(), QUALITY)[1]["stage1"])
    assert not torch.allclose(own["stage1"][0], corrected["stage1"][0])


def test_blocks_sit_where_they_are_told():
    """Their layers need not be those whose features are shown."""
    network = make(layers=["stage3"], block=blocks(["stem", "stage2"]))
    assert set(network.blocks) == {"stem", "stage2"}
    assert list(network(image(), QUALITY)[1]) == ["stage3"]
    with pytest.raises(FctError, match=r"method\.block\.layers: no layer is called 'stem1'\. Nearest: stem"):
        make(block=blocks(["stem1"]))


LAYOUTS = {
    "resnet18": ("layer2", 128),
    "mobilenet_v3_small": ("features.3", 24),
    "convnext_tiny": ("features.1", 96),
    "vit_b_16": ("encoder.layers.encoder_layer_3", 768),  # tokens
    "timm/vit_tiny_patch16_224": ("blocks.1", 192),  # tokens
    "swin_t": ("features.1", 96),  # a map with channels last
    "timm/convnext_atto": ("stages.1", 80),
}


@pytest.mark.parametrize(
    ("name", "quality"),
    [
        *((name, "film") for name in LAYOUTS),
        *((name, quality) for name in LAYOUTS if "timm" in name for quality in ("plane", "table")),
    ],
)
def test_blocks_go_to_tokens_and_to_maps_of_either_layout(name, quality):
    """Features show channels second; an opened block changes what is below quality 100, and all of it learns."""
    layer, channels = LAYOUTS[name]
    network = make(name, layers=[layer], block=blocks([layer], quality=quality))
    block = network.blocks[layer.replace(".", "/")]
    _, before = network(image(size=32), QUALITY)
    torch.nn.init.normal_(block.expand.weight)
    _, after = network(image(size=32), QUALITY)
    assert before[layer].shape[1] == channels
    assert [torch.equal(*both) for both in zip(before[layer], after[layer], strict=True)] == [False, True]
    after[layer].square().sum().backward()
    assert [name for name, weight in block.named_parameters() if not weight.grad.any()] == []


def test_watched_layers_must_give_features_too():
    """A layer that cannot be measured is refused before anything is, under the key that names it."""
    network = make("vit_b_32", layers=["encoder.layers.encoder_layer_3"])
    with pytest.raises(FctError, match=r"features\.layers: '.*self_attention' gives no tensor"):
        network.watch(["encoder.layers.encoder_layer_0.self_attention"], key="features.layers")
    assert network.layers == ("encoder.layers.encoder_layer_3",)


def test_a_quality_that_a_table_told_is_never_estimated():
    """Only `NO_TABLES` stands for an unknown quality: from 1 to 100 the blocks take what they are told."""
    network = make(block=blocks(["stage1"]))
    torch.nn.init.normal_(network.blocks["stage1"].expand.weight)
    told = torch.arange(1, 101)
    images = image()[:1].expand(len(told), -1, -1, -1)
    before = network(images, told)[0]
    network.estimator = lambda pixels: torch.full((len(pixels),), 10.0)
    assert torch.equal(network(images, told)[0], before)
