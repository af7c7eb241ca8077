"""The block of the stem that first learns to restore the feature of a raw image."""

import pytest
import torch

from benchmarks import restoration
from benchmarks.comparison.views import jpeg_views
from fct.nn.residual import ResidualMappingBlock
from fct.train.assemble import make_network, open_data

BLOCK = {"layers": ["stem"], "width": 1.0, "quality": "film", "consistency": "after", "unknown_quality": "bypass"}


@pytest.mark.parametrize(("wide", "field"), [(False, 3), (True, 19)])
def test_a_wide_block_sees_more_of_the_image(wide, field):
    """The convolutions of a position reach that many positions of the stem, each of 2x2 pixels, one pixel apart."""
    block = ResidualMappingBlock(4)
    if wide:
        restoration.widen(block)
    for weight in block.parameters():
        torch.nn.init.constant_(weight, 0.1)
    phi = torch.ones(1, 4, 41, 41, requires_grad=True)
    block(phi, torch.tensor([10]))[0, 0, 20, 20].backward()
    rows = phi.grad[0].abs().amax((0, 2)).nonzero().flatten()
    assert rows.max() - rows.min() + 1 == field


def test_restoration_brings_the_stems_feature_nearer_to_the_raw_images(toy, monkeypatch):
    """Nothing but the stem's block changes, and an untrained one changes no feature."""
    setup, method = toy.setup(model="speednet"), toy.method(block=BLOCK)
    data, meta = open_data(setup)
    network, _ = make_network(setup, method, data.train, meta)
    monkeypatch.setattr(restoration, "STEPS", 150)
    monkeypatch.setattr(restoration, "BATCH", 48)
    raw, (view,) = data.train, jpeg_views(data.train, [20], toy.subsampling)
    plain, untrained = restoration.distortion(network, raw, view)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    restoration.restore(network, data)
    same, restored = restoration.distortion(network, raw, view)
    assert plain == untrained == same
    assert restored < 0.9 * plain
    changed = {name for name, value in network.state_dict().items() if not torch.equal(value, before[name])}
    assert changed
    assert all(name.startswith("blocks.stem.") for name in changed)


def test_the_page_has_the_results():
    """The table of docs/results/choices.md is what `--tables` makes of the committed results."""
    block = restoration.PAGE.read_text().partition(restoration.MARKS[0])[2].partition(restoration.MARKS[1])[0]
    assert block.strip() == restoration.tables().strip()
