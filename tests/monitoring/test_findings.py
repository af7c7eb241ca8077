"""What is an alarm, and how findings are shown."""

from dataclasses import replace

import numpy as np
import pytest

from fct.monitoring.counts import read_counts
from fct.monitoring.findings import Limits, Reference, judge
from fct.monitoring.markdown import to_markdown
from fct.monitoring.picture import picture

REFERENCE = Reference(np.zeros(300, np.int64), np.arange(300) % 2, ["cat", "dog"], [20, 60], [10, 50, 90])
LIMITS = Limits(0.05, {"quality": None, "class": 0.3}, 0.95)


@pytest.fixture
def find(write_counts, tmp_path):
    """Judge images, pairs of a quality and a class."""

    def found(images, reference=REFERENCE, limits=LIMITS):
        write_counts(images)
        [counts] = read_counts(tmp_path / "counters").models.values()
        return judge(counts, reference, limits)

    return found


def mixed(quality, count):
    return [(quality, ("cat", "dog")[number % 2]) for number in range(count)]


def test_images_like_those_of_the_training_are_no_alarm(find):
    """Raw and compressed, of all classes."""
    assert find(mixed(0, 100) + mixed(20, 50) + mixed(60, 50)).alarms == []


def test_images_of_one_trained_quality_are_no_alarm(find):
    """Though they are far from the mixture of the training, which is shown."""
    findings = find(mixed(60, 200))
    assert findings.alarms == []
    assert findings.distances["quality"].low > 0.5


def test_images_below_the_training_are_an_alarm_with_a_proposal(find):
    """It names the share with its interval, the lowest trained quality, and what to add."""
    findings = find(mixed(15, 200))
    assert findings.proposals == [15]
    [alarm] = findings.alarms
    assert alarm == (
        "100.00% (98.17% to 100.00%) of the images have a JPEG quality below 20, the lowest trained. "
        "Add 15 to cache.qualities."
    )


def test_what_the_verdict_is_not_about_is_told(find):
    """Images below the qualities of the gate's sweep."""
    assert "; 200 are below 10, the lowest that the verdict is about" in find(mixed(6, 200)).alarms[0]


def test_few_images_below_the_training_are_no_alarm(find):
    """Eleven of 200 are more than a twentieth, but the lower bound is not."""
    assert find(mixed(15, 11) + mixed(60, 189)).alarms == []


def test_a_quality_that_params_yaml_has_by_now_is_not_proposed(find):
    """The next model will know it."""
    findings = find(mixed(15, 200), replace(REFERENCE, trained=[10, 20, 60]))
    assert findings.proposals == []
    assert "cache.qualities reaches down to 10 now: promote a model" in findings.alarms[0]


def test_another_mix_of_classes_is_an_alarm(find):
    """Where nearly all images are of one class; it names the key of the limit."""
    findings = find([(60, "cat")] * 200)
    assert "(watch.max_distance.class)" in findings.alarms[0]
    assert findings.proposals == []


def test_a_distance_that_may_be_below_its_limit_is_no_alarm(find):
    """The lower bound of its interval decides, not the measured value."""
    images = [(60, "cat")] * 26 + [(60, "dog")] * 14
    distance = find(images).distances["class"]
    limit = (distance.low + distance.value) / 2
    assert distance.low < limit < distance.value
    assert find(images, limits=Limits(0.05, {"quality": None, "class": limit}, 0.95)).alarms == []


def test_a_limit_may_be_none(find):
    """Then the distance is only shown."""
    assert find([(60, "cat")] * 200, limits=Limits(0.05, {"quality": None, "class": None}, 0.95)).alarms == []


def test_a_model_that_does_not_name_its_qualities_has_none_below(find):
    """Nothing is compared with an empty list."""
    findings = find(mixed(5, 200))
    counts = replace(findings.counts, qualities=())
    assert judge(counts, REFERENCE, LIMITS).outside.value == 0


def test_counts_of_any_number_of_images_are_judged(find):
    """Nothing in memory is as large as the number of images: a byte for each of these would be a petabyte."""
    counts = find([(15, "cat")] * 200).counts
    values = {
        aspect: {value: 10**15 // 200 * count for value, count in occurrences.items()}
        for aspect, occurrences in counts.values.items()
    }
    findings = judge(replace(counts, values=values), REFERENCE, LIMITS)
    assert findings.counts.images == 10**15
    assert findings.outside.low > 0.999
    assert findings.proposals == [15]


def test_the_page_has_alarms_tables_and_what_was_left_out(find):
    """Names of classes and files are no Markdown."""
    text = to_markdown(find(mixed(15, 200)), LIMITS, days=7, not_counted=["x`|[a](b).json: damaged"])
    assert text.startswith("# ATTENTION: 200 images in 7 days")
    assert "| below every trained quality | 100.0% | 98.2% to 100.0% | 5.0% |" in text
    assert "| `10 to 19` | 200 | 100.0% | 0.0% |" in text
    assert "- `x'¦[a](b).json: damaged`" in text


def test_the_picture_shows_many_classes(find):
    """A thousand classes share twenty places; a name with a dollar is no formula."""
    reference = replace(REFERENCE, labels=np.arange(1000), classes=[f"class $x_{number}^$" for number in range(1000)])
    findings = find(mixed(15, 200), reference)
    assert picture(findings.histograms).startswith(b"\x89PNG")
