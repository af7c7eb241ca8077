"""How much JPEG disturbs a network is measured and said before a more robust one is trained."""

import pytest

from fct.baseline.impact import Impact, describe_impact, measure_impact
from fct.train.assemble import make_network, open_data


def impact(raw=0.8, worst=0.7):
    return Impact(500, 0.3, raw, {10: worst, 90: raw}, {10: 0.15, 90: 0.01})


def test_the_cost_is_a_sentence_with_numbers():
    """Size, quality, accuracies, changed answers and the number of images."""
    assert describe_impact(impact(), 96) == (
        "At 96 pixels, JPEG at quality 10 costs a network that never saw it 10.0 points of its accuracy (80.0% to "
        "70.0%) and changes 15.0% of its answers, on 500 validation images."
    )


@pytest.mark.parametrize(
    ("raw", "worst", "advice"),
    [
        (0.8, 0.795, "Robustness could gain little here: choose a larger data.folder.pixels"),
        (0.8, 0.78, ""),
        (0.34, 0.33, "learnt almost nothing: always naming the most frequent class is right for 30.0%"),
    ],
)
def test_what_makes_the_training_pointless_is_said(raw, worst, advice):
    """JPEG that hardly disturbs, and a network that guesses; else nothing is added."""
    sentences = describe_impact(impact(raw, worst), 96)
    assert advice in sentences
    assert sentences.endswith("images.") == (not advice)


def test_it_is_measured_on_validation_images(toy):
    """Accuracy and changed answers are those of the network's own answers, for each quality."""
    setup, method = toy.setup(), toy.method(name="standard")
    data, meta = open_data(setup)
    network, _ = make_network(setup, method, data.train, meta)
    found = measure_impact(network.eval(), data.val, data.val_views, precision="fp32")
    assert found.images == len(data.val)
    assert list(found.compressed) == list(found.changed) == [20, 60]
    for accuracy in found.compressed.values():
        assert (accuracy * found.images) == pytest.approx(round(accuracy * found.images))
    assert found.as_json() == {
        "raw": round(found.raw, 5), **{f"q{quality}": round(value, 5) for quality, value in found.compressed.items()}
    }  # fmt: skip


def test_uncompressed_views_change_no_answer(toy):
    """Views that are the raw images themselves cost nothing."""
    setup, method = toy.setup(), toy.method(name="standard")
    data, meta = open_data(setup)
    network, _ = make_network(setup, method, data.train, meta)
    found = measure_impact(network.eval(), data.val, {50: data.val.images}, precision="fp32")
    assert (found.changed[50], found.compressed[50]) == (0, found.raw)
