"""Workers share the trials of one study exactly, though they, their database or their hosts die."""

import os
import signal
import time

import pytest
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import TrialState

from fct.core.errors import FctError
from fct.search.attributes import ATTEMPTS, BASELINE, WORKER
from fct.search.storage import BEAT, GRACE, GaveUpError
from fct.search.workers import MOST_ATTEMPTS, Plan, _take_turn, release, tell, work
from tests.search.outage import Line
from tests.search.stubs import CONTEXT, FIRST, TIMES, Crew, Times, check, open_stub, run_stub, run_worker

LONGEST = 1500  # seconds of a slow test, on a busy machine


@pytest.fixture
def stub(database):  # noqa: ARG001  # in the environment
    """Open an empty study; return it with its storage."""
    study, storage = open_stub()
    yield study, storage
    storage.engine.dispose()


@pytest.fixture
def crew(database, stub):  # noqa: ARG001  # its tables
    crews = []

    def start(size, trials, times=TIMES):
        crews.append(Crew(database, size, trials, times))
        return crews[-1]

    yield start
    for one in crews:
        one.end()


def plan(trials):
    return Plan(trials, 0, FIRST, 0.05)


def run_all(stub, trials):
    study, storage = stub
    work(study, storage, plan(trials), lambda trial: run_stub(study, storage, trial, 0))


def test_one_worker_runs_the_first_trial_and_then_all_others(stub):
    """A second worker finds nothing to do."""
    run_all(stub, 6)
    assert check(stub[0], 6) == 0
    assert BASELINE in stub[0].trials[0].user_attrs
    run_all(stub, 6)
    assert len(stub[0].trials) == 6


def test_a_trial_that_another_worker_runs_is_counted_and_never_reaped(stub):
    """Of two trials, one runs elsewhere with signs of life: there is none left to ask for."""
    study, storage = stub
    run_all(stub, 1)
    other = _take_turn(study, storage, plan(2)).trial
    turn = _take_turn(study, storage, plan(2))
    assert (turn.trial, turn.is_finished, turn.reaped) == (None, False, [])
    assert storage.get_trial(other._trial_id).state is TrialState.RUNNING


def test_others_wait_for_the_first_trial(stub):
    """Its accuracies decide about those of others."""
    study, storage = stub
    first = _take_turn(study, storage, plan(9)).trial
    assert _take_turn(study, storage, plan(9)).trial is None
    run_stub(study, storage, first, 0)
    assert _take_turn(study, storage, plan(9)).trial is not None


def test_a_trial_whose_worker_died_in_its_turn_is_reaped_at_once(stub):
    """It has no worker's name, because the name is written last."""
    study, storage = stub
    run_all(stub, 1)
    study.ask()
    turn = _take_turn(study, storage, plan(2))
    assert [trial.number for trial in turn.reaped] == [1]
    assert turn.trial.number == 2


def test_a_silent_worker_loses_its_trial_and_its_answer_is_refused(stub, monkeypatch):
    """Its values are run again by another worker. The late answer changes nothing."""
    study, storage = stub
    run_all(stub, 1)
    late = _take_turn(study, storage, plan(2)).trial
    late.suggest_float("x", 0.0, 1.0)
    monkeypatch.setattr(storage, "silent_trials", lambda _study: {late._trial_id})
    turn = _take_turn(study, storage, plan(2))
    assert [trial.number for trial in turn.reaped] == [1]
    with pytest.raises(UpdateFinishedTrialError):
        tell(study, storage, late, 3.0)
    run_stub(study, storage, turn.trial, 0)
    assert turn.trial.params["x"] == late.params["x"]
    assert check(study, 2) == 1


def test_a_refused_answer_is_a_line_and_the_worker_goes_on(stub, capsys):
    """The trial is queued again and finished by the same worker."""
    study, storage = stub

    def run(trial):
        if trial.number == 1:
            trial.suggest_float("x", 0.0, 1.0)
            release(study, storage, storage.get_trial(trial._trial_id))  # as another worker does
        run_stub(study, storage, trial, 0)

    work(study, storage, plan(3), run)
    assert check(study, 3) == 1
    assert "trial number 1 was given to another worker" in capsys.readouterr().out


def test_a_worker_that_fails_leaves_its_trial_to_others(stub):
    """The error ends the worker. The values are queued again."""
    study, storage = stub
    run_all(stub, 1)

    def run(trial):
        trial.suggest_float("x", 0.0, 1.0)
        raise FctError("no GPU here")

    with pytest.raises(FctError, match="no GPU here"):
        work(study, storage, plan(2), run)
    assert [trial.state.name for trial in study.trials] == ["COMPLETE", "FAIL", "WAITING"]
    run_all(stub, 2)
    assert check(study, 2) == 1


def test_values_that_end_every_worker_are_given_up(stub):
    """After the third worker another suggestion takes their place."""
    study, storage = stub
    run_all(stub, 1)
    for attempt in range(MOST_ATTEMPTS):
        trial = _take_turn(study, storage, plan(2)).trial
        assert trial.user_attrs.get(ATTEMPTS, 0) == attempt
        trial.suggest_float("x", 0.0, 1.0)
        release(study, storage, storage.get_trial(trial._trial_id))
    assert ATTEMPTS not in _take_turn(study, storage, plan(2)).trial.user_attrs


def test_a_first_trial_that_ends_every_worker_is_an_error(stub):
    """The message says what to look for."""
    study, storage = stub
    for _ in range(MOST_ATTEMPTS):
        trial = _take_turn(study, storage, plan(2)).trial
        release(study, storage, storage.get_trial(trial._trial_id))
    with pytest.raises(FctError, match="ended 3 times before it had a result"):
        _take_turn(study, storage, plan(2))


def test_each_trial_has_the_name_of_its_worker(stub):
    """Host and pid, for the dashboard."""
    run_all(stub, 2)
    assert all(trial.user_attrs[WORKER].endswith(f":{os.getpid()}") for trial in stub[0].trials)


def test_a_restarted_database_is_waited_for(stub, postgres):
    """Operations of Optuna go on after a restart, and no trial is reaped soon after it."""
    study, storage = stub
    run_all(stub, 1)
    trial = _take_turn(study, storage, plan(2)).trial
    postgres.restart()
    run_stub(study, storage, trial, 0)
    assert storage.silent_trials(study._study_id) == set()
    assert check(study, 2) == 0


def test_a_database_that_stays_away_ends_the_worker_with_its_address(stub, postgres):
    """After the patience, without the password."""
    _, storage = stub
    storage.patience = 0.3
    postgres.stop()
    try:
        with pytest.raises(GaveUpError, match=r"FCT_DATABASE_URL=postgresql://test_\d+@127"):
            run_all(stub, 1)
    finally:
        postgres.start()


def test_many_workers_that_are_killed_run_each_trial_once(crew, stub):
    """Three workers, 30 trials, 5 kills."""
    _kill_at_random(crew(3, 30), stub, trials=30, kills=5)


@pytest.mark.slow
@pytest.mark.timeout(LONGEST)
def test_a_night_of_kills(crew, stub):
    """Eight workers, 200 trials, 50 kills."""
    team = crew(8, 200, Times(trial=2.0, grace=10))
    _kill_at_random(team, stub, trials=200, kills=50)
    assert team.kills == 50


def _kill_at_random(team, stub, *, trials, kills):
    team.kill_evenly(kills)
    statuses = team.join(LONGEST)
    assert set(statuses) == {0}, statuses
    failed = check(stub[0], trials)
    print(f"{team.kills} kills, {failed} trials run again")


@pytest.mark.slow
@pytest.mark.timeout(LONGEST)
def test_workers_outlive_a_restart_of_the_database(crew, stub, postgres):
    """None ends, and none of their trials fails: the same processes finish the search."""
    team = crew(4, 40, Times(trial=1.0, grace=20))  # a busy machine may be slow with signs of life
    pids = [worker.pid for worker in team.workers]
    while len(stub[0].get_trials(deepcopy=False, states=(TrialState.RUNNING,))) < 3:  # most have begun
        time.sleep(0.1)
    for _ in range(3):
        time.sleep(3)
        postgres.restart()
    postgres.kill()
    time.sleep(25)  # longer than the grace
    postgres.start()
    assert set(team.join(LONGEST)) == {0}
    assert [worker.pid for worker in team.workers] == pids
    check(stub[0], 40)
    failed = [trial for trial in stub[0].trials if trial.state is TrialState.FAIL]
    assert not any("curve" in trial.user_attrs for trial in failed)  # only those whose turn was cut off, before a start


@pytest.mark.slow
@pytest.mark.timeout(LONGEST)
def test_a_worker_that_sleeps_too_long_is_refused(crew, stub):
    """It is stopped with a trial, wakes up after another worker ran that trial, and ends in peace."""
    team = crew(2, 12, Times(trial=2.0))
    sleeper = team.workers[0].pid
    while not _has_trial(stub[0], sleeper):
        time.sleep(0.05)
    os.kill(sleeper, signal.SIGSTOP)
    team.workers[1].join(LONGEST)
    os.kill(sleeper, signal.SIGCONT)
    assert team.join(LONGEST) == [0, 0]
    assert check(stub[0], 12) >= 1


@pytest.mark.slow
@pytest.mark.timeout(LONGEST)
@pytest.mark.parametrize("drops", [False, True], ids=["hangs", "drops"])
def test_a_worker_that_is_cut_off_for_a_minute_is_refused_quietly(crew, stub, database, tmp_path, drops):
    """With the real intervals: another worker runs the trial, the late answer is a line, and the worker goes on."""
    times = Times(trial=8.0, least=2.0, beat=BEAT, grace=GRACE)
    line, log = Line(database), tmp_path / "log"
    cut_off = CONTEXT.Process(target=run_worker, args=(line.url, 6, times, log))
    try:
        cut_off.start()
        while not (mine := _trial_of(stub[0], cut_off.pid)):
            time.sleep(0.05)
        line.cut(drops=drops)
        (other,) = crew(1, 6, times).workers
        time.sleep(60)
        assert stub[1].get_trial(mine).state is TrialState.FAIL  # given to the other one
        line.mend()
        cut_off.join(LONGEST)
        other.join(LONGEST)
        assert (cut_off.exitcode, other.exitcode) == (0, 0)
    finally:
        cut_off.kill()
        line.close()
    assert check(stub[0], 6) == 1
    number = stub[1].get_trial(mine).number
    assert log.read_text() == (
        f"trial number {number} was given to another worker, as this one was silent: not counted\n"
    )


def _has_trial(study, pid):
    return _trial_of(study, pid) is not None


def _trial_of(study, pid):
    """Return the id of the trial that a worker runs, once it has values."""
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        if trial.user_attrs.get(WORKER, "").endswith(f":{pid}") and "curve" in trial.user_attrs:
            return trial._trial_id
    return None
