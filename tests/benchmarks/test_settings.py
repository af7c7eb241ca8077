"""benchmarks/params.yaml says what can run, at equal budget."""

import pytest
from pydantic import ValidationError

from benchmarks.comparison import registered
from benchmarks.comparison.settings import BEST, Dataset, Settings, all_runs, plan, read
from fct import recipes
from fct.core.errors import FctError
from fct.core.params import Section
from fct.methods.params import MethodParams
from fct.methods.registry import METHODS
from fct.models.params import ModelParams
from fct.train.params import TrainParams

SETTINGS = read()
CLAIM = registered.read()
FIXED = {"standard-longer", "fct-one", CLAIM.variant}  # of photographs
PHOTOGRAPHS = [name for name, dataset in SETTINGS.datasets.items() if dataset.folder]
OWN = [name for name, dataset in SETTINGS.datasets.items() if dataset.methods]  # with entries of their own
ON = {None: SETTINGS} | {name: SETTINGS.on(name) for name in OWN}
ALL = [
    (dataset, name, trial)
    for dataset, settings in ON.items()
    for name, entry in settings.entries.items()
    for trial in range(len(entry.trials))
]


class Pipeline(Section):
    """What the comparison shares with params.yaml."""

    model: ModelParams
    train: TrainParams


@pytest.mark.parametrize(("dataset", "name", "trial"), ALL)
def test_every_run_is_a_configuration_that_exists(dataset, name, trial):
    """Each method and ablation, with each trial's change, passes the library's own validation."""
    assert plan(ON[dataset], name, 3, trial).setup.train.seed == 3


@pytest.mark.parametrize(
    ("dataset", "name"),
    [
        (dataset, name)
        for dataset, settings in ON.items()
        for name, entry in settings.methods.items()
        if not entry.half and "epochs" not in entry.train
    ],
)
def test_methods_forward_as_many_images_in_as_many_steps(dataset, name):
    """The budget is that of `pair`, whatever the number of views.

    Only entries that say `half`, or how many epochs, have another.
    """

    def budget(name):
        setup, method = plan(ON[dataset], name, 0)
        schedule = setup.train
        steps = 40_960 // schedule.batch_size * schedule.epochs
        return steps, steps * schedule.batch_size * method.views_per_image

    assert budget(name) == budget("pair")


def test_a_data_set_may_have_a_schedule_of_its_own():
    """What it says goes before `train`, and only for its own runs; all methods keep one budget."""
    epochs = SETTINGS.datasets["fashion-mnist"].train["epochs"]
    assert plan(SETTINGS.on("fashion-mnist"), "pair", 0).setup.train.epochs == epochs < SETTINGS.train.epochs
    assert plan(SETTINGS.on("cifar10"), "pair", 0) == plan(SETTINGS, "pair", 0)


def test_a_data_set_may_have_a_network_of_its_own():
    """Keys of `model` go before the file's own, the others stay."""
    model = plan(SETTINGS.on("cifar10-narrow"), "pair", 0).setup.model
    assert model == SETTINGS.model.model_copy(update={"width": 16}) != SETTINGS.model


@pytest.mark.parametrize(("section", "key"), [("model", "widht"), ("train", "epoch")])
def test_a_misspelt_key_of_a_data_set_is_refused(section, key):
    """It would else be left out, and the usual network or schedule be measured under the other's name."""
    own = SETTINGS.datasets["cifar10-narrow"].model_copy(update={section: {key: 16}})
    settings = SETTINGS.model_copy(update={"datasets": {"cifar10-narrow": own}})
    with pytest.raises(FctError, match=rf"params\.yaml: datasets\.cifar10-narrow\.{section}: {key}: .* \(it is 16\)"):
        settings.on("cifar10-narrow")


@pytest.mark.parametrize(
    ("section", "values"),
    [
        ("measure", {"qualities": [0, 10]}),
        ("measure", {"qualities": []}),
        ("measure", {"batch_size": 0}),
        ("measure", {"unseen": ["wepb"]}),
        ("measure", {"unseen": ["int8"]}),  # of the model, not of images
        ("summary", {"confidence": 1.0}),
        ("summary", {"confidence": 95}),
    ],
)
def test_what_only_shows_after_the_training_is_checked_before(section, values):
    """Hours would be gone when the measurement fails."""
    document = SETTINGS.model_dump()
    document[section] |= values
    with pytest.raises(ValidationError, match=rf"{section}\.{next(iter(values))}"):
        Settings.model_validate(document)


def test_an_ablation_is_its_method_but_for_what_it_says():
    """Method, training and chosen trial are those that it is of; a block's keys are changed one by one."""
    base, changed = plan(SETTINGS, "fct-r", 0), plan(SETTINGS, "fct-r-plane", 0)
    assert base.method.block.quality == "film"
    block = base.method.block.model_copy(update={"quality": "plane"})
    assert changed == base._replace(method=base.method.model_copy(update={"block": block}))


def test_an_ablation_of_no_method_is_refused():
    """The error names the key and the method that is not there."""
    changed = SETTINGS.ablations["fct-last"].model_copy(update={"of": "fcd"})
    settings = SETTINGS.model_copy(update={"ablations": {"fct-last": changed}})
    with pytest.raises(FctError, match=r"params\.yaml: ablations\.fct-last\.of: there is no method 'fcd'"):
        plan(settings, "fct-last", 0)


def test_an_unknown_data_set_is_refused_with_those_that_are_known():
    """The error names the file and the data sets."""
    with pytest.raises(FctError, match=r"there is no data set 'cifar'\. Known: cifar10, fashion-mnist, cifar10-narrow"):
        SETTINGS.on("cifar")


def test_every_method_has_as_many_trials():
    """No method is tuned harder than another, and all of the library's methods take part."""
    assert {len(entry.trials) for entry in SETTINGS.methods.values()} == {3}
    assert {plan(SETTINGS, name, 0).method.name for name in SETTINGS.methods} == set(METHODS)


@pytest.mark.parametrize("dataset", PHOTOGRAPHS)
def test_methods_of_photographs_are_tuned_alike(dataset):
    """Each has as many trials, no two the same, and all are asked for.

    All that see JPEG draw low qualities in one more, as the claim's variant does. To train on has nothing to tune.
    Methods of one view have what `augment` and CIFAR-10 chose.
    """
    methods = {name: entry for name, entry in SETTINGS.datasets[dataset].methods.items() if name not in FIXED}
    numbers = {name: len(entry.trials) for name, entry in methods.items()}
    assert numbers == dict.fromkeys(methods, 7) | {"standard": 6}
    low = [name for name, entry in methods.items() if any("quality_sampler" in trial for trial in entry.trials)]
    assert low == [name for name in methods if name != "standard"]
    assert all(entry.trials.count(trial) == 1 for entry in methods.values() for trial in entry.trials)
    asked = {(run.name, run.trial) for run in all_runs(SETTINGS) if run.dataset == dataset and run.name not in FIXED}
    assert asked == {(name, trial) for name, entry in methods.items() for trial in range(len(entry.trials))}


@pytest.mark.parametrize("dataset", OWN)
def test_methods_start_from_the_network_of_standard(dataset):
    """All methods alike, so that none has more training behind it than another; `standard` alone starts before."""
    starts = {name: plan(ON[dataset], name, 0).setup.train.start for name in ON[dataset].methods}
    assert starts == dict.fromkeys(starts, "baseline") | {"standard": "weights"}


def test_a_network_does_not_start_from_itself():
    """The error names the key to set."""
    methods = {"standard": ON["flowers"].methods["standard"].model_copy(update={"train": {"start": "baseline"}})}
    with pytest.raises(FctError, match=r"standard: it cannot start from its own network\. Set its train\.start"):
        plan(ON["flowers"].model_copy(update={"methods": methods}), "standard", 0)


def test_entries_of_a_data_set_stand_in_place_of_all_others():
    """An ablation of a method that the data set does not have would name nothing."""
    assert set(ON["flowers"].entries) == set(SETTINGS.datasets["flowers"].methods)
    assert ON["flowers"].measure.features.layers != SETTINGS.measure.features.layers


@pytest.mark.parametrize(("name", "folder"), [("cifar10", "flowers"), ("flowers", None)])
def test_only_a_folder_has_a_folder(name, folder):
    """A folder beside another source would be ignored, and a source without its folder has no images."""
    values = SETTINGS.datasets[name].model_dump()
    values["folder"] = folder and SETTINGS.datasets[folder].model_dump()["folder"]
    with pytest.raises(ValidationError, match="the source folder needs the key folder"):
        Dataset.model_validate(values)


@pytest.mark.parametrize(("dataset", "group"), [(None, "methods"), *((name, name) for name in PHOTOGRAPHS)])
def test_claims_are_about_methods_that_are_run(dataset, group):
    """A misspelt name would leave its row out of the results without a word."""
    named = {name for claim in ON[dataset].claims for name in (claim.method, claim.other)}
    assert named
    assert named <= {*SETTINGS.runs[group].names, *BEST}


def test_runs_are_of_all_that_there_is():
    """Every method and ablation of the file is run, each on a data set of the file, and none twice."""
    runs = list(all_runs(SETTINGS))
    assert {run.name for run in runs if run.dataset not in OWN} == set(SETTINGS.entries)
    assert all(run.name in SETTINGS.on(run.dataset).entries for run in runs)
    assert {run.dataset for run in runs} == set(SETTINGS.datasets)
    assert len(runs) == len(set(runs))


@pytest.mark.parametrize(
    ("recipe", "name"),
    [
        ("cifar10", "fct-r-own-estimate"),
        ("cifar10-accurate", "long-shot"),
        ("fct", "fct-own"),
        ("distill", "distill-cosine-own"),
        ("augment", "augment-2x"),
        ("jsd", "jsd"),
        ("pair", "pair-own"),
    ],
)
def test_recipes_named_after_runs_are_those_runs(recipe, name):
    """What a recipe sets is what the committed run was trained with."""
    setup, method = plan(SETTINGS, name, 0)
    trained = {"model": setup.model.model_dump(), "train": setup.train.model_dump(), "method": method.model_dump()}
    for section, values in recipes.read(recipe).params.items():
        assert trained[section] | values == trained[section]


@pytest.mark.parametrize("recipe", ["cifar10", "cifar10-accurate"])
def test_recipes_of_whole_runs_start_as_those_runs_did(recipe):
    """From random weights: params.yaml would start from the stage baseline's network."""
    assert recipes.read(recipe).params["train"]["start"] == "weights"


def test_no_key_is_of_both_sections():
    """A trial names keys without their section: none may be the method's and the training's."""
    assert not MethodParams.model_fields.keys() & TrainParams.model_fields.keys()


def test_an_impossible_value_is_named():
    """The error names file, entry, key and value."""
    with pytest.raises(FctError, match=r"params\.yaml: pair, trial 2: seed: .* \(it is -1\)"):
        plan(SETTINGS, "pair", -1, 2)


def test_a_trial_that_is_not_there_is_refused():
    """The error names the entry and what it has."""
    with pytest.raises(FctError, match=r"params\.yaml: pair has trials 0 to 2 \(not 3\)"):
        plan(SETTINGS, "pair", 0, 3)


def test_an_unknown_method_is_refused_with_those_that_are_known():
    """The error names the file and the methods."""
    with pytest.raises(FctError, match=r"there is no entry 'fcd'\. Known: standard, "):
        plan(SETTINGS, "fcd", 0)
