"""What starts `reproduce`, and what is said of models that are not counted."""

import pytest

from fct.core.errors import FctError
from fct.monitoring.counts import Counts, Reading
from fct.serving.counters import ASPECTS


def counts(model, images):
    values = {aspect: {} for aspect in ASPECTS} | {"class": {"cat": images}}
    return Counts(model * 32, (10,), ("cat",), values, 1)


READING = Reading({"ab" * 32: counts("ab", 5), "ac" * 32: counts("ac", 7)}, [])


def test_a_model_is_found_by_the_first_digits_of_its_digest():
    """As the verdict and the registry show them."""
    from pipelines.watch import _counts_of

    assert _counts_of("ab", READING).images == 5
    assert _counts_of("ff", READING) is None


def test_digits_that_fit_several_models_are_refused():
    """Counts of different models are never mixed."""
    from pipelines.watch import _counts_of

    with pytest.raises(FctError, match="the beginning of several: abababababab, acacacacacac"):
        _counts_of("a", READING)


def test_models_that_are_not_counted_are_named():
    """After a promotion, the images of the former champion are not lost without a word."""
    from pipelines.watch import _describe_others

    assert _describe_others("ab" * 32, READING) == "images of other models: 7 by acacacacacac"
    assert _describe_others("a", READING) == ""


@pytest.mark.parametrize("tags", [{}, {"fct.sha256": ""}])
def test_a_champion_that_was_registered_by_hand_has_no_counts(place, tags):
    """It has no digest by which its counts are found; the error says which version it is, and what to do."""
    from fct.tracking.server import connect
    from pipelines.watch import _champion

    (place / "params.yaml").write_text("registry: {name: clothes}\n")
    client = connect().client
    client.create_registered_model("clothes")
    client.create_model_version("clothes", str(place), tags=tags)
    client.set_registered_model_alias("clothes", "champion", "1")
    with pytest.raises(
        FctError, match=r"clothes: version 1, the champion, has no tag fct\.sha256.*`fct promote`.*`model`"
    ):
        _champion()


def test_the_automation_starts_reproduce_with_what_the_event_proposes():
    """It matches events of its own registered model alone, and only those that ask for a run."""
    from uuid import uuid4

    from pipelines.watch import trigger

    watching = trigger("clothes")
    watching.set_deployment_id(uuid4())
    automation = watching.as_automation()
    assert automation.trigger.match.root == {
        "prefect.resource.id": "fct.watch.clothes",
        "fct.reproduce": "true",
    }
    [action] = automation.actions
    assert "event.payload.overrides" in str(action.parameters)
    assert "promote" not in action.parameters
