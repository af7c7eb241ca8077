"""Two trainings of a working copy never run at the same time."""

import subprocess
import sys

from fct.train.lock import training_lock

SECOND = "from fct.train.lock import training_lock\nwith training_lock():\n    print('trains', flush=True)"


def test_a_second_training_waits_with_a_message(tmp_path, monkeypatch):
    """A process that wants to train prints that it waits, and starts when the other training has ended."""
    monkeypatch.chdir(tmp_path)
    with training_lock():
        second = subprocess.Popen([sys.executable, "-u", "-c", SECOND], stdout=subprocess.PIPE, text=True)
        assert second.stdout.readline() == "waiting for another training of this project to end\n"
        assert second.poll() is None
    assert second.communicate(timeout=60)[0] == "trains\n"
    assert second.returncode == 0
