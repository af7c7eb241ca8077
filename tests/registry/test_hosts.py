"""Two hosts change the champion at once, in every order of their requests: one champion, one history, one loser."""

import copy
import os
import subprocess
import sys
from pathlib import Path

import pytest

from fct.core.errors import TRY_AGAIN, OvertakenError
from fct.registry.events import ROLLED_BACK, SINCE, UNTIL, Event
from fct.registry.log import WRITING
from fct.registry.versions import Versions
from fct.tracking.server import Server, connect
from tests.registry.hosts import WHOLE, Host, Memory

pytestmark = pytest.mark.xdist_group("mlflow")
NAME = "toy"
MOVES = {  # who does what: the new champion, and what becomes previous
    "promotion": ("promoted", "3", "2"),
    "other promotion": ("promoted", "4", "2"),
    "rollback": ("rolled back", "1", None),
    "first": ("promoted", "1", None),
    "other first": ("promoted", "2", None),
}
PAIRS = [("promotion", "other promotion"), ("promotion", "rollback"), ("rollback", "promotion")]
ALL = [*PAIRS, ("first", "other first")]  # the last two meet a registry without a history


def at(client, name=NAME):
    return Versions(Server("", client, "0"), name)


def event_for(move, state):
    what, version, previous = MOVES[move]
    before = state.champion and state.champion.number
    facts = {"when": f"time of {move}", "who": "Ada", "why": "", "verdict": "PASS"}
    return Event(what=what, version=version, before=before, previous=previous, follows=state.last_event, **facts)


def fill(client, name=NAME, *, has_history=True):
    """Register four versions; with a history, 1 and then 2 became champion."""
    client.create_registered_model(name)
    for _ in range(4):
        client.create_model_version(name, "s3://models/one", tags={"fct.verdict": "PASS"})
    versions = at(client, name)
    for number, previous in (("1", None), ("2", "1")) if has_history else ():
        state = versions.state()
        facts = {"when": "before", "who": "Ada", "why": "", "verdict": "PASS", "follows": state.last_event}
        before = state.champion and state.champion.number
        versions.set_champion(Event(what="promoted", version=number, before=before, previous=previous, **facts))
    return client


@pytest.fixture(scope="module")
def filled():
    """Return a function that copies a registry in memory for a pair of moves."""
    registries = {has_history: fill(Memory(), has_history=has_history) for has_history in (True, False)}
    return lambda pair: copy.deepcopy(registries["first" not in pair])


class Race:
    """Two hosts that have decided on a move each, from the same state, and begin to make it."""

    def __init__(self, client, pair, name=NAME):
        self.versions = at(client, name)
        state = self.versions.state()
        self.length = len(self.versions.history())
        self.events = [event_for(move, state) for move in pair]
        self.hosts = [Host(client, self._mover(event, name)) for event in self.events]

    @staticmethod
    def _mover(event, name):
        return lambda client: at(client, name).set_champion(event)

    @property
    def told(self):
        """Whether each host was told that it lost; any other error fails the test."""
        errors = [host.error for host in self.hosts]
        assert all(isinstance(error, OvertakenError | None) for error in errors), errors
        return [error is not None for error in errors]

    def check_reader(self):
        """A reader never sees a champion that is not the history's: no hand has moved anything."""
        state, history = self.versions.state(), self.versions.history()
        if history:
            assert state.is_proven
            assert state.champion.number == history[-1].version
        assert len(history) in (self.length, self.length + 1)

    def check_end(self):
        """One champion, one history, and no trace of the move that lost."""
        client, name = self.versions.server.client, self.versions.name
        state, history = self.versions.state(), self.versions.history()
        assert len(history) == self.length + 1
        (winner,) = [event for event in self.events if event.id == history[-1].id]
        aliases = {alias: str(number) for alias, number in client.get_registered_model(name).aliases.items()}
        wanted = {"champion": winner.version, "previous": winner.previous}
        assert aliases == {alias: number for alias, number in wanted.items() if number}
        assert state.is_proven
        tags = {version.number: version.tags for version in self.versions._search()}
        assert [number for number in tags if SINCE in tags[number] and UNTIL not in tags[number]] == [winner.version]
        assert tags[winner.version][SINCE] == winner.when
        (loser,) = [event for event in self.events if event != winner]
        assert tags[loser.version].get(SINCE) in (None, "before")
        if winner.before:
            assert tags[winner.before][UNTIL] == winner.when
        rolled_back = [winner.before] if winner.what == "rolled back" else []
        assert [number for number in tags if ROLLED_BACK in tags[number]] == rolled_back
        return winner

    def check_told(self, winner):
        """The one whose event is not in the history was told, and no other."""
        assert self.told == [event is not winner for event in self.events]

    def check_nobody_writes(self):
        tags = self.versions.server.client.get_registered_model(self.versions.log.model).tags
        assert not [key for key in tags if key.startswith(WRITING)]


def every_stop(make):
    """Yield a race whose host A stands before its step i and then B before its step j, for all i and j.

    Both ends are there too: neither has begun, and both have ended.
    """
    a_ends = b_ends = False
    for i in range(WHOLE):
        for j in range(WHOLE):
            race = make()
            a_ends, b_ends = race.hosts[0].go(i), race.hosts[1].go(j)
            yield race
            if b_ends:
                break
        if a_ends:
            return


def every_late_step(make):
    """Yield a race whose host A stood before its step i while B did all, and has made j more steps since."""
    for i in range(WHOLE):
        for j in range(WHOLE):
            race = make()
            ended_before = race.hosts[0].go(i)
            race.hosts[1].go()
            ends = race.hosts[0].go(j)
            yield race
            if ends:
                break
        if ended_before:
            return


@pytest.mark.parametrize("pair", ALL, ids=" and ".join)
def test_of_two_hosts_one_wins_in_every_order(pair, filled):
    """A stops before any step, B before any step of its own; then A ends, then B. Readers never see a move by hand."""
    orders = 0
    for race in every_stop(lambda: Race(filled(pair), pair)):
        race.check_reader()
        race.hosts[0].go()
        race.check_reader()
        race.hosts[1].go()
        winner = race.check_end()
        race.check_told(winner)
        race.check_nobody_writes()
        orders += 1
    assert orders > 150


@pytest.mark.parametrize("pair", ALL, ids=" and ".join)
@pytest.mark.parametrize("stops", [every_stop, every_late_step])
def test_a_host_that_dies_at_any_step_leaves_one_champion(pair, stops, filled):
    """The next command ends the dead host's move, or the move never was; what B did and was told stays true."""
    for race in stops(lambda: Race(filled(pair), pair)):
        race.hosts[0].kill()
        race.check_reader()
        race.hosts[1].go()
        race.check_reader()
        race.versions.finish_interrupted()
        winner = race.check_end()
        assert race.told[1] == (race.events[1] is not winner)


@pytest.mark.parametrize("move", ["promotion", "rollback", "first"])
def test_a_reader_that_is_slow_never_sees_a_move_by_hand(move, filled):
    """A reader stops before any request, a promotion goes on to any step, and the reader reads on."""
    for i in range(WHOLE):
        for j in range(WHOLE):
            client = filled((move,))
            promotion, reader = Race(client, (move,)).hosts[0], Host(client, lambda own: at(own).state())
            reader_ends, promotion_ends = reader.go(i), promotion.go(j)
            reader.go()
            assert reader.error is None
            assert reader.result.is_proven or (move == "first" and reader.result.champion is None)
            promotion.go()
            if promotion_ends:
                break
        if reader_ends:
            return


@pytest.mark.parametrize("pair", PAIRS, ids=" and ".join)
def test_hosts_that_finish_for_a_dead_one_may_meet_too(pair, filled):
    """A dies at any step; two commands finish its move at once, one of them stopping before any of its own steps."""
    for i in range(WHOLE):
        for j in range(WHOLE):
            race = Race(filled(pair), pair)
            died_late = race.hosts[0].go(i)
            race.hosts[0].kill()
            finisher = Host(race.versions.server.client, lambda own: at(own).finish_interrupted())
            finisher_ends = finisher.go(j)
            race.versions.finish_interrupted()
            race.hosts[1].go()
            race.check_reader()
            finisher.go()
            assert finisher.error is None
            race.check_end()
            if finisher_ends:
                break
        if died_late:
            return


def test_a_move_by_hand_is_seen_once_a_dead_host_is_forgotten(filled):
    """The mark of a host that died is removed when it is old; then an alias that differs was moved by hand."""
    race = Race(filled(PAIRS[0]), PAIRS[0])
    client, host = race.versions.server.client, race.hosts[0]
    host.go_before("set_registered_model_alias")
    host.kill()
    race.versions.finish_interrupted()
    client.set_registered_model_alias(NAME, "champion", "4")
    assert race.versions.state().champion.number == "3"
    (key,) = race.versions.log.writers()
    client.set_registered_model_tag(race.versions.log.model, key, "2020-01-01T00:00:00+00:00")
    race.versions.finish_interrupted()
    client.set_registered_model_alias(NAME, "champion", "4")
    state = race.versions.state()
    assert (state.champion.number, state.is_proven, state.proven.number) == ("4", False, "3")


def test_the_loser_is_told_who_won(filled):
    """The message names both versions and what to do; the exit status says that another try may succeed."""
    race = Race(filled(PAIRS[0]), PAIRS[0])
    race.hosts[0].go_before("create_model_version")
    race.hosts[1].go()
    race.hosts[0].go()
    assert str(race.hosts[0].error) == (
        "toy: another host was faster: version 4 is champion, not 3. See `fct status`, then try again."
    )
    assert race.hosts[0].error.status == TRY_AGAIN


def test_a_version_that_someone_put_into_the_history_is_no_event(filled):
    """A version of the history's model without an event's tags changes nothing."""
    race = Race(filled(PAIRS[0]), PAIRS[0])
    race.versions.server.client.create_model_version(race.versions.log.model, "s3://models/other", tags={})
    race.hosts[0].go()
    assert race.told[0] is False
    assert [event.version for event in race.versions.history()] == ["1", "2", "3"]


def test_an_answer_that_is_lost_makes_no_second_event(filled):
    """An append that MLflow's client repeats, because the answer was lost, counts once and its host has won."""

    class Repeating(Memory):
        def create_model_version(self, name, source, tags):
            super().create_model_version(name, source, tags)
            return super().create_model_version(name, source, tags)

    client = filled(PAIRS[0])
    client.__class__ = Repeating
    race = Race(client, PAIRS[0])
    race.hosts[0].go()
    assert race.told[0] is False
    assert [event.version for event in race.versions.history()] == ["1", "2", "3"]


REQUESTS = ("set_registered_model_tag", "create_model_version", "set_registered_model_alias", "set_model_version_tag")


@pytest.mark.usefixtures("place")
@pytest.mark.parametrize(("pair", "request_name"), list(zip(ALL, REQUESTS, strict=True)))
def test_mlflow_gives_what_the_registry_in_memory_gives(pair, request_name, filled):
    """On MLflow, A stops before a request while B does all: the same requests and the same end as in memory."""
    compare(pair, filled, lambda host: host.go_before(request_name))


@pytest.mark.slow
@pytest.mark.usefixtures("place")
@pytest.mark.parametrize("pair", ALL, ids=" and ".join)
def test_mlflow_gives_it_at_every_step(pair, filled):
    """On MLflow, A stops before any of its steps while B does all: the same requests and the same end as in memory."""
    for i in range(WHOLE):
        if compare(pair, filled, lambda host, i=i: host.go(i), f"toy{i}"):
            return


def compare(pair, filled, stop, name=NAME):
    """Run two hosts on MLflow and in memory, A with a stop on its way, and hold both against each other."""
    real = fill(connect().client, name, has_history="first" not in pair)
    races = [Race(real, pair, name), Race(filled(pair), pair)]
    for race in races:
        ended = stop(race.hosts[0])
        race.hosts[1].go()
        race.hosts[0].go()
        race.check_told(race.check_end())
        race.check_nobody_writes()
    assert races[0].told == races[1].told
    assert [host.steps for host in races[0].hosts] == [host.steps for host in races[1].hosts]
    return ended


PROCESS = """
import sys
from contextlib import suppress
from fct.core.errors import OvertakenError
from fct.tracking.server import connect
from tests.registry.test_hosts import Event, at
versions = at(connect().client)
number, wins = sys.argv[1], 0
print("ready", flush=True)
input()
for _ in range(4):
    state = versions.state()
    facts = {"when": "now", "who": number, "why": "", "verdict": "PASS", "follows": state.last_event}
    before = state.champion.number
    with suppress(OvertakenError):
        versions.set_champion(Event(what="promoted", version=number, before=before, previous=before, **facts))
        wins += 1
print(wins)
"""


@pytest.mark.slow
@pytest.mark.usefixtures("place")
def test_two_processes_on_one_database_agree():
    """Two real processes promote as fast as they can: the history has exactly the moves that were not refused."""
    versions = at(fill(connect().client))
    command = [sys.executable, "-W", "ignore", "-c", PROCESS]
    here = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}  # where `tests` is
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "env": here}
    with subprocess.Popen([*command, "3"], **pipes) as one, subprocess.Popen([*command, "4"], **pipes) as other:
        for process in (one, other):
            assert process.stdout.readline() == "ready\n"
        for process in (one, other):
            process.stdin.write("\n")
            process.stdin.flush()
        wins = [int(process.stdout.readline()) for process in (one, other)]
    history = versions.history()
    assert [sum(event.who == who for event in history) for who in ("3", "4")] == wins
    assert [event.before for event in history] == [None, *(event.version for event in history[:-1])]
    assert versions.state().is_proven
    assert versions.state().champion.number == history[-1].version
