"""Every table follows from the committed runs, by one command."""

import re
from pathlib import Path

import numpy as np
import pytest

from benchmarks.comparison import summary, tables
from benchmarks.comparison.headline import answers, headline
from benchmarks.comparison.records import kind, read_repeated, read_runs, validation
from benchmarks.comparison.results import datasets
from benchmarks.comparison.settings import plan, read
from benchmarks.comparison.trials import read_trials
from fct.core import params
from fct.core.errors import FctError
from fct.core.params import Section
from fct.methods.params import WITH_CONSISTENCY, MethodParams

ROOT = Path(__file__).parents[2]


class Default(Section):
    """What params.yaml has of the method."""

    method: MethodParams


@pytest.fixture(scope="module")
def made():
    """Compute all that the command writes, with few resamples: means are exact, intervals rough."""
    settings = read()
    few = settings.summary.model_copy(update={"resamples": 20})
    settings = settings.model_copy(update={"summary": few})
    runs = {name: read_runs(name) for name in datasets()}
    told = {name: summary.summarise(found, settings.on(name)) for name, found in runs.items()}
    return settings, runs, told


def without_intervals(text):
    """Return a table without what few resamples do not tell: intervals, and which differences are bold."""
    return re.sub(r" \[[-+.0-9]+, [-+.0-9]+\]", "", text.replace("**", ""))


def test_the_tables_are_what_the_runs_say(made):
    """docs/results/comparison.md is up to date with the results: every mean, difference and trial."""
    settings, runs, told = made
    trials = {name: read_trials(name, found) for name, found in runs.items()}
    document = tables.document(settings, runs, told, trials)
    assert without_intervals((ROOT / summary.TABLES).read_text()) == without_intervals(document)


def test_the_front_page_has_the_table_of_the_claims(made):
    """Between its marks stands what the results say; a person writes the rest of the page."""
    settings, runs, told = made
    table = (ROOT / summary.FRONT).read_text().partition(summary.BEGIN)[2].partition(summary.END)[0]
    assert without_intervals(table.strip()) == without_intervals(headline(settings, runs, told).strip())


def test_any_two_are_compared_as_the_tables_do():
    """The row of two entries is that of comparison.md, interval by interval, and the front page has it too."""
    row = summary.compare("cifar10", "fct-own", "pair-own").splitlines()[-1]
    assert row.startswith("| `fct-own` - `pair-own` | 5 | ")
    assert row in (ROOT / summary.TABLES).read_text().splitlines()
    (claim,) = [
        line for line in (ROOT / summary.FRONT).read_text().splitlines() if "`fct-own` - `pair-own` | 5" in line
    ]
    cells = row.split(" | ")
    assert claim.split(" | ")[3:8] == [cells[number] for number in (2, 6, 7, 8, 9)]


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
            rows = {seed: dict(zip(each.conditions, bits.mean(1), strict=True)) for seed, bits in each.correct.items()}
            for seed, record in each.records.items():
                for condition, accuracy in {**record["test"], **record["unseen"]}.items():
                    assert rows[seed][condition] == pytest.approx(accuracy, abs=1e-5)
            kinds = told[dataset]["methods"] | told[dataset]["ablations"] | told[dataset]["beyond"]
            over_seeds = sum(row["q10"] for row in rows.values()) / len(rows)
            assert kinds[name]["q10"]["mean"] == pytest.approx(over_seeds, abs=1e-5)


def test_the_rival_is_chosen_on_validation_images(made):
    """Of those without consistency, with the control's seeds, none validates better; differences from it are paired."""
    _, runs, told = made
    for dataset, found in runs.items():
        rival = told[dataset]["rival"]
        enough = len(found["pair"].seeds) if "pair" in found else 1
        others = {
            name: np.mean([validation(record) for record in found[name].records.values()])
            for name in told[dataset]["methods"]
            if found[name].first["settings"]["method"]["name"] not in WITH_CONSISTENCY
            and len(found[name].seeds) >= enough
        }
        assert others[rival] == max(others.values())
        for name, each in told[dataset]["methods"].items():
            if "versus_rival" not in each:
                continue
            seeds = each["versus_rival"]["seeds"]
            gap = np.mean(
                [found[name].records[s]["test"]["q10"] - found[rival].records[s]["test"]["q10"] for s in seeds]
            )
            assert each["versus_rival"]["q10"]["mean"] == pytest.approx(gap, abs=2e-5)


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
    rivals = [each["versus"]["method"] for each in told["cifar10"]["answers"] if "other methods" in each["question"]]
    assert rivals == [told["cifar10"]["rival"]]


def test_an_answer_is_a_row():
    """Accuracies are in points, the distortion's change is in % of the other's; without answers there is no table."""
    gap = {"mean": 0.012, "low": -0.003, "high": 0.02}
    versus = {"method": "pair", "seeds": [0, 1]} | dict.fromkeys(["raw", "q10", "q5", "mean"], gap)
    told = [{"question": "Better?", "method": "fct", "versus": versus, "distortion": -0.25}]
    lines = answers(told).splitlines()[2:]
    assert [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines] == [
        ["Better?", "`fct` - `pair`", "2", *["+1.2 [-0.3, +2.0]"] * 4, "-", "-", "-25 %"]
    ]
    assert answers([]) == ""


def test_a_network_that_is_for_ablations_has_no_table_on_the_front_page(made):
    """Two widths of one data set side by side would invite comparison."""
    settings, runs, told = made
    narrow = {"cifar10-narrow": told["cifar10"]}
    assert headline(settings, {"cifar10-narrow": runs["cifar10"]}, narrow) == ""
    assert headline(settings, runs, told | narrow) == headline(settings, runs, told) != ""


def test_only_the_block_between_the_markers_changes():
    """A person writes the rest of the page."""
    text = f"before\n{summary.BEGIN}\nold\n{summary.END}\nafter\n"
    assert summary.with_block(text, "new\n") == f"before\n{summary.BEGIN}\n\nnew\n\n{summary.END}\nafter\n"
    with pytest.raises(FctError, match=r"results/index\.md: the lines .* are not there"):
        summary.with_block("no markers", "new")


def test_what_was_trained_on_is_not_unseen(made):
    """Noise is left out where views were noise; a mean of fewer corruptions is not set beside means of all."""
    _, runs, _ = made
    columns, every = runs["cifar10"]["stability-noise"].columns, runs["cifar10"]["pair"].columns
    assert {kind(condition) for condition in {*every["unseen"]} - {*columns["unseen"]}} == {"noise"}
    assert "corruptions" not in columns
    assert columns["codecs"] == every["codecs"]


def test_an_unseen_distortion_is_a_codec_or_a_corruption(made):
    """The two columns divide what `unseen` is the mean of, and noise, blur, contrast and pixelation are the second."""
    _, runs, _ = made
    columns = runs["cifar10"]["pair"].columns
    assert sorted(columns["codecs"] + columns["corruptions"]) == sorted(columns["unseen"])
    kinds = set(map(kind, columns["corruptions"]))
    assert kinds == {"noise", "blur", "contrast", "pixelate"}


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
