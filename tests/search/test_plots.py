"""The tables and pictures of the search."""

import io

from PIL import Image

from fct.search import plots
from fct.search.plots import Point
from fct.search.run import Tried

POINTS = [Point(0, 2, 0.9, 0.8, is_trained=True), Point(1, 1, 0.7, 0.65, is_trained=False)]
SHARES = [("weight", 0.75), ("layer head", 0.25)]


def test_a_point_is_what_a_trial_had_last(toy):
    """Trials that diverged have none; the others keep their numbers."""
    method = toy.method()
    tried = [
        Tried(method, [(0.5, 0.6), (0.8, 0.9)], "trained"),
        Tried(method, [], "diverged"),
        Tried(method, [(0.65, 0.7)], "pruned"),
    ]
    assert plots.points_of(tried) == [POINTS[0], POINTS[1]._replace(trial=2)]


def test_the_tables_can_be_read_again(tmp_path):
    """`nan` stands where a trial has no value, so that `dvc plots` leaves it out."""
    path = tmp_path / "search.csv"
    path.write_text(plots.points_csv(POINTS))
    assert path.read_text().splitlines()[1:] == ["0,2,0.90000,0.80000,nan", "1,1,0.70000,nan,0.65000"]
    assert plots.read_points(path) == POINTS
    path.write_text(plots.shares_csv(SHARES))
    assert plots.read_shares(path) == SHARES


def test_without_trials_the_tables_are_empty(tmp_path):
    """They have their header; a file that is not there reads as empty."""
    path = tmp_path / "search.csv"
    assert plots.read_points(path) == plots.read_shares(path) == []
    path.write_text(plots.points_csv([]))
    assert path.read_text() == "trial,epochs,raw,trained,pruned\n"
    assert plots.read_points(path) == []


def test_the_pictures_are_pngs():
    """Of 700 by 450 pixels."""
    for draw in (lambda axes: plots.draw_tradeoff(axes, POINTS), lambda axes: plots.draw_importance(axes, SHARES)):
        assert Image.open(io.BytesIO(plots.picture(draw, "title"))).size == (700, 450)
