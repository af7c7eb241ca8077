"""Whether what JPEG's quantisation takes away can be guessed, and whether a classifier gains by the guess.

    python -m benchmarks.dequantisation            # Imagenette, some minutes; FCT_DATA_MIRROR names where it is
    python -m benchmarks.dequantisation --tables   # write the table of docs/results/choices.md from the results

A file says in which interval each DCT coefficient lay: as far as half a step of the quantisation table from the value
that a decoder takes. A small network of blocks and their neighbours chooses a value within it, of the luma plane:

    y' = y + step / 2 * tanh(2 g(y, log step) / step)

So its image is as faithful to the file as the decoder's. It is trained on whole photographs, at their own size and on
the grid of the file, before they are scaled. Networks of the comparison then classify validation images as the decoder
gives them, and as it gives them. They are not trained anew: that would only follow if they gained by it.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.fft import dct
from torch import Tensor, nn
from torch.nn import functional
from tqdm import tqdm

from benchmarks.comparison.data import standing_in
from benchmarks.comparison.measure import accuracy
from benchmarks.comparison.run import machine, trained_network
from benchmarks.comparison.settings import Settings, read
from benchmarks.markdown import between, table
from fct.core.errors import exit_on_error
from fct.core.files import write_json, write_text
from fct.images.tables import ijg_tables
from fct.jpeg.arrays import roundtrip
from fct.splits.store import Split, open_split
from fct.splits.views import read_original

RESULTS = Path(__file__).parent / "results/dequantisation.json"
PAGE = Path(__file__).parent.parent / "docs/results/choices.md"
MARKS = (
    "<!-- dequantisation: written by `python -m benchmarks.dequantisation --tables` -->",
    "<!-- dequantisation ends -->",
)
DATASET = "imagenette"
NAMES = ("standard", "pair", "fct")  # networks of seed 0
SEED = 0
QUALITIES = (10, 30, 50)  # measured
TRAINED = (10, 20, 30, 40, 50, 60, 70, 80, 90)
IMAGES = 2_000  # of train
STEPS, BATCH, RATE = 2_500, 16, 1e-3
CROP = 12  # blocks, high and wide
WIDTH = 192  # channels
SCALE = 64.0  # of a coefficient
BLOCK = 8  # pixels
LUMA = (0.299, 0.587, 0.114)  # of red, green and blue (JFIF 1.02)
DCT = torch.tensor(dct(np.eye(BLOCK), norm="ortho", axis=0), dtype=torch.float32)


class Dequantiser(nn.Module):
    """Choose a value inside each coefficient's interval: half a step from its middle at most.

    Shape:
        decoded: float [B, 64, h, w], the coefficients of h x w blocks as a decoder takes them.
        steps: float [B, 64], the quantisation tables.
        output: as decoded, what is added to it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.Conv2d(2 * BLOCK**2, WIDTH, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(WIDTH, WIDTH, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(WIDTH, BLOCK**2, 1),
        )
        self.linear = nn.Conv2d(BLOCK**2, BLOCK**2, 3, padding=1)  # what smooths the edges of blocks
        for weight in self.linear.parameters():
            nn.init.zeros_(weight)

    def forward(self, decoded: Tensor, steps: Tensor) -> Tensor:
        """Return by how much each coefficient is moved."""
        values, table_of = decoded / SCALE, (steps.log2() / BLOCK)[:, :, None, None].expand_as(decoded)
        guess = self.net(torch.cat([values, table_of], 1)) + self.linear(values)
        half = steps[:, :, None, None] / 2
        moved: Tensor = half * (SCALE / BLOCK * guess / half).tanh()
        return moved


def coefficients(plane: Tensor) -> Tensor:
    """Return the DCT of a plane [H, W], in blocks [64, h, w]. Its last row and column fill up the last blocks."""
    height, width = (-(-length // BLOCK) for length in plane.shape)
    below, right = BLOCK * height - plane.shape[0], BLOCK * width - plane.shape[1]
    padded = functional.pad(plane[None, None], (0, right, 0, below), mode="replicate")[0, 0] - 128
    blocks = padded.view(height, BLOCK, width, BLOCK).transpose(1, 2)
    return (DCT @ blocks @ DCT.T).reshape(height, width, BLOCK**2).permute(2, 0, 1)


def plane_of(blocks: Tensor) -> Tensor:
    """Return the plane of coefficients [64, h, w], less 128: the inverse of `coefficients`."""
    _, height, width = blocks.shape
    pixels = DCT.T @ blocks.permute(1, 2, 0).reshape(height, width, BLOCK, BLOCK) @ DCT
    return pixels.transpose(1, 2).reshape(BLOCK * height, BLOCK * width)


def measure(settings: Settings) -> dict[str, Any]:
    """Return the error of the luma by quality, and the accuracy of each network, as decoded and dequantised."""
    with standing_in(settings, DATASET):
        val, own = open_split("val"), settings.on(DATASET)
        dequantiser = fit(open_split("train"))
        views = {quality: dequantised(dequantiser, val, quality) for quality in QUALITIES}
        networks = {name: trained_network(own, name, SEED) for name in NAMES}
        size = own.measure.batch_size
        found: dict[str, Any] = {"error": {}, "accuracy": {}}
        for quality, (errors, *splits) in views.items():
            found["error"][str(quality)] = [round(float(each), 2) for each in errors]
            for name, network in networks.items():
                found["accuracy"].setdefault(name, {})[str(quality)] = [
                    accuracy(network, view, size) for view in splits
                ]
        return found | {"images": len(val), "machine": machine()}


def fit(train: Split) -> Dequantiser:
    """Return a dequantiser, trained on crops of whole blocks; each image of a batch has a quality of its own."""
    torch.manual_seed(SEED)
    random = np.random.default_rng(SEED)
    some = train.every(train.step(IMAGES))
    planes = [coefficients(torch.from_numpy(_luma(native(some, row)))) for row in range(len(some))]
    planes = [plane for plane in planes if min(plane.shape[1:]) >= CROP]
    tables = {quality: torch.from_numpy(ijg_tables(quality)[0]).float() for quality in TRAINED}
    dequantiser = Dequantiser()
    optimiser = torch.optim.AdamW(dequantiser.parameters(), RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, STEPS)
    for _ in tqdm(range(STEPS), desc="dequantiser", unit="step", disable=None):
        chosen = [planes[row] for row in random.integers(len(planes), size=BATCH)]
        corners = [[random.integers(length - CROP + 1) for length in plane.shape[1:]] for plane in chosen]
        true = torch.stack(
            [plane[:, y : y + CROP, x : x + CROP] for plane, (y, x) in zip(chosen, corners, strict=True)]
        )
        steps = torch.stack([tables[int(quality)] for quality in random.choice(TRAINED, BATCH)])
        scale = steps[:, :, None, None]
        decoded = (true / scale).round() * scale
        before, after = (
            ((true - each) ** 2).mean((1, 2, 3)) for each in (decoded, decoded + dequantiser(decoded, steps))
        )
        optimiser.zero_grad()
        (after / before.clamp(min=0.1)).mean().backward()  # type: ignore[no-untyped-call]  # each quality counts as much
        optimiser.step()
        schedule.step()
    return dequantiser.eval()


@torch.inference_mode()
def dequantised(dequantiser: Dequantiser, split: Split, quality: int) -> tuple[NDArray[np.float64], Split, Split]:
    """Return the mean square error of the luma, as decoded and dequantised, and the images of both."""
    steps = torch.from_numpy(ijg_tables(quality)[0]).float()
    scale = steps[:, None, None]
    errors, seen_as, changed = [], [], []
    for row in tqdm(range(len(split)), desc=f"Q{quality}", unit="image", disable=None):
        pixels = native(split, row)
        true = coefficients(torch.from_numpy(_luma(pixels)))
        decoded = (true / scale).round() * scale
        moved = dequantiser(decoded[None], steps[None])[0]
        errors.append([float(((true - each) ** 2).mean()) for each in (decoded, decoded + moved)])
        seen = roundtrip(pixels[None], quality, "4:2:0")[0]
        change = plane_of(moved)[: seen.shape[0], : seen.shape[1], None].numpy()  # to each colour as to luma
        seen_as.append(split.fit(seen))
        changed.append(split.fit((seen + change).round().clip(0, 255).astype(np.uint8)))
    told = np.full(len(split), quality, np.int64)
    views = [replace(split, images=np.stack(images), quality=told, originals=None) for images in (seen_as, changed)]
    return np.mean(errors, 0), views[0], views[1]


def native(split: Split, row: int) -> NDArray[np.uint8]:
    """Return an image at its own size, [H, W, C]."""
    assert split.originals is not None, "photographs have files"
    return read_original(split.originals, row, split.images.shape[-1])


def _luma(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return the luma of an image as a file has it, [H, W]."""
    return np.asarray(np.rint(pixels @ np.array(LUMA)), np.float32)


def tables() -> str:
    """Return a row a quality: the error of the luma, and the accuracy of each network."""
    found = json.loads(RESULTS.read_text())
    rows = []
    for quality, (before, after) in found["error"].items():
        cells = [found["accuracy"][name][quality] for name in NAMES]
        changes = [f"{100 * plain:.1f} ({100 * (guessed - plain):+.1f})" for plain, guessed in cells]
        rows.append([f"Q{quality}", f"{before:.1f} ({100 * (after / before - 1):+.0f} %)", *changes])
    return table(["", "error of the luma", *(f"`{name}`" for name in NAMES)], rows)


def main() -> None:
    """Measure, or write the page's table from what was measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", action="store_true", help="write the table from the results")
    with exit_on_error():
        if not parser.parse_args().tables:
            write_json(RESULTS, measure(read()))
        write_text(PAGE, between(PAGE.read_text(), tables(), MARKS, PAGE))


if __name__ == "__main__":
    main()
