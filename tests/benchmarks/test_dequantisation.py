"""The guess of what JPEG's quantisation took away: faithful to the file, and better than no guess."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import dequantisation
from fct.images.tables import ijg_tables


@given(st.integers(1, 30), st.integers(1, 30), st.integers(0, 99))
def test_a_plane_of_any_size_comes_back_from_its_coefficients(height, width, seed):
    """Blocks that it does not fill are filled by its last row and column."""
    plane = torch.from_numpy(np.random.default_rng(seed).integers(256, size=(height, width)).astype(np.float32))
    back = dequantisation.plane_of(dequantisation.coefficients(plane)) + 128
    assert torch.allclose(back[:height, :width], plane, atol=1e-3)
    assert torch.allclose(back[height:, :width], plane[-1:].expand(len(back) - height, -1), atol=1e-3)


def test_a_guess_stays_within_half_a_step():
    """So its image is compressed to the same file, whatever the weights are."""
    torch.manual_seed(0)
    dequantiser = dequantisation.Dequantiser()
    steps = torch.from_numpy(ijg_tables(10)[0]).float().expand(2, -1)
    decoded = torch.randint(-20, 20, (2, 64, 3, 4)) * steps[:, :, None, None]
    for weight in dequantiser.parameters():
        weight.data.mul_(100)
    moved = dequantiser(decoded, steps)
    assert moved.shape == decoded.shape
    assert (moved.abs() / steps[:, :, None, None]).max() <= 0.5


def test_the_page_has_the_table_of_the_results():
    """The page of choices says what was measured."""
    block = dequantisation.PAGE.read_text().partition(dequantisation.MARKS[0])[2].partition(dequantisation.MARKS[1])[0]
    assert block.strip() == dequantisation.tables().strip()
