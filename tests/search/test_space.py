"""The search space is made of params.yaml and the network."""

import pytest

from fct.core.errors import FctError
from fct.core.params import check
from fct.search.params import SearchParams
from fct.search.space import make_space

META = {"classes": ["red", "green", "blue"], "channels": 3, "size": 16, "digest": ""}
PARAMS = {
    "trials": 4, "images": 60, "epochs": 2, "max_raw_drop": 0.05, "min_gain": 0.01, "seed": 0, "pruner": "none",
    "weight": {"low": 0.1, "high": 2.0}, "distances": ["mse"], "targets": ["raw"],
    "layers": None, "block_layers": None,
}  # fmt: skip


def space(toy, method=None, **changed):
    setup = toy.setup()
    params = SearchParams.model_validate(PARAMS | changed)
    return make_space(setup.model, setup.train, method or toy.method(), params, META)


def test_by_default_it_is_stem_stages_and_head(toy):
    """Of blocks it is stem and stages, as no block fits behind the head."""
    own = space(toy)
    assert own.layers == ["stem", "stage1", "stage2", "stage3", "head"]
    assert own.block_layers == ["stem", "stage1", "stage2", "stage3"]


def test_values_of_the_method_are_among_the_candidates(toy):
    """So that a trial can be the method of params.yaml."""
    own = space(toy, toy.method(layers=["stage1.0.conv1"]), layers=["stage3"], block_layers=["stage2"])
    assert own.layers == ["stage3", "stage1.0.conv1"]
    assert own.block_layers == ["stage2", "stage1", "stage3"]
    assert (own.distances, own.targets) == (["centred-mse", "mse"], ["raw", "raw-detached"])


def test_without_blocks_their_places_are_not_searched(toy):
    """`fct` has none, whatever `search.block_layers` says."""
    assert space(toy, toy.method(name="fct")).block_layers == []


def test_an_empty_list_leaves_the_layers_of_the_method(toy):
    """They are not searched."""
    own = space(toy, layers=[], block_layers=[])
    assert (own.layers, own.block_layers) == ([], [])


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"layers": ["stage9"]}, r"search\.layers: no layer is called 'stage9'. Nearest: stage"),
        ({"block_layers": ["stage9"]}, r"search\.block_layers: no layer is called 'stage9'"),
        ({"block_layers": ["head"]}, r"search\.block_layers: 'head' returns a feature of shape \[1, 3\]"),
    ],
)
def test_names_that_are_no_layers_are_refused(toy, changed, message):
    """The error names key and value."""
    with pytest.raises(FctError, match=message):
        space(toy, **changed)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"layers": ["head", "head"]}, r"search: layers.*a layer is listed twice"),
        ({"layers": "all"}, r"search: layers: .* \(it is 'all'\)"),
        ({"block_layers": [""]}, r"search: block_layers\.0: a name has 1 to 256 characters"),
        ({"pruner": "hyperbrand"}, r"search: pruner: 'hyperbrand' is not possible. Did you mean 'hyperband'"),
    ],
)
def test_impossible_values_are_refused(changed, message):
    """The error names the key."""
    with pytest.raises(FctError, match=message):
        check(SearchParams, PARAMS | changed, "search")


def test_a_space_is_described_in_words(toy):
    """What has one value alone is not searched."""
    words = space(toy, toy.method(name="fct", distance="mse", target="raw")).describe()
    assert words == "the weight and 5 layers"
