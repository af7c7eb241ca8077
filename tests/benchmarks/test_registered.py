"""The registered claim: what it needs, when it holds, and that it came before its runs."""

import subprocess
from types import SimpleNamespace

import numpy as np
import pytest
from pydantic import ValidationError

from benchmarks.comparison import registered
from benchmarks.comparison.records import Runs
from benchmarks.comparison.registered import Registered, document, judge, missing
from benchmarks.comparison.settings import SummaryParams, read
from fct.core.errors import FctError

HOW = SummaryParams(confidence=0.95)
SEEDS = [0, 1, 2]
IMAGES = 2_000
BAR = {"seeds": SEEDS, "rivals": ["pair", "jsd"], "gains": {"q10": 0.01}, "level": [], "level_with": {"raw": ["pair"]}}
CLAIM = Registered.model_validate({"variant": "ours", "on": {"images": BAR}})
SETTINGS = {"method": {"name": "pair", "match": "logits", "noise": 0.0}}


def runs(name, raw, q10, seeds=SEEDS, commit="abc"):
    """Return runs with these accuracies, the same for each seed but for a few images."""
    record = {"test": {"raw": raw, "q10": q10}, "unseen": {}, "settings": SETTINGS, "commit": commit}
    record |= {"distortion": {"stage1": {"q10": 0.5}}}
    correct = {seed: np.stack([_bits(accuracy, seed) for accuracy in (raw, q10)]) for seed in seeds}
    return Runs(name, dict.fromkeys(seeds, record), correct)


def _bits(accuracy, seed):
    return np.arange(IMAGES) < accuracy * IMAGES + seed


def found(**ours):
    """Return runs of the variant and of two rivals."""
    every = [runs("ours", **ours), runs("pair", raw=0.8, q10=0.6), runs("jsd", raw=0.9, q10=0.7)]
    return {each.name: each for each in every}


@pytest.mark.parametrize(
    ("raw", "q10", "holds"),
    [
        (0.80, 0.72, [True, True]),
        (0.80, 0.705, [False, True]),  # above 0 with its interval, and still less than was claimed
        (0.79, 0.72, [True, False]),
    ],
)
def test_the_claim_holds_if_every_rival_is_beaten_by_as_much_as_it_says(raw, q10, holds):
    """A gain is against all rivals; the raw accuracy is held against `pair` alone, though another has more."""
    rows = judge(CLAIM, "images", found(raw=raw, q10=q10), HOW)
    assert [row.column for row in rows] == ["q10", "raw"]
    assert [row.rival for row in rows] == ["jsd", "pair"]
    assert [row.holds for row in rows] == holds


def test_the_verdict_names_what_failed():
    """It says which columns, and against whom each was hardest."""
    text = document(CLAIM, "images", found(raw=0.79, q10=0.72), HOW)
    assert text.startswith("**Not reached**: raw. `ours` against 2 methods, 3 seeds each.")
    assert "| Q10 | +1.0, interval above 0 | **+2.0 [+1.4, +2.6]** (`jsd`) | yes |" in text
    assert document(CLAIM, "images", found(raw=0.8, q10=0.72), HOW).startswith("**Reached.**")


def test_seeds_that_were_not_registered_do_not_count():
    """More seeds of the variant could be chosen for their luck."""
    every = found(raw=0.8, q10=0.72)
    more = every | {"ours": runs("ours", raw=0.8, q10=0.72, seeds=[*SEEDS, 40])}
    assert document(CLAIM, "images", more, HOW) == document(CLAIM, "images", every, HOW)


def test_there_is_no_verdict_while_runs_are_missing():
    """Whoever looks early could stop early."""
    every = found(raw=0.8, q10=0.72) | {"jsd": runs("jsd", raw=0.9, q10=0.7, seeds=[0])}
    assert [str(run) for run in missing(CLAIM, "images", every)] == ["images jsd, seed 1", "images jsd, seed 2"]
    assert document(CLAIM, "images", every, HOW).endswith("2 of its runs are missing.\n")


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"gains": {}}, "gains"),
        ({"gains": {"q11": 0.01}}, "there is no column 'q11'"),
        ({"level": ["codec"]}, "there is no column 'codec'"),
        ({"level_with": {"raw": ["augment"]}}, r"augment is not among the rivals \['pair', 'jsd'\]"),
        ({"seeds": [0, 0]}, r"seeds: one of \[0, 0\] is there twice"),
        ({"rivals": ["pair", "pair"]}, "rivals: one of"),
    ],
)
def test_a_claim_that_nothing_could_miss_or_reach_is_refused(changed, said):
    """A claim without a gain would hold of itself, and one with a mistyped name would never be judged."""
    with pytest.raises(ValidationError, match=said):
        Registered.model_validate({"variant": "ours", "on": {"images": BAR | changed}})


def test_a_column_that_a_rival_lacks_is_an_error():
    """A rival that was trained on noise has no such column."""
    claim = Registered.model_validate({"variant": "ours", "on": {"images": BAR | {"level": ["noise"]}}})
    with pytest.raises(FctError, match=r"on\.images: noise was not measured of both ours and pair"):
        judge(claim, "images", found(raw=0.8, q10=0.72), HOW)


@pytest.mark.parametrize(
    ("variant", "dataset", "said"),
    [
        ("fct-ones", "cifar10", "on.cifar10: .*params.yaml has no method fct-ones on this data set"),
        ("fct", "cifar11", "there is no data set 'cifar11'"),
    ],
)
def test_what_the_claim_names_is_in_the_settings(variant, dataset, said):
    """A misspelt variant would be missing for ever, and a misspelt data set would never be shown."""
    claim = Registered.model_validate({"variant": variant, "on": {dataset: BAR}})
    with pytest.raises(FctError, match=said):
        registered.check_known(claim, read())


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """Return a function for git in a repository with the claim's file, committed after a first commit."""

    def git(*arguments):
        command = ["git", "-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false", *arguments]
        return subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True).stdout.strip()

    file, settings = tmp_path / "registered.yaml", tmp_path / "params.yaml"
    settings.write_text("datasets: {images: {model: {width: 8}, methods: {ours: {method: {name: fct}}}}}\n")
    git("init", "-q")
    git("commit", "-q", "--allow-empty", "-m", "before")
    before = git("rev-parse", "--short", "HEAD")
    file.write_text("variant: ours\n")
    git("add", ".")
    git("commit", "-q", "-m", "claim")
    monkeypatch.setattr(registered, "FILE", file)
    return SimpleNamespace(
        git=git, file=file, settings=settings, before=before, claimed=git("rev-parse", "--short", "HEAD")
    )


def test_runs_after_the_claim_are_accepted(repository):
    """Rivals may be older: no choice was made by the variant's runs."""
    ours = runs("ours", raw=0.8, q10=0.7, commit=f"{repository.claimed}-dirty")
    rival = runs("pair", raw=0.8, q10=0.7, commit=repository.before)
    registered.check_committed_before(CLAIM, {"images": {"ours": ours, "pair": rival}})


@pytest.mark.parametrize("changed", [False, True])
def test_a_run_before_the_claim_is_refused(repository, changed):
    """So is one before its last change."""
    commit = repository.before
    if changed:
        commit = repository.claimed
        repository.file.write_text("variant: others\n")
        repository.git("commit", "-qam", "another claim")
    with pytest.raises(FctError, match=f"images ours, seed 0: it was made at commit {commit}"):
        registered.check_committed_before(CLAIM, {"images": {"ours": runs("ours", raw=0.8, q10=0.7, commit=commit)}})


@pytest.mark.parametrize(("old", "new"), [("name: fct}", "name: fct-r}"), ("width: 8", "width: 16")])
def test_a_variant_that_was_changed_after_the_claim_is_refused(repository, old, new):
    """Its definition is as much a part of the claim as its name; so is the network that it is trained in."""
    repository.settings.write_text(repository.settings.read_text().replace(old, new))
    with pytest.raises(FctError, match=rf"images: ours is not what it was .* \({repository.claimed}\)"):
        registered.check_committed_before(CLAIM, {})


def test_other_methods_may_change_after_the_claim(repository):
    """Which trial of a rival is its best is known late."""
    text = repository.settings.read_text()
    repository.settings.write_text(text.replace("methods: {", "methods: {pair: {method: {name: pair}}, "))
    registered.check_committed_before(CLAIM, {})


def test_the_row_of_a_claim_that_fails_has_a_rival_that_it_fails_against():
    """`pair` is beaten by enough, with a wider interval than that of `jsd`, which is not."""
    every = found(raw=0.8, q10=0.705)
    wide = {seed: np.stack([_bits(0.8, seed), _bits(0.684, 12 * seed)]) for seed in SEEDS}
    every["pair"] = Runs("pair", every["pair"].records, wide)
    alone = CLAIM.model_copy(update={"on": {"images": CLAIM.on["images"].model_copy(update={"rivals": ["pair"]})}})
    (met, _), (row, _) = judge(alone, "images", every, HOW), judge(CLAIM, "images", every, HOW)
    assert met.holds
    assert row.rival == "jsd"
    assert 0 < met.told["low"] < row.told["low"]


def test_a_claim_that_is_not_committed_is_refused(repository):
    """Nobody could tell when it was written."""
    repository.file.write_text("variant: others\n")
    with pytest.raises(FctError, match=r"registered\.yaml is not committed as it is"):
        registered.check_committed_before(CLAIM, {})
