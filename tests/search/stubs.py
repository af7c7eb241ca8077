"""Workers with stub trials in processes of their own, for tests that kill them."""

import os
import random
import signal
import time
from contextlib import redirect_stderr, redirect_stdout, suppress
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import optuna

from fct.core.database import connect, database_url
from fct.search.attributes import BASELINE
from fct.search.storage import PatientStorage
from fct.search.workers import Plan, tell, work

CONTEXT = get_context("forkserver")
CONTEXT.set_forkserver_preload(["tests.search.stubs"])
FIRST = {"x": 0.5, "a": True, "b": False}
NAME = "stub"


class Times(NamedTuple):
    """Seconds."""

    trial: float = 0.02  # at most
    least: float = 0.0  # of a trial
    beat: int = 1
    grace: int = 3
    poll: float = 0.1


TIMES = Times()


def open_stub(times=TIMES):
    """Open the study of the stubs, without making tables; return it and its storage."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage = PatientStorage(database_url(), beat=times.beat, grace=times.grace)
    pruner = optuna.pruners.NopPruner()
    return (
        optuna.create_study(study_name=NAME, storage=storage, load_if_exists=True, direction="maximize", pruner=pruner),
        storage,
    )


def run_stub(study, storage, trial, seconds, least=0.0):
    """Suggest values and tell their sum."""
    x = trial.suggest_float("x", 0.0, 1.0)
    a, b = (trial.suggest_categorical(name, [True, False]) for name in "ab")
    trial.set_user_attr("curve", [x])
    time.sleep(random.uniform(least, seconds))
    trial.report(x, 1)
    tell(study, storage, trial, x + a + b)


def run_worker(url, trials, times=TIMES, log=os.devnull):
    """Be a worker, whose output goes to a file."""
    os.environ["FCT_DATABASE_URL"] = url
    with Path(log).open("w") as output, redirect_stdout(output), redirect_stderr(output):
        study, storage = open_stub(times)

        def run(trial):
            run_stub(study, storage, trial, times.trial, times.least)

        work(study, storage, Plan(trials, 0, FIRST, times.poll), run)


class Crew:
    """Some workers; each that dies by a signal is started again."""

    def __init__(self, url, size, trials, times=TIMES):
        self.arguments = (url, trials, times)
        self.workers = [self._start() for _ in range(size)]
        self.kills = 0

    def _start(self):
        worker = CONTEXT.Process(target=run_worker, args=self.arguments)
        worker.start()
        return worker

    def kill_one(self):
        """Kill a random worker that runs, and start another."""
        places = [place for place, worker in enumerate(self.workers) if worker.is_alive()]
        if not places:
            return
        place = random.choice(places)
        os.kill(self.workers[place].pid, signal.SIGKILL)
        self.workers[place].join()
        self.workers[place] = self._start()
        self.kills += 1

    def kill_evenly(self, kills):
        """Kill workers all through the search, at random moments, until `kills` are killed or all have ended."""
        url, trials, _ = self.arguments
        with connect(url) as connection:
            while self.kills < kills and any(worker.is_alive() for worker in self.workers):
                query = "SELECT count(*) FROM trials WHERE state = 'COMPLETE'"
                if connection.execute(query).fetchone()[0] >= self.kills * trials * 0.9 / kills:
                    time.sleep(random.uniform(0, 0.4))
                    self.kill_one()
                time.sleep(0.05)

    def join(self, timeout):
        """Wait until all have ended; return their exit statuses."""
        deadline = time.monotonic() + timeout
        for worker in self.workers:
            worker.join(max(0, deadline - time.monotonic()))
        return [worker.exitcode for worker in self.workers]

    def end(self):
        """Kill what is left."""
        for worker in self.workers:
            with suppress(ProcessLookupError):
                worker.kill()
                worker.join()


def check(study, trials):
    """Check that a finished study has exactly its trials, once each, and none that runs or waits."""
    states = [trial.state.name for trial in study.trials]
    assert states.count("COMPLETE") == trials
    assert set(states) <= {"COMPLETE", "FAIL"}
    finished = [trial for trial in study.trials if trial.state.name == "COMPLETE"]
    assert len({tuple(trial.params.values()) for trial in finished}) == trials
    assert all(set(trial.params) == set(FIRST) for trial in finished)
    (first,) = [trial for trial in finished if BASELINE in trial.user_attrs]
    assert first.params == FIRST
    return states.count("FAIL")
