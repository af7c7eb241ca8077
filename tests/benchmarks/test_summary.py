"""Every table follows from the committed runs, by one command."""

from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from benchmarks.comparison import rivals, summary, tables
from benchmarks.comparison.budget import costs
from benchmarks.comparison.cells import STAYS
from benchmarks.comparison.headline import SHOWN_ON, answers, bought, choices, headline, reached
from benchmarks.comparison.records import REST, kind, read_repeated, read_runs, validation
from benchmarks.comparison.results import datasets
from benchmarks.comparison.settings import OTHER, WITHOUT, plan, read
from benchmarks.comparison.trials import read_trials
from fct.core import params
from fct.core.errors import FctError
from fct.core.params import Section
from fct.methods.params import MethodParams

ROOT = Path(__file__).parents[2]


class Default(Section):
    """What params.yaml has of the method."""

    method: MethodParams


@pytest.fixture(scope="module")
def made():
    """Compute all that the command writes."""
    settings = read()
    runs, _ = summary.divide(settings, {name: read_runs(name) for name in datasets()})
    told = {name: summary.summarise(found, settings.on(name)) for name, found in runs.items()}
    return settings, runs, told


def block(page, marks=summary.MARKS):
    """Return what stands between the marks of a page."""
    return page.read_text().partition(marks[0])[2].partition(marks[1])[0].strip()


def test_the_tables_are_what_the_runs_say(made):
    """docs/results/comparison.md is up to date with the results: every mean, interval, difference and trial."""
    settings, runs, told = made
    trials = {name: read_trials(name, found) for name, found in runs.items()}
    _, longer = summary.divide(settings, {name: read_runs(name) for name in datasets()})
    assert (ROOT / summary.TABLES).read_text() == tables.document(settings, runs, told, trials, longer)


def test_runs_beyond_the_budget_are_in_no_comparison(made):
    """They have a table of their own, whatever data set they are on, and no other one names them."""
    settings, runs, _ = made
    assert not {"cifar10-more", *settings.beyond} & {*runs, *(name for found in runs.values() for name in found)}
    _, longer = summary.divide(settings, {name: read_runs(name) for name in datasets()})
    text = (ROOT / summary.TABLES).read_text()
    compared, _, beyond = text.partition("## Beyond the budget")
    for name in (name for found in longer.values() for name in found):
        assert f"`{name}`" in beyond
        assert f"`{name}`" not in compared


def test_the_front_pages_have_the_tables_of_the_claims(made):
    """Between their marks stands what the results say; a person writes the rest of the pages."""
    settings, runs, told = made
    shown, cost = runs[SHOWN_ON], costs(settings, SHOWN_ON, runs[SHOWN_ON])
    assert block(ROOT / summary.FRONT) == headline(settings, runs, told).strip()
    assert block(ROOT / summary.README) == bought(told[SHOWN_ON]).strip()
    assert block(ROOT / summary.README, summary.REACHED_MARKS) == reached(shown, cost).strip()
    assert block(ROOT / summary.CHOOSING) == choices(shown, cost).strip()


def test_any_two_are_compared_as_the_tables_do():
    """The row of two entries is that of comparison.md, interval by interval, and the front page has it too."""
    row = summary.compare("cifar10", "fct-own", "pair-own").splitlines()[-1].replace(f" {STAYS}", "")
    assert row.startswith("| `fct-own` - `pair-own` | 5 | ")
    assert row in (ROOT / summary.TABLES).read_text().replace(f" {STAYS}", "").splitlines()
    front = (ROOT / summary.FRONT).read_text().replace(f" {STAYS}", "").splitlines()
    claim, by_kind = [line for line in front if "`fct-own` - `pair-own` | 5" in line]
    cells = row.split(" | ")
    assert claim.split(" | ")[3:8] == [cells[number] for number in (2, 6, 7, 8, 9)]
    assert by_kind.split(" | ")[2:] == cells[10:]


def test_what_one_seed_says_has_no_interval():
    """Nor is it bold: an ablation of one seed is compared with the same seed of its method."""
    row = summary.compare("cifar10", "fct-r-own-early", "fct-r-own-estimate").splitlines()[-1]
    assert row.startswith("| `fct-r-own-early` - `fct-r-own-estimate` | 1 | +")
    assert "[" not in row
    assert "*" not in row


@pytest.mark.parametrize(
    ("dataset", "name", "other", "said"),
    [
        ("cifar10", "fct-own", "pear", "cifar10 has no runs of pear. There are runs of: .*pair"),
        ("cifar100", "fct-own", "pair", "cifar100 has no runs of fct-own, pair. There are runs of: none"),
        ("cifar10", "pair", "pair", "pair and pair are the same"),
    ],
)
def test_what_cannot_be_compared_is_named(dataset, name, other, said):
    """The error names the data set, the entry and those that there are."""
    with pytest.raises(FctError, match=said):
        summary.compare(dataset, name, other)


def test_the_mean_agrees_with_the_bits(made):
    """Accuracies of a record are those of its per-image correctness, and so are the summary's."""
    _, runs, told = made
    for dataset, found in runs.items():
        for name, each in found.items():
            rows = {
                seed: dict(zip(each.conditions(seed), bits.mean(1), strict=True)) for seed, bits in each.correct.items()
            }
            for seed, record in each.records.items():
                for condition, accuracy in {**record["test"], **record["unseen"]}.items():
                    assert rows[seed][condition] == pytest.approx(accuracy, abs=1e-5)
            kinds = told[dataset]["methods"] | told[dataset]["ablations"]
            over_seeds = sum(row["q10"] for row in rows.values()) / len(rows)
            assert kinds[name]["q10"]["mean"] == pytest.approx(over_seeds, abs=1e-5)


@pytest.mark.parametrize("group", rivals.GROUPS)
def test_the_best_of_a_group_is_chosen_on_validation_images(made, group):
    """Of its methods, with at least the control's seeds, none validates better."""
    _, runs, told = made
    for dataset, found in runs.items():
        chosen = told[dataset]["best"][group]
        enough = len(found["pair"].seeds) if "pair" in found else 1
        scores = {
            name: np.mean([validation(record) for record in found[name].records.values()])
            for name in told[dataset]["methods"]
            if rivals.GROUPS[group](found[name]) and len(found[name].seeds) >= enough
        }
        assert scores[chosen] == max(scores.values())


def test_distilled_features_are_consistency_by_another_name(made):
    """They are no rival without consistency of features, but one of all others; the method's own forms are neither."""
    _, runs, _ = made
    belongs = {
        name: [rivals.GROUPS[group](runs["cifar10"][name]) for group in (WITHOUT, OTHER)]
        for name in ("distill-own", "distill-cosine-own", "fct-own", "fct-r")
    }
    assert belongs == {
        "distill-own": [True, True],
        "distill-cosine-own": [False, True],
        "fct-own": [False, False],
        "fct-r": [False, False],
    }


@pytest.mark.parametrize(("versus", "group"), [(tables.VERSUS_WITHOUT, WITHOUT), (tables.VERSUS_OTHER, OTHER)])
def test_differences_from_the_best_of_a_group_are_paired(made, versus, group):
    """They are of the seeds that both have."""
    _, runs, told = made
    for dataset, found in runs.items():
        rival = told[dataset]["best"][group]
        for name, each in told[dataset]["methods"].items():
            if versus in each:
                seeds = each[versus]["seeds"]
                gap = [found[name].records[s]["test"]["q10"] - found[rival].records[s]["test"]["q10"] for s in seeds]
                assert each[versus]["q10"]["mean"] == pytest.approx(np.mean(gap), abs=2e-5)


def test_beating_all_is_decided_by_the_lowest_bound(made):
    """Each cell has the least bound of all members of its group; the method is held against itself nowhere."""
    _, runs, told = made
    each = told["cifar10"]
    lines = rivals.beats(each, runs["cifar10"]).splitlines()[4:]
    lowest = {cells[1].strip(): cells[2:4] for cells in (line.split("|") for line in lines)}
    for column, title in tables.COLUMNS.items():
        for group, cell in zip((WITHOUT, OTHER), lowest[title], strict=True):
            bounds = {
                name: versus[column]["low"]
                for name, versus in each["against"].items()
                if rivals.GROUPS[group](runs["cifar10"][name]) and len(versus["seeds"]) > 1
            }
            assert f"(`{min(bounds, key=lambda name: bounds[name])}`)" in cell
            assert f"[{100 * min(bounds.values()):+.1f}, " in cell
    assert each["ours"] not in each["against"]


def test_the_beaten_are_bold_only_if_all_are():
    """One method that is level takes the claim away."""

    class Other:
        own_form = consistent = False

    better, level = ({"mean": 0.02, "low": low, "high": 0.04} for low in (0.01, -0.001))
    against = {
        "weak": {"seeds": [0, 1], "raw": better, "q10": better},
        "level": {"seeds": [0, 1], "raw": better, "q10": level},
    }
    text = rivals.beats({"ours": "fct", "against": against}, {"weak": Other(), "level": Other()})
    raw, q10 = (next(line for line in text.splitlines() if line.startswith(f"| {title} |")) for title in ("raw", "Q10"))
    assert raw.count("**") == 4
    assert "**" not in q10
    assert "(`level`)" in q10


def test_the_pipelines_default_is_the_best_of_the_small_runs(made):
    """params.yaml's method is the one that validation images chose; its blocks are fewer and narrower, to save time."""
    settings, runs, _ = made
    small = runs["fashion-mnist-small"]
    scores = {name: np.mean([validation(record) for record in each.records.values()]) for name, each in small.items()}
    assert len({tuple(each.seeds) for each in small.values()}) == 1
    best = plan(settings, max(scores, key=lambda name: scores[name]), 0).method
    default = params.load(Default, ROOT / "params.yaml").method
    probability = plan(settings, "augment-2x", 0).method.probability  # only methods with one view read it: theirs, then
    block = best.block.model_copy(update={"layers": default.block.layers, "width": default.block.width})
    apart = {"teacher": default.teacher, "probability": probability, "block": block}
    assert best.model_copy(update=apart) == default


def test_what_blocks_add_is_told_against_the_same_method_without(made):
    """`fct-r-own` and `fct-own` differ by blocks alone; `fct-r` and `fct` by layers and target too."""
    _, runs, told = made
    methods, found = told["cifar10"]["methods"], runs["cifar10"]
    with_twin = {
        name: each["versus_without_blocks"]["method"]
        for name, each in methods.items()
        if "versus_without_blocks" in each
    }
    assert with_twin == {"fct-r-own": "fct-own", "fct-r-own-estimate": "fct-own"}
    gap = found["fct-r-own"].values(["q10"], [0, 1, 2]).mean() - found["fct-own"].values(["q10"], [0, 1, 2]).mean()
    assert methods["fct-r-own"]["versus_without_blocks"]["q10"]["mean"] == pytest.approx(gap, abs=1e-5)


def test_an_ablation_is_held_against_what_it_changes(made):
    """Differences are paired, on the seeds that both have: of one seed against three, on that seed."""
    settings, runs, told = made
    found, each = runs["cifar10"], told["cifar10"]["ablations"]["pair-low"]["versus_base"]
    assert (each["method"], each["seeds"]) == (settings.ablations["pair-low"].of, [0]) == ("pair", [0])
    gap = found["pair-low"].values(["q10"], [0]).mean() - found["pair"].values(["q10"], [0]).mean()
    assert each["q10"]["mean"] == pytest.approx(gap, abs=1e-5)


def test_a_claim_is_answered_by_paired_differences(made):
    """The distortion's too is of the seeds that both have; who is not named is the rival."""
    _, runs, told = made
    for dataset, found in runs.items():
        for each in told[dataset]["answers"]:
            ours, theirs = found[each["method"]], found[each["versus"]["method"]]
            seeds = each["versus"]["seeds"]
            assert set(seeds) == set(ours.seeds) & set(theirs.seeds)
            gap = ours.values(["raw"], seeds).mean() - theirs.values(["raw"], seeds).mean()
            assert each["versus"]["raw"]["mean"] == pytest.approx(gap, abs=1e-5)
            layers = [
                np.mean([layer["q10"] for seed in seeds for layer in one.records[seed]["distortion"].values()])
                for one in (ours, theirs)
            ]
            assert each["distortion"] == pytest.approx(layers[0] / layers[1] - 1, abs=1e-5)
    asked = {each["question"]: each["versus"]["method"] for each in told["cifar10"]["answers"]}
    best = told["cifar10"]["best"]
    assert asked["Than the best method without feature consistency?"] == best[WITHOUT]
    assert asked["Than the best of all others, distilled features included?"] == best[OTHER]


def test_an_answer_is_a_row():
    """Accuracies are in points, the distortion's change is in % of the other's; without answers there is no table."""
    gap = {"mean": 0.012, "low": -0.003, "high": 0.02, "p": 0.2}
    versus = {"method": "pair", "seeds": [0, 1]} | dict.fromkeys(["raw", "q10", "q5", "mean"], gap)
    told = [{"question": "Better?", "method": "fct", "versus": versus, "distortion": -0.25}]
    said, _, *lines = answers(told).splitlines()
    assert said.startswith("4 differences")
    lines = lines[2:]
    assert [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines] == [
        ["Better?", "`fct` - `pair`", "2", *["+1.2 [-0.3, +2.0]"] * 4, "-", "-25 %"]
    ]
    assert answers([]) == ""


def test_a_network_that_is_for_ablations_has_no_table_on_the_front_page(made):
    """Two widths of one data set side by side would invite comparison."""
    settings, runs, told = made
    narrow = {"cifar10-narrow": told["cifar10"]}
    assert headline(settings, {"cifar10-narrow": runs["cifar10"]}, narrow) == ""
    assert headline(settings, runs, told | narrow) == headline(settings, runs, told) != ""


def test_what_was_trained_on_is_not_unseen(made):
    """Noise has no column where views were noise; the means of the others stay those of all methods."""
    _, runs, _ = made
    columns, every = runs["cifar10"]["stability-noise"].columns, runs["cifar10"]["pair"].columns
    assert every.keys() - columns.keys() == {"noise"}
    assert all(columns[name] == every[name] for name in columns)


def test_no_mean_has_noise_in_it(made):
    """Each corruption has its own column; all but noise have one together, and the codecs another."""
    _, runs, _ = made
    columns, record = runs["cifar10"]["pair"].columns, runs["cifar10"]["pair"].first
    assert sorted(columns["codecs"] + columns["noise"] + columns[REST]) == sorted(record["unseen"])
    assert set(map(kind, columns["noise"])) == {"noise"}
    assert sorted(columns["blur"] + columns["contrast"] + columns["pixelate"]) == sorted(columns[REST])


def test_what_a_seed_alone_does_is_pooled_over_pairs(made):
    """The last row of a table of one seed has the deviation of paired differences, the squares of all pairs pooled."""
    _, runs, told = made
    small, squares, count = runs["fashion-mnist-small"], 0.0, 0
    for one, other in combinations([small[name] for name in told["fashion-mnist-small"]["methods"]], 2):
        gaps = [one.records[seed]["test"]["q10"] - other.records[seed]["test"]["q10"] for seed in (0, 1)]
        squares, count = squares + (gaps[0] - gaps[1]) ** 2 / 2, count + 1
    assert told["fashion-mnist-small"]["deviation"]["q10"] == pytest.approx((squares / count) ** 0.5, abs=1e-4)


def test_a_run_of_two_machines_is_held_against_itself(made):
    """Where a second machine repeated runs, the table has the second's accuracies less the first's, a row a run."""
    _, runs, _ = made
    text = tables.again("cifar10", runs["cifar10"])
    repeated = read_repeated("cifar10")
    (second,) = [record for record in repeated if (record["name"], record["seed"]) == ("pair", 0)]
    gap = second["test"]["q10"] - runs["cifar10"]["pair"].records[0]["test"]["q10"]
    (row,) = [line for line in text.splitlines() if line.startswith("| `pair` ")]
    assert row.split(" | ")[2 + list(tables.COLUMNS).index("q10")] == f"{100 * gap:+.1f}"
    assert text.count("\n| `") == len(repeated)
    assert "H200" in text
    assert tables.again("fashion-mnist", runs["fashion-mnist"]) == ""


def test_every_machine_is_named_with_its_runs(made):
    """Core-minutes are told of runs on processors alone: a run on a GPU has its host's threads beside it."""
    _, runs, _ = made
    found = runs["cifar10"]
    machines = tables.about({"pair": found["pair"], "fct-own": found["fct-own"]}).partition("Machines: ")[2]
    on_processors, on_gpu = machines.split("; ")
    assert on_processors.startswith("6 runs on x86_64, torch 2.14.1")
    assert "core-minutes" in on_processors
    assert on_gpu == "2 runs on x86_64, torch 2.11.0+cu130, NVIDIA H200.\n"
