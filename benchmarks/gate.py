"""How often the gate passes what it should not, and what it should: `python -m benchmarks.gate`.

Models whose true accuracy is known are simulated, 1,000 for each rate, and judged by one check. At the
threshold a pass is an error, which intervals of 95 % allow in 2.5 % of all models; above it, a pass is what one wants.

An image is hard or easy, and so at all qualities alike and for both models of a comparison: chances of a right answer
are drawn from a beta distribution whose mean is the accuracy, and answers from the chances.

Results go to benchmarks/results/gate.json and into the table of docs/gate.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from benchmarks.markdown import between, table
from fct.core.files import write_json, write_text
from fct.evaluate.params import EvaluateParams
from fct.evaluate.predictions import Predictions
from fct.gate.checks import check_against, check_lines
from fct.gate.params import CheckParams

RESULTS = Path("benchmarks/results/gate.json")
PAGE = Path("docs/gate.md")
MARKS = "<!-- rates: written by `python -m benchmarks.gate` -->", "<!-- rates end -->"
ROUNDS = 1_000  # models for each rate
IMAGES = (1_000, 5_000)  # in the gate split
ABOVE = (0.0, 0.005, 0.01, 0.02, 0.03)  # of what a model has, over what it needs
QUALITIES = (10, 30, 50, 70, 90)
FLOOR = 0.8  # accuracy that a model needs
MARGIN = 0.01  # accuracy that it may be worse than the champion
SPREAD = 4  # of the beta distribution: most images are easy or hard, few in between
HOW = EvaluateParams(qualities=QUALITIES, unseen=(), batch_size=1, confidence=0.95)
NOMINAL = (1 - HOW.confidence) / 2
LINES = {
    "raw": CheckParams(slice="raw", metric="accuracy", at_least=FLOOR),
    "mean": CheckParams(slice="mean", metric="accuracy", at_least=FLOOR),
    "worst": CheckParams(slice="worst", metric="accuracy", at_least=FLOOR),
    "mean against the champion": CheckParams(slice="mean", metric="accuracy", champion=MARGIN),
}


def passed(name: str, above: float, images: int, rounds: int = ROUNDS) -> int:
    """Return how many of `rounds` simulated models pass a line.

    Args:
        name: of LINES.
        above: how far every view's true accuracy lies above the least that may pass: FLOOR, or the champion's less
            MARGIN.
        images: in the gate split.
        rounds: models.
    """
    line, rng, found = LINES[name], np.random.default_rng(1), 0
    for _ in range(rounds):
        ranks = rng.random(images)  # how easy each image is, for every model
        if line.champion is None:
            (check,) = check_lines([line], _answers(rng, ranks, FLOOR + above), {}, HOW)
        else:
            champion = _answers(rng, ranks, FLOOR)
            (check,) = check_against([line], _answers(rng, ranks, FLOOR - MARGIN + above), champion, HOW)
        found += check.passed
    return found


def main() -> None:
    """Simulate, and write the results and the table."""
    found = []
    with tqdm(total=len(LINES) * len(IMAGES) * len(ABOVE), unit="rate", disable=None) as bar:
        for name in LINES:
            for images in IMAGES:
                rates = []
                for above in ABOVE:
                    rates.append(passed(name, above, images) / ROUNDS)
                    bar.update()
                found.append({"check": name, "images": images, "above": list(ABOVE), "passed": rates})
    write_json(RESULTS, {"models": ROUNDS, "nominal": NOMINAL, "qualities": list(QUALITIES), "rates": found})
    write_text(PAGE, between(PAGE.read_text(), _table(found), MARKS, PAGE))


def _table(found: Sequence[Mapping[str, Any]]) -> str:
    header = ["check", "images", *(f"+{100 * above:g}" for above in ABOVE)]
    return table(header, [[r["check"], f"{r['images']:,}", *(f"{100 * x:.1f}" for x in r["passed"])] for r in found])


def _answers(rng: np.random.Generator, ranks: NDArray[np.float64], accuracy: float) -> Predictions:
    """Return the answers of a model of that accuracy on every view, to images that are as easy as their ranks say."""
    from scipy.stats import beta

    chance = beta.ppf(ranks, SPREAD * accuracy, SPREAD * (1 - accuracy))
    right = rng.random((1 + len(QUALITIES), len(ranks))) < chance
    views = ("raw", *(f"q{quality}" for quality in QUALITIES))
    return Predictions(views, right.astype(int), np.full(right.shape, 0.9), np.ones(len(ranks), int))


if __name__ == "__main__":
    main()
