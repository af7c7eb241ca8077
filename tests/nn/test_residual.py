"""The residual mapping block does nothing at quality 100 or untrained; otherwise the quality decides."""

import pytest
import torch

from fct.images.tables import ijg_tables
from fct.nn.layout import Layout
from fct.nn.residual import QUALITY_INPUTS, Film, ResidualMappingBlock


@pytest.fixture
def phi():
    return torch.randn(5, 8, 4, 4, generator=torch.Generator().manual_seed(0))


@pytest.fixture(params=["film", "plane", "table"])
def block(request):
    torch.manual_seed(0)
    return ResidualMappingBlock(8, Layout(1, is_map=True), width=0.5, quality=request.param)


def step(block, phi, quality):
    """Take one step of gradient descent towards zero features."""
    optimiser = torch.optim.SGD(block.parameters(), lr=0.5)
    block(phi, quality).square().mean().backward()
    optimiser.step()


def test_an_untrained_block_does_nothing(block, phi):
    """The last convolution starts at zero, so the feature does not change at any quality."""
    for quality in (1, 10, 50, 100):
        assert torch.equal(block(phi, torch.full((5,), quality)), phi)


def test_raw_images_pass_unchanged_after_training(block, phi):
    """A trained block changes all features except those of quality 100, since s(100) = 0."""
    step(block, phi, torch.full((5,), 10))
    out = block(phi, torch.tensor([100, 99, 50, 100, 1]))
    assert [torch.equal(a, b) for a, b in zip(out, phi, strict=True)] == [True, False, False, True, False]


def test_the_quality_matters_beyond_its_strength(block, phi):
    """Corrections of a feature at two qualities differ, even divided by s(q)."""
    step(block, phi, torch.tensor([10, 20, 30, 40, 50]))
    half, full = ((block(phi, torch.full((5,), quality)) - phi) / ((100 - quality) / 100) for quality in (80, 10))
    assert not torch.allclose(half, full, rtol=1e-2)


def test_an_estimated_quality_works_like_an_integer(block, phi):
    """30.0 is equal to 30. A quality between two others gives a correction between theirs."""
    step(block, phi, torch.tensor([10, 20, 30, 40, 50]))
    whole, real = (block(phi, torch.full((5,), quality)) for quality in (30, 30.0))
    torch.testing.assert_close(real, whole)
    far, near, between = ((block(phi, torch.full((5,), quality)) - phi).norm() for quality in (10.0, 90.0, 55.5))
    assert near < between < far


def test_every_weight_gets_a_gradient(block, phi):
    """After one step the last convolution is not zero, and every weight of the block gets a gradient."""
    quality = torch.tensor([10, 20, 30, 40, 50])
    step(block, phi, quality)
    block.zero_grad()
    block(phi, quality).square().mean().backward()
    assert [name for name, weight in block.named_parameters() if not weight.grad.abs().sum() > 0] == []
    if block.film is not None:
        scale, shift = block.film.net[-1].bias.grad.chunk(2)
        assert min(scale.abs().sum(), shift.abs().sum()) > 0


def test_a_narrow_layer_keeps_a_bottleneck():
    """The bottleneck of a block has at least four channels."""
    shapes = [ResidualMappingBlock(size, Layout(1, is_map=True), width=0.25).mix.weight.shape for size in (4, 64)]
    assert shapes == [(4, 4, 3, 3), (16, 16, 3, 3)]


def test_tables_follow_the_quality():
    """The block's input is that of the quantisation tables, whose entries are larger at lower qualities."""
    rows = Film(4, table=True).tables
    assert rows.shape == (101, 128)
    assert (rows[10] > rows[50]).all()
    assert torch.equal(rows[10] == rows[1], torch.from_numpy(ijg_tables(10) == ijg_tables(1)).flatten())


def test_an_estimated_quality_is_rounded_to_a_table():
    """30.6 gives the row of 31, and 30.4 that of 30. Estimates at the ends give the rows of 1 and 100."""
    torch.manual_seed(0)
    film = Film(4, table=True)
    feature = torch.randn(1, 4, 2, 2).expand(6, -1, -1, -1)
    estimated = film(feature, torch.tensor([30.6, 30.4, 94.5, 0.2, 0.7, 99.9]), 1)
    assert torch.equal(estimated, film(feature, torch.tensor([31, 30, 95, 0, 1, 100]), 1))
    assert not torch.equal(estimated[0], estimated[1])


@pytest.mark.parametrize(("layout", "shape"), [("map", (8, 4, 4)), ("tokens", (9, 8)), ("channels-last", (4, 4, 8))])
@pytest.mark.parametrize("quality", QUALITY_INPUTS)
def test_a_layout_has_a_name(layout, shape, quality):
    """A block of each named layout corrects the features of that layout, and leaves those of quality 100."""
    torch.manual_seed(0)
    block = ResidualMappingBlock(8, layout, quality=quality)
    phi = torch.randn(2, *shape)
    step(block, phi, torch.tensor([10, 20]))
    out = block(phi, torch.tensor([10, 100]))
    assert out.shape == phi.shape
    assert not torch.equal(out[0], phi[0])
    assert torch.equal(out[1], phi[1])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"channels": 0}, "channels are 0, width is 1.0"), ({"channels": -8}, "channels are -8"),
        ({"channels": 8.0}, "channels are 8.0, .* they are an integer and a number above 0"),
        ({"width": 0}, "width is 0"), ({"width": -1.0}, "width is -1.0"), ({"width": float("nan")}, "width is nan"),
        ({"width": float("inf")}, "width is inf"),
        ({"layout": "nchw"}, "layout is 'nchw'; it is one of vector, map, tokens, channels-last"),
        ({"layout": "vector"}, r"a feature \[B, C\] has no residual mapping block; choose a map or tokens"),
        ({"quality": "table2"}, "quality is 'table2'; it is one of film, plane, table"),
    ],
)  # fmt: skip
def test_a_wrong_argument_is_refused(arguments, message):
    """Arguments that are out of range are errors that say what they may be."""
    with pytest.raises(ValueError, match=message):
        ResidualMappingBlock(**({"channels": 8} | arguments))


@pytest.mark.parametrize(
    ("layout", "shape", "qualities"),
    [
        ("map", (2, 7, 4, 4), 2), ("map", (2, 4, 4, 8), 2), ("map", (2, 8, 4), 2), ("map", (2, 8, 4, 4), 1),
        ("map", (2, 8, 4, 4), 3), ("tokens", (2, 8, 9), 2), ("tokens", (2, 8), 2), ("tokens", (2, 4, 8, 8), 2),
        ("channels-last", (2, 8, 4, 4), 2), ("channels-last", (2, 8, 8), 2),
    ],
)  # fmt: skip
def test_a_feature_that_does_not_fit_is_refused(layout, shape, qualities):
    """A feature of other channels, of another layout, or without a quality for each image is a clear error."""
    block = ResidualMappingBlock(8, layout)
    with pytest.raises(ValueError, match=r"the feature has shape \[2, .* this block takes . axes, 8 channels at axis"):
        block(torch.randn(shape), torch.full((qualities,), 10))


@pytest.mark.parametrize("value", [-1.0, 101.0, float("nan")])
def test_a_quality_out_of_range_is_an_error(value):
    """On the CPU, where it costs nothing to look."""
    with pytest.raises(ValueError, match="it is from 1 to 100, or 0 if it is unknown"):
        ResidualMappingBlock(4)(torch.zeros(1, 4, 2, 2), torch.tensor([value]))
