"""The deployments: what is served, how runs queue, what is tried again."""

import re
import time
from pathlib import Path
from threading import Event, Thread

import pytest
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.exceptions import ObjectNotFound
from prefect.states import Running
from ruamel.yaml import YAML

from fct.core.locks import locked
from fct.core.paths import RUNNING_LOCK
from pipelines import serve, stage
from pipelines.flows import reproduce
from pipelines.process import Commands, Ended

pytestmark = [pytest.mark.e2e, pytest.mark.flows, pytest.mark.timeout(900), pytest.mark.xdist_group("prefect")]


@pytest.fixture
def deployments(finished, stand):
    stand(finished)
    return {f"{each.flow_name}/{each.name}": each for each in serve.deployments()}


def test_every_flow_is_deployed_and_explains_itself(deployments):
    """Names, a description, and a sentence for each parameter of the form."""
    assert set(deployments) >= {
        *(
            "reproduce/nightly",
            "search/more-trials",
            "promote/promote-by-hand",
            "rollback/rollback-by-hand",
            "intake/inbox",
            "watch/served-images",
        ),
    }
    for each in deployments.values():
        assert len(each.description) > 40
        for parameter in each._parameter_openapi_schema.properties.values():
            assert re.search(r"\w+\.$", parameter["description"]), parameter


def test_no_two_deployments_share_a_name(deployments):
    """A list that shows names alone says which is which."""
    names = [each.name for each in deployments.values()]
    assert len(set(names)) == len(names)


@pytest.mark.usefixtures("deployments")
def test_a_deployment_under_its_former_name_is_deleted():
    """Nothing would run what it starts."""
    from pipelines.flows import promote

    promote.to_deployment("by-hand").apply()
    with get_client(sync_client=True) as client:
        client.read_deployment_by_name("promote/by-hand")
        serve.delete_renamed()
        with pytest.raises(ObjectNotFound):
            client.read_deployment_by_name("promote/by-hand")


def test_the_nightly_run_has_its_schedule_and_promotes(deployments):
    """The cron of params.yaml starts a run that promotes; one that a person starts does not, unless told."""
    told = YAML(typ="safe").load(Path("params.yaml"))["pipeline"]
    [schedule] = deployments["reproduce/nightly"].schedules
    assert (schedule.schedule.cron, schedule.schedule.timezone) == (told["schedule"], told["timezone"])
    assert schedule.parameters == {"promote": True}
    assert deployments["reproduce/nightly"].parameters == {}
    assert not deployments["intake/inbox"].schedules  # null in params.yaml


def test_overlapping_runs_queue(deployments):
    """Of each flow one run is let in, and none is dropped."""
    for each in deployments.values():
        assert each.concurrency_limit == 1
        assert each.concurrency_options.collision_strategy.value == "ENQUEUE"


def test_a_run_whose_process_was_killed_does_not_block_the_queue(deployments, prefect):  # noqa: ARG001
    """What says RUNNING where nothing runs is closed before the next runs are let in."""
    with get_client(sync_client=True) as client:
        run = client.create_flow_run(reproduce, state=Running())
        serve.mark_dead_runs_crashed()
        assert client.read_flow_run(run.id).state.type.value == "CRASHED"


def test_a_run_waits_for_another_one_of_the_project(copy, stand):
    """Runs of different flows share files: one works, the other says that it waits."""
    stand(copy)
    begun = Event()

    def work():
        with locked(RUNNING_LOCK):
            begun.set()
            time.sleep(3)

    other = Thread(target=work)
    other.start()
    begun.wait()
    state = reproduce(targets=["data"], return_state=True)
    assert not other.is_alive()
    assert state.is_completed()


class Scripted(Commands):
    """Commands that end as told, one after the other."""

    def __init__(self, *ends):
        super().__init__({}, 1)
        self.ends = list(ends)

    def run(self, command, say):
        say(" ".join(command))
        return self.ends.pop(0)


@pytest.mark.parametrize(
    ("ends", "expected", "left"),
    [
        ([Ended(255, ("ERROR: 'x' is busy, it is being blocked by:",)), Ended(0, ())], "Completed", 0),
        ([Ended(255, ("ERROR: failed to run: x, exited with 1",)), Ended(0, ())], "Failed", 1),
    ],
)
def test_only_a_temporary_failure_is_tried_again(copy, stand, monkeypatch, ends, expected, left):
    """A lost race for a lock is run again by itself; a training that diverged is not."""
    stand(copy)
    monkeypatch.setattr(stage, "DELAYS", [0.1])
    commands = Scripted(*ends)

    copy.append("fct/gate/__main__.py", "\n")  # stale
    states = []

    @flow
    def alone():
        future = stage.stage_task("gate", commands).submit(is_cached=False)
        future.wait()
        states.append(future.state.name)

    alone()
    assert (states, len(commands.ends)) == ([expected], left)
