"""How often the gate passes what it should not, and what it should: `python -m benchmarks.gate`.

Models whose true values are known are simulated, 300 for each rate, and judged by one line of the gate. At the
threshold a pass is an error, which intervals of 95 % allow in 2.5 % of all models; above it, a pass is what one wants.

An image is hard or easy, and so at all qualities alike: chances of a right answer are drawn from a beta distribution
whose mean is the accuracy, and answers from the chances. Of a champion the model repeats some answers and draws others.

Results go to benchmarks/results/gate.json and into the tables of docs/gate.md.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.stats import beta
from tqdm import tqdm

from benchmarks.markdown import between, table
from fct.core.files import write_json, write_text
from fct.evaluate.params import EvaluateParams
from fct.evaluate.predictions import Predictions
from fct.gate.checks import check_against, check_lines
from fct.gate.params import CheckParams

RESULTS = Path("benchmarks/results/gate.json")
PAGE = Path("docs/gate.md")
ERRORS = "<!-- errors: written by `python -m benchmarks.gate` -->", "<!-- errors end -->"
POWER = "<!-- power: written by `python -m benchmarks.gate` -->", "<!-- power end -->"
ROUNDS = 300  # models for each rate
IMAGES = (30, 100, 500, 5_000)  # in the gate split
ABOVE = (0.005, 0.01, 0.02, 0.03)  # of what a model has, over what it needs
QUALITIES = (10, 30, 50, 70, 90)
CHAMPION = 0.9  # accuracy
SPREAD = 0.25  # of the beta distribution: as on real images, an answer hardly differs between qualities
HOW = EvaluateParams(qualities=QUALITIES, unseen=(), unseen_images=None, batch_size=1, confidence=0.95)
NOMINAL = (1 - HOW.confidence) / 2
VIEWS = ("raw", *(f"q{quality}" for quality in QUALITIES))

Rng = np.random.Generator
Draw = Callable[[Rng, int, float], tuple[Predictions, Predictions | None]]  # (rng, images, above) -> model, champion


@dataclass(frozen=True)
class Case:
    """One line of the gate, and models that lie above its threshold by as much as one asks for."""

    name: str
    line: CheckParams
    draw: Draw


def passed(case: Case, above: float, images: int, rounds: int = ROUNDS) -> int:
    """Return how many simulated models pass.

    Args:
        case: the line, and the models.
        above: how much better the models truly are than the least that may pass.
        images: in the gate split.
        rounds: number of models.
    """
    rng, count = np.random.default_rng(1), 0
    for _ in range(rounds):
        model, champion = case.draw(rng, images, above)
        judged = (
            check_lines([case.line], model, {}, HOW)
            if champion is None
            else check_against([case.line], model, champion, HOW)
        )
        count += all(check.passed for check in judged)
    return count


def cases() -> list[Case]:
    """Return all lines that are simulated."""
    found = []
    for floor in (0.5, 0.8, 0.95, 0.99):
        for name, classes in (("raw", 1), ("mean", 1), ("worst", 1), ("worst-class", 2), ("worst-class", 20)):
            line = CheckParams(slice=name, metric="accuracy", at_least=floor)
            of = f" of {classes}" if name == "worst-class" else ""
            found.append(Case(f"{name}{of} accuracy, at least {floor:.0%}", line, _accurate(floor, classes)))
        found.append(
            Case(
                f"mean agreement, at least {floor:.0%}",
                CheckParams(slice="mean", metric="agreement", at_least=floor),
                _agreeing(floor),
            )
        )
    for most in (0.01, 0.05):
        line = CheckParams(slice="mean", metric="drop", at_most=most)
        found.append(Case(f"mean drop, at most {100 * most:g} points", line, _dropping(most)))
        line = CheckParams(slice="mean", metric="ece", at_most=most)
        found.append(Case(f"mean ece, at most {most:g}", line, _overconfident(most)))
    for margin in (0.0, 0.01, 0.02):
        for shared in (0.0, 0.9, 0.95):
            for name in ("raw", "mean"):
                line = CheckParams(slice=name, metric="accuracy", champion=margin)
                title = f"{name} accuracy, champion's less {100 * margin:g}, {shared:.0%} of answers its own"
                found.append(Case(title, line, _against(margin, shared)))
    return found


def main() -> None:
    """Simulate, and write the results and the tables."""
    everything = cases()
    points = [(n, images, above) for n in range(len(everything)) for images in IMAGES for above in (0.0, *ABOVE)]
    with ProcessPoolExecutor() as pool:
        found = tqdm(pool.map(_share, points), total=len(points), unit="rate", disable=None)
        shares = dict(zip(points, found, strict=True))
    rates = [
        {
            "check": case.name,
            "images": images,
            "error": shares[n, images, 0.0],
            "power": [shares[n, images, above] for above in ABOVE],
        }
        for n, case in enumerate(everything)
        for images in IMAGES
    ]
    write_json(
        RESULTS,
        {"models": ROUNDS, "nominal": NOMINAL, "qualities": list(QUALITIES), "above": list(ABOVE), "rates": rates},
    )
    names = [case.name for case in everything]
    of = {(rate["check"], rate["images"]): rate for rate in rates}
    errors = [[name, *(f"{100 * of[name, images]['error']:.1f}" for images in IMAGES)] for name in names]  # type: ignore[operator]
    power = [
        [name, f"{images:,}", *(f"{100 * share:.0f}" for share in of[name, images]["power"])]  # type: ignore[attr-defined]
        for name in names
        if "80%" in name or "95%" in name or "champion" in name
        for images in IMAGES[-2:]
    ]
    page = between(
        PAGE.read_text(), table(["check", *(f"{images:,} images" for images in IMAGES)], errors), ERRORS, PAGE
    )
    header = ["check", "images", *(f"+{100 * above:g}" for above in ABOVE)]
    write_text(PAGE, between(page, table(header, power), POWER, PAGE))


def _share(point: tuple[int, int, float]) -> float:
    """Return the share of models that pass: a case by its number, the number of images, the points above."""
    number, images, above = point
    return passed(cases()[number], above, images) / ROUNDS


def _accurate(floor: float, classes: int) -> Draw:
    def draw(rng: Rng, images: int, above: float) -> tuple[Predictions, None]:
        right = rng.random((len(VIEWS), images)) < _chances(rng, images, min(1.0, floor + above))
        return _answers(right, labels=np.arange(images) % classes), None

    return draw


def _agreeing(floor: float) -> Draw:
    """Return models that answer as on the raw image with that probability, whether it is right or not."""

    def draw(rng: Rng, images: int, above: float) -> tuple[Predictions, None]:
        same = rng.random((len(VIEWS), images)) < _chances(rng, images, min(1.0, floor + above))
        same[0] = True
        return _answers(same, labels=np.ones(images, int)), None

    return draw


def _dropping(most: float) -> Draw:
    """Return models that are right on 90 % of raw images, and lose so many points on compressed ones."""

    def draw(rng: Rng, images: int, above: float) -> tuple[Predictions, None]:
        lost = max(0.0, most - above)
        right = rng.random((len(VIEWS), images)) < _chances(rng, images, 0.9)
        kept = rng.random((len(VIEWS), images)) < 1 - lost / 0.9
        kept[0] = True
        return _answers(right & kept, labels=np.ones(images, int)), None

    return draw


def _overconfident(most: float) -> Draw:
    """Return models that are less often right than they are sure, by the error."""

    def draw(rng: Rng, images: int, above: float) -> tuple[Predictions, None]:
        sure = np.repeat(rng.uniform(0.4, 1.0, (1, images)), len(VIEWS), axis=0)
        right = rng.random(sure.shape) < sure - max(0.0, most - above)
        return _answers(right, labels=np.ones(images, int), sure=sure), None

    return draw


def _against(margin: float, shared: float) -> Draw:
    """Return a champion and models that repeat a share of its answers, worse by the margin."""

    def draw(rng: Rng, images: int, above: float) -> tuple[Predictions, Predictions]:
        chances = _chances(rng, images, CHAMPION)
        champion = rng.random((len(VIEWS), images)) < chances
        # The answers that are not repeated: right with the champion's chances, then some are lost or won.
        change = (above - margin) / (1 - shared)
        redrawn = rng.random((len(VIEWS), images)) < chances
        chosen = rng.random((len(VIEWS), images)) < abs(change) / (1 - CHAMPION if change > 0 else CHAMPION)
        redrawn = redrawn | chosen if change > 0 else redrawn & ~chosen
        repeated = rng.random(images) < shared
        labels = np.ones(images, int)
        return _answers(np.where(repeated, champion, redrawn), labels=labels), _answers(champion, labels=labels)

    return draw


def _chances(rng: Rng, images: int, accuracy: float) -> NDArray[np.float64]:
    """Return the chance of a right answer to each image, with `accuracy` as their mean."""
    if accuracy >= 1:
        return np.ones(images)
    chances: NDArray[np.float64] = beta.rvs(SPREAD * accuracy, SPREAD * (1 - accuracy), size=images, random_state=rng)
    return chances


def _answers(
    right: NDArray[np.bool_], *, labels: NDArray[np.int64], sure: NDArray[np.float64] | None = None
) -> Predictions:
    classes = np.where(right, labels, labels + 1)
    return Predictions(VIEWS, classes, np.full(right.shape, 0.9) if sure is None else sure, labels)


if __name__ == "__main__":
    main()
