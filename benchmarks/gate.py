"""How often the gate passes what it should not, and what it should: `python -m benchmarks.gate`.

Models whose true values are known are simulated, 1,000 for each rate, and judged by one line of the gate. At the
threshold a pass is an error, which intervals of 95 % allow in 2.5 % of all models; above it, a pass is what one wants.

An image is hard or easy, and so at all qualities alike: chances of a right answer are drawn from a beta distribution
whose mean is the accuracy, and answers from the chances. Of a champion the model repeats some answers and draws others.
Trainings share the images' chances, and each has a true accuracy of its own around the mean.

Results go to benchmarks/results/gate.json and into the tables of docs/explanation/gate.md: seven minutes of two cores.
With `--models 20` so many models are simulated for each rate, and the tables are only printed.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import beta, binom
from tqdm import tqdm

from benchmarks.markdown import between, table
from fct.core.errors import exit_on_error
from fct.core.files import write_json, write_text
from fct.evaluate.params import EvaluateParams
from fct.evaluate.predictions import Predictions
from fct.gate.checks import Check, check_against, check_lines, check_trainings
from fct.gate.params import CheckParams

RESULTS = Path("benchmarks/results/gate.json")
PAGE = Path("docs/explanation/gate.md")
TABLES = ("errors", "power", "classes", "trainings")  # of docs/explanation/gate.md
ROUNDS = 1_000  # models for each rate: they tell 2.5 % to half a point (one standard error)
SLOW_ROUNDS = 100  # where a model takes as long as a hundred others
IMAGES = (30, 100, 500, 5_000)  # in the gate split
OVER_TRAININGS = 480, 5_000  # images under lines over trainings
TRAININGS = (3, 5, 10)
DEVIATIONS = (0.005, 0.02)  # of single trainings' true accuracies
ABOVE = (0.005, 0.01, 0.02, 0.03)  # of what a model has, over what it needs
QUALITIES = (10, 30, 50, 70, 90)
CHAMPION = 0.9  # accuracy
FLOORS = (0.5, 0.8, 0.9, 0.95, 0.99)  # of the images that a class needs
CLASSES = (2, 10, 100, 1_000)  # likewise
MOST = 20_000  # images of a class that are looked at
ENOUGH = 0.8  # share of good models that are to pass
SPREAD = 0.25  # of the beta distribution: as on real images, an answer hardly differs between qualities
HOW = EvaluateParams(qualities=QUALITIES, unseen=(), unseen_images=None, batch_size=1, confidence=0.95)
NOMINAL = (1 - HOW.confidence) / 2
VIEWS = ("raw", *(f"q{quality}" for quality in QUALITIES))

Rng = np.random.Generator


class Drawn(NamedTuple):
    """A simulated model, and what its line compares it with."""

    model: Predictions
    champion: Predictions | None = None
    trainings: tuple[float, ...] = ()  # accuracies, the model's first


Draw = Callable[[Rng, int, float], Drawn]  # (rng, images, above)


@dataclass(frozen=True)
class Case:
    """One line of the gate, and models that lie above its threshold by as much as one asks for."""

    name: str
    line: CheckParams
    draw: Draw
    images: tuple[int, ...] = IMAGES
    power: tuple[int, ...] = IMAGES[-2:]  # numbers of images at which models above the threshold are simulated
    rounds: int = ROUNDS


class Point(NamedTuple):
    """One rate: a case by its number, the number of images, the points above the threshold, the number of models."""

    case: int
    images: int
    above: float
    rounds: int


def passed(case: Case, above: float, images: int, rounds: int) -> int:
    """Return how many simulated models pass.

    Args:
        case: the line, and the models.
        above: how much better the models truly are than the least that may pass.
        images: in the gate split.
        rounds: number of models.
    """
    rng = np.random.default_rng(1)
    return sum(check.passed for _ in range(rounds) for check in _judge(case.line, case.draw(rng, images, above)))


def _judge(line: CheckParams, drawn: Drawn) -> list[Check]:
    if drawn.champion is not None:
        return check_against([line], drawn.model, drawn.champion, HOW)
    if drawn.trainings:
        return check_trainings([line], drawn.model, {line.value_name: drawn.trainings}, HOW)
    return check_lines([line], drawn.model, {}, HOW)


def cases() -> list[Case]:
    """Return all lines that are simulated."""
    found = []
    for floor in (0.5, 0.8, 0.95, 0.99):
        power = IMAGES[-2:] if floor in (0.8, 0.95) else ()
        for name, classes in (("raw", 1), ("mean", 1), ("worst", 1), ("worst-class", 2), ("worst-class", 20)):
            line = CheckParams(slice=name, metric="accuracy", at_least=floor)
            of = f" of {classes}" if name == "worst-class" else ""
            found.append(
                Case(f"{name}{of} accuracy, at least {floor:.0%}", line, _accurate(floor, classes), power=power)
            )
        found.append(
            Case(
                f"mean agreement, at least {floor:.0%}",
                CheckParams(slice="mean", metric="agreement", at_least=floor),
                _agreeing(floor),
                power=power,
            )
        )
    line = CheckParams(slice="worst-class", metric="accuracy", at_least=0.5)
    name, many = "worst-class of 1,000 accuracy, at least 50%", IMAGES[-1:]
    found.append(Case(name, line, _accurate(0.5, 1_000), images=many, power=many, rounds=SLOW_ROUNDS))
    for most in (0.01, 0.05):
        line = CheckParams(slice="mean", metric="drop", at_most=most)
        found.append(Case(f"mean drop, at most {100 * most:g} points", line, _dropping(most), power=()))
        line = CheckParams(slice="mean", metric="ece", at_most=most)
        found.append(Case(f"mean ece, at most {most:g}", line, _overconfident(most), power=()))
    for margin in (0.0, 0.01, 0.02):
        for shared in (0.0, 0.9, 0.95):
            for name in ("raw", "mean"):
                line = CheckParams(slice=name, metric="accuracy", champion=margin)
                title = f"{name} accuracy, champion's less {100 * margin:g}, {shared:.0%} of answers its own"
                found.append(Case(title, line, _against(margin, shared)))
    line = CheckParams(slice="raw", metric="accuracy", at_least=0.8, over="trainings")
    found += [
        Case(
            f"{count} trainings, deviation {100 * deviation:g} points",
            line,
            _trained(0.8, count, deviation),
            images=OVER_TRAININGS,
            power=OVER_TRAININGS,
        )
        for count in TRAININGS
        for deviation in DEVIATIONS
    ]
    return found


def images_a_class(floor: float, accuracy: float, classes: int) -> int:
    """Return the images that each class needs, so that `ENOUGH` of the models whose classes are so good pass.

    With that number and every larger one, up to `MOST`, as many pass the line `worst-class` about a single view. Over
    several views an answer varies less.

    Args:
        floor: of the line.
        accuracy: true, of every class.
        classes: their number.
    """
    images = np.arange(1, MOST + 1)
    right = binom.isf(NOMINAL, images, floor) + 1  # the least whose lower bound reaches the floor (Clopper and Pearson)
    enough = binom.sf(right - 1, images, accuracy) ** classes >= ENOUGH
    return int(images[~enough].max(initial=0)) + 1


def main() -> None:
    """Simulate, and write the results and the tables, or print the tables of fewer models."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gate", description="How often the gate errs.")
    parser.add_argument("--models", type=int, help="so many for each rate, and nothing is written")
    models = parser.parse_args().models
    everything = [replace(case, rounds=min(case.rounds, models or case.rounds)) for case in cases()]
    rates = _simulate(everything)
    tables = _tables(everything, rates)
    if models:
        print("\n".join(tables.values()))
        return
    write_json(
        RESULTS, {"nominal": NOMINAL, "qualities": list(QUALITIES), "above": list(ABOVE), "rates": list(rates.values())}
    )
    page = PAGE.read_text()
    for name, block in tables.items():
        marks = f"<!-- {name}: written by `python -m benchmarks.gate` -->", f"<!-- {name} end -->"
        page = between(page, block, marks, PAGE)
    write_text(PAGE, page)


def _simulate(everything: list[Case]) -> dict[tuple[str, int], dict[str, Any]]:
    """Return the rates by case and number of images."""
    points = [
        Point(number, images, above, case.rounds)
        for number, case in enumerate(everything)
        for images in case.images
        for above in (0.0, *(ABOVE if images in case.power else ()))
    ]
    with ProcessPoolExecutor() as pool:
        found = tqdm(pool.map(_share, points), total=len(points), unit="rate", disable=None)
        shares = dict(zip(points, found, strict=True))
    return {
        (case.name, images): {
            "check": case.name,
            "images": images,
            "models": case.rounds,
            "error": shares[Point(number, images, 0.0, case.rounds)],
            "power": [shares[Point(number, images, above, case.rounds)] for above in ABOVE]
            if images in case.power
            else None,
        }
        for number, case in enumerate(everything)
        for images in case.images
    }


def _tables(everything: list[Case], rates: dict[tuple[str, int], dict[str, Any]]) -> dict[str, str]:
    """Return the tables by the name of their marks in docs/explanation/gate.md."""
    of_one = [case for case in everything if case.line.over == "images"]
    over_trainings = [case for case in everything if case.line.over == "trainings"]
    above = [f"+{100 * points:g}" for points in ABOVE]

    def error(case: Case, images: int) -> str:
        return f"{100 * rates[case.name, images]['error']:.1f}" if images in case.images else ""

    def power(case: Case, images: int) -> list[str]:
        return [f"{100 * share:.0f}" for share in rates[case.name, images]["power"]]

    return {
        "errors": table(
            ["check", *(f"{images:,} images" for images in IMAGES)],
            [[case.name, *(error(case, images) for images in IMAGES)] for case in of_one],
        ),
        "power": table(
            ["check", "images", *above],
            [[case.name, f"{images:,}", *power(case, images)] for case in of_one for images in case.power],
        ),
        "classes": table(
            ["floor", "all answers right", *(f"{classes:,} classes" for classes in CLASSES)],
            [
                [f"{floor:.0%}", images_a_class(floor, 1.0, 1)]
                + [f"{images_a_class(floor, (1 + floor) / 2, classes):,}" for classes in CLASSES]
                for floor in FLOORS
            ],
        ),
        "trainings": table(
            ["", "images", "+0", *above],
            [
                [case.name, f"{images:,}", error(case, images), *power(case, images)]
                for case in over_trainings
                for images in case.images
            ],
        ),
    }


def _share(point: Point) -> float:
    """Return the share of models that pass."""
    return passed(cases()[point.case], point.above, point.images, point.rounds) / point.rounds


def _accurate(floor: float, classes: int) -> Draw:
    def draw(rng: Rng, images: int, above: float) -> Drawn:
        right = rng.random((len(VIEWS), images)) < _chances(rng, images, min(1.0, floor + above))
        return Drawn(_answers(right, labels=np.arange(images) % classes))

    return draw


def _agreeing(floor: float) -> Draw:
    """Return models that answer as on the raw image with that probability, whether it is right or not."""

    def draw(rng: Rng, images: int, above: float) -> Drawn:
        same = rng.random((len(VIEWS), images)) < _chances(rng, images, min(1.0, floor + above))
        same[0] = True
        return Drawn(_answers(same, labels=np.ones(images, int)))

    return draw


def _dropping(most: float) -> Draw:
    """Return models that are right on 90 % of raw images, and lose so many points on compressed ones."""

    def draw(rng: Rng, images: int, above: float) -> Drawn:
        lost = max(0.0, most - above)
        right = rng.random((len(VIEWS), images)) < _chances(rng, images, 0.9)
        kept = rng.random((len(VIEWS), images)) < 1 - lost / 0.9
        kept[0] = True
        return Drawn(_answers(right & kept, labels=np.ones(images, int)))

    return draw


def _overconfident(most: float) -> Draw:
    """Return models that are less often right than they are sure, by the error."""

    def draw(rng: Rng, images: int, above: float) -> Drawn:
        sure = np.repeat(rng.uniform(0.4, 1.0, (1, images)), len(VIEWS), axis=0)
        right = rng.random(sure.shape) < sure - max(0.0, most - above)
        return Drawn(_answers(right, labels=np.ones(images, int), sure=sure))

    return draw


def _against(margin: float, shared: float) -> Draw:
    """Return a champion and models that repeat a share of its answers, worse by the margin."""

    def draw(rng: Rng, images: int, above: float) -> Drawn:
        chances = _chances(rng, images, CHAMPION)
        champion = rng.random((len(VIEWS), images)) < chances
        # The answers that are not repeated: right with the champion's chances, then some are lost or won.
        change = (above - margin) / (1 - shared)
        redrawn = _changed(rng, rng.random((len(VIEWS), images)) < chances, CHAMPION, change)
        repeated = rng.random(images) < shared
        labels = np.ones(images, int)
        return Drawn(
            _answers(np.where(repeated, champion, redrawn), labels=labels), champion=_answers(champion, labels=labels)
        )

    return draw


def _trained(floor: float, count: int, deviation: float) -> Draw:
    """Return a model and more trainings of its configuration, whose true accuracies have that deviation."""

    def draw(rng: Rng, images: int, above: float) -> Drawn:
        chances = _chances(rng, images, floor + above)
        right = np.array(
            [
                _changed(rng, rng.random((1, images)) < chances, floor + above, change)[0]
                for change in rng.normal(0, deviation, count)
            ]
        )
        return Drawn(_answers(right[:1], labels=np.ones(images, int)), trainings=tuple(right.mean(1)))

    return draw


def _changed(rng: Rng, right: NDArray[np.bool_], accuracy: float, change: float) -> NDArray[np.bool_]:
    """Return answers of that accuracy with some lost or won, so that in the mean it changes by `change`."""
    chosen = rng.random(right.shape) < abs(change) / (1 - accuracy if change > 0 else accuracy)
    return right | chosen if change > 0 else right & ~chosen


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
    return Predictions(VIEWS[: len(right)], classes, np.full(right.shape, 0.9) if sure is None else sure, labels)


if __name__ == "__main__":
    with exit_on_error():
        main()
