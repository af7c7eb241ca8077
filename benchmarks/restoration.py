"""Whether a block does more if it first learns to restore the stem's feature, and if it sees a whole JPEG block.

    python -m benchmarks.restoration            # CIFAR-10, two trainings; those that are there are not made again
    python -m benchmarks.restoration --tables   # write the table of docs/results/choices.md from the results

Both start from the same network of `standard`, as `fct-one-narrow` of the comparison does. The filters of its stem are
fixed, so the stem's feature of a raw image is a target that does not move. The second has both at once, since neither
can be worth it if both together are not:

    restored    before the training, the stem's block alone learns D(R(phi(x~), q), phi(x)), with the network frozen
    wide        its 3x3 convolution, of 4x4 pixels, is replaced by dilated ones that see 20x20: more than a block of 8x8
                with its neighbours' edges

Validation images say what each does to the stem's distortion, and what is left of that after the training.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from benchmarks.comparison.data import standing_in
from benchmarks.comparison.measure import accuracy
from benchmarks.comparison.run import machine, with_networks
from benchmarks.comparison.settings import Plan, Settings, plan, read
from benchmarks.comparison.views import jpeg_views
from benchmarks.markdown import between, table
from fct.core.errors import exit_on_error
from fct.core.files import write_json, write_text
from fct.losses.distance import feature_distance
from fct.models.device import to_device
from fct.models.network import Network
from fct.nn.residual import ResidualMappingBlock
from fct.splits.store import Split, open_split
from fct.train.assemble import make_network, open_data
from fct.train.batches import Cached
from fct.train.loop import Data, train

RESULTS = Path(__file__).parent / "results/restoration.json"
PAGE = Path(__file__).parent.parent / "docs/results/choices.md"
MARKS = (
    "<!-- restoration: written by `python -m benchmarks.restoration --tables` -->",
    "<!-- restoration ends -->",
)
DATASET, NAME, STEM = "cifar10-warm", "fct-one-narrow", "stem"
SEED = 0
VARIANTS = {  # whether the block is restored, and wide
    "as the comparison has it": (False, False),
    "wide, restored": (True, True),
}
STEPS, BATCH, RATE = 800, 128, 2e-3
SHOWN = ("raw", "q50", "q30", "q10")
DILATIONS = (1, 2, 4, 2)  # 19 positions of 2x2 pixels


def measure(settings: Settings) -> None:
    """Train what is missing, and keep each result as it comes."""
    found: dict[str, Any] = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    with standing_in(settings, DATASET):
        own = settings.on(DATASET)
        for variant, (restored, wide) in VARIANTS.items():
            if variant not in found:
                found[variant] = run(own, with_networks(own, plan(own, NAME, SEED), SEED), restored=restored, wide=wide)
                write_json(RESULTS, found)


def run(settings: Settings, planned: Plan, *, restored: bool, wide: bool) -> dict[str, Any]:
    """Return the stem's distortion by quality before and after the training, and the accuracies after it."""
    setup, method = planned
    torch.manual_seed(SEED)
    data, meta = open_data(setup)
    network, _ = make_network(setup, method, data.train, meta)
    block = stem_block(network)
    if wide:
        widen(block)
    if restored:
        restore(network, data)
    val = open_split("val")
    qualities, size = settings.cache.qualities, settings.measure.batch_size
    views = dict(zip(qualities, jpeg_views(val, qualities, setup.subsampling), strict=True))
    before = {str(quality): distortion(network, val, view) for quality, view in views.items()}
    train(network, data, method, setup.train)
    after = {str(quality): distortion(network, val, view) for quality, view in views.items()}
    right = {f"q{quality}": accuracy(network, view, size) for quality, view in views.items()}
    right = {"raw": accuracy(network, val, size)} | right
    return {"before": before, "after": after, "accuracy": right, "images": len(val), "machine": machine()}


def stem_block(network: Network) -> ResidualMappingBlock:
    """Return the block behind the stem."""
    assert network.blocks is not None, f"{NAME} has blocks"
    block = network.blocks[STEM]
    assert isinstance(block, ResidualMappingBlock)
    return block


def widen(block: ResidualMappingBlock) -> None:
    """Replace the 3x3 convolution of a block by several, so that a position sees more of the image."""
    channels = block.reduce.out_channels
    assert isinstance(channels, int)
    layers: list[nn.Module] = []
    for dilation in DILATIONS:
        layers += [nn.Conv2d(channels, channels, 3, padding=dilation, dilation=dilation), nn.ReLU()]
    block.mix = nn.Sequential(*layers[:-1])


def restore(network: Network, data: Data) -> None:
    """Train the stem's block alone, to give a compressed image the stem's feature of the raw one."""
    block, random = stem_block(network).train(), np.random.default_rng(SEED)
    optimiser = torch.optim.AdamW(block.parameters(), RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, STEPS)
    assert isinstance(data.source, Cached), "of a split that is read from disk"
    cache = data.source.cache
    for _ in tqdm(range(STEPS), desc="restoration", unit="step", disable=None):
        rows = np.sort(random.choice(len(data.train), BATCH, replace=False))
        quality = int(random.choice([*cache]))
        raw, compressed = (stem_feature(network, images[rows]) for images in (data.train.images, cache[quality]))
        distance = feature_distance(raw, block(compressed, torch.full((BATCH,), quality)))
        optimiser.zero_grad()
        distance.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        schedule.step()


@torch.no_grad()
def stem_feature(network: Network, images: np.ndarray) -> Tensor:
    """Return the stem's feature of images [B, H, W, C], before the block."""
    network.backbone.eval()
    feature: Tensor = network.backbone.get_submodule(STEM)(network.normalised(to_device(images, network.mean.device)))
    return feature


@torch.no_grad()
def distortion(network: Network, raw: Split, view: Split, images: int = 1_000) -> list[float]:
    """Return the distance of the stem's feature from the raw image's, without the block and with it."""
    rows = slice(images)
    clean, seen = (stem_feature(network, np.array(split.images[rows])) for split in (raw, view))
    corrected = stem_block(network).eval()(seen, torch.from_numpy(np.array(view.quality[rows])))
    return [round(float(feature_distance(clean, feature)), 4) for feature in (seen, corrected)]


def tables() -> str:
    """Return a row a variant: the stem's distortion at Q10, and accuracies."""
    found = json.loads(RESULTS.read_text())
    rows = []
    for variant, each in found.items():
        (plain, start), (_, end) = each["before"]["10"], each["after"]["10"]
        mean = np.mean([value for name, value in each["accuracy"].items() if name != "raw"])
        cells = [f"{100 * each['accuracy'][name]:.1f}" for name in SHOWN]
        rows.append([variant, f"{plain:.3f}", f"{start:.3f}", f"{end:.3f}", *cells, f"{100 * mean:.1f}"])
    titles = ["without block", "before the training", "after it", *(name.replace("q", "Q") for name in SHOWN), "mean"]
    return table(["block of the stem", *titles], rows)


def main() -> None:
    """Measure, or write the page's table from what was measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", action="store_true", help="write the table from the results")
    with exit_on_error():
        if not parser.parse_args().tables:
            measure(read())
        write_text(PAGE, between(PAGE.read_text(), tables(), MARKS, PAGE))


if __name__ == "__main__":
    main()
