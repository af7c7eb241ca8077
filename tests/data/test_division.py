"""The division is stratified, seeded, disjoint and stable."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fct.core.errors import FctError
from fct.data.division import divide_indices, fingerprint, first_copies, split_sizes

FRACTIONS = {"val": 0.08, "gate": 0.08, "test": 0.1}


def fingerprints(count):
    return [b"image %d" % index for index in range(count)]


def division(labels, seed=0, names=None):
    labels = np.array(labels)
    return divide_indices(
        names or fingerprints(len(labels)),
        labels,
        [f"c{i}" for i in range(labels.max() + 1)],
        fractions=FRACTIONS,
        seed=seed,
    )


@given(
    st.integers(4, 3000),
    st.tuples(*[st.floats(0.001, 0.9)] * 3).filter(lambda parts: sum(parts) < 0.999),
)
def test_each_split_gets_at_least_one_and_all_are_used(images, fractions):
    """Any class of four or more images gives each split one or more, and every image goes somewhere."""
    counts = split_sizes(images, dict(zip(("val", "gate", "test"), fractions, strict=True)))
    assert min(counts.values()) >= 1
    assert sum(counts.values()) == images


@given(
    st.integers(4, 3000),
    st.tuples(*[st.floats(0.001, 0.9)] * 3).filter(lambda parts: sum(parts) < 0.999),
)
def test_one_more_image_moves_no_border_by_more_than_one(images, fractions):
    """The borders between the splits, in their order, stay or move by one image."""
    names = dict(zip(("val", "gate", "test"), fractions, strict=True))
    before, after = (np.cumsum([split_sizes(count, names)[name] for name in names]) for count in (images, images + 1))
    assert set(after - before) <= {0, 1}


def test_a_large_class_is_divided_by_the_fractions():
    """A thousand images give 80, 80 and 100, and train gets the rest."""
    assert split_sizes(1000, FRACTIONS) == {"val": 80, "gate": 80, "test": 100, "train": 740}


def test_the_division_is_disjoint_complete_and_stratified():
    """Each image is in one split, and each class has its share in each."""
    labels = np.repeat([0, 1, 2], [100, 50, 25])
    parts = division(labels)
    assert sorted(np.concatenate(list(parts.values()))) == list(range(175))
    assert [np.bincount(labels[parts["test"]]).tolist()] == [[10, 5, 3]]


def test_the_seed_decides():
    """The same seed gives the same division, and another seed another division."""
    labels = np.repeat([0, 1], 50)
    assert all((division(labels)[name] == part).all() for name, part in division(labels).items())
    assert division(labels)["test"].tolist() != division(labels, seed=1)["test"].tolist()


def test_the_order_of_files_does_not_matter():
    """Files in another order, as after a renaming, stay in their splits."""
    names, labels = fingerprints(60), np.repeat([0, 1], 30)
    order = np.random.default_rng(0).permutation(60)
    before = division(labels, names=names)
    after = division(labels[order], names=[names[i] for i in order])
    assert all(sorted(order[after[name]]) == before[name].tolist() for name in before)


def test_an_added_image_moves_at_most_one_image_across_each_border():
    """One more image moves at most one image of its class across each border, and no image of another class."""
    names, labels = fingerprints(200), np.repeat([0, 1], 100)
    before = division(labels, names=names)
    after = division([*labels, 0], names=[*names, b"new"])
    split_of = {int(i): name for name, part in before.items() for i in part}
    moved = [i for name, part in after.items() for i in part if i < 200 and split_of[int(i)] != name]
    assert len(moved) <= 3
    assert all(labels[i] == 0 for i in moved)


def test_a_class_that_is_too_small_is_named():
    """Fewer images than splits is an error with the class and its count."""
    with pytest.raises(FctError, match="'c1' has 3 images"):
        division([0] * 10 + [1] * 3)


def test_equal_pixels_of_another_shape_are_another_image():
    """The fingerprint depends on pixels and shape, but not on the memory layout of the array."""
    image = np.arange(24, dtype=np.uint8).reshape(4, 6, 1)
    assert fingerprint(image) != fingerprint(image.reshape(6, 4, 1))
    assert fingerprint(image[:, ::2]) == fingerprint(image[:, ::2].copy())


def test_only_first_copies_are_kept():
    """A repeated image is kept once. An image that is known already is dropped."""
    assert first_copies([b"a", b"b", b"a", b"c"], frozenset([b"c"])).tolist() == [0, 1]


@given(st.integers(4, 5000), st.tuples(*[st.floats(0.001, 0.3)] * 3))
def test_a_border_is_the_nearest_whole_number_of_images(images, fractions):
    """Each border is the rounded sum of the shares before it, unless a split or train would be empty."""
    counts = split_sizes(images, dict(zip(("val", "gate", "test"), fractions, strict=True)))
    before = 0
    for index, (name, share) in enumerate(zip(("val", "gate", "test"), np.cumsum(fractions), strict=True)):
        border = before + counts[name]
        assert abs(border - images * share) <= 0.5 + 1e-9 or border in (before + 1, images - 3 + index)
        before = border


@pytest.mark.parametrize(("images", "count"), [(24, 2), (25, 3), (26, 3), (34, 3), (35, 4), (36, 4), (44, 4), (46, 5)])
def test_fractions_of_an_image_are_rounded_and_not_cut_off(images, count):
    """A tenth of 26 and of 34 images is 3; a tenth of 36 is 4."""
    assert split_sizes(images, {"test": 0.1})["test"] == count


def test_the_largest_split_gives_way_where_rounding_took_all():
    """Three splits of four images leave one for train, and no split has less than one image."""
    assert split_sizes(4, {"val": 0.4, "gate": 0.2, "test": 0.3}) == {"val": 1, "gate": 1, "test": 1, "train": 1}
    assert split_sizes(6, {"val": 0.6, "gate": 0.2, "test": 0.19}) == {"val": 3, "gate": 1, "test": 1, "train": 1}


@settings(max_examples=50)
@given(
    st.lists(st.integers(4, 60), min_size=1, max_size=4),
    st.fixed_dictionaries({name: st.floats(0.01, 0.3) for name in ("val", "gate", "test")}),
    st.integers(0, 2**63 - 1),
    st.randoms(use_true_random=False),
)
def test_any_division_is_disjoint_stratified_and_repeatable(sizes, fractions, seed, order):
    """For any classes, fractions and seed, each image is in one split, each class has its share, and runs are equal."""
    labels = [label for label, size in enumerate(sizes) for _ in range(size)]
    order.shuffle(labels)
    labels, classes = np.array(labels), [f"c{label}" for label in range(len(sizes))]
    first, second = (
        divide_indices(fingerprints(len(labels)), labels, classes, fractions=fractions, seed=seed) for _ in range(2)
    )
    assert sorted(np.concatenate(list(first.values())).tolist()) == list(range(len(labels)))
    for label, size in enumerate(sizes):
        assert {name: int((labels[part] == label).sum()) for name, part in first.items()} == split_sizes(
            size, fractions
        )
    for name, part in first.items():
        np.testing.assert_array_equal(part, second[name])
        assert (np.diff(part) > 0).all()
