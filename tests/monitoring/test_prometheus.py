"""Prometheus reads the sums of all processes."""

import re
import socket
import subprocess
import sys
import time
from urllib.error import URLError
from urllib.request import ProxyHandler, build_opener

import pytest
from click.testing import CliRunner
from prometheus_client.parser import text_string_to_metric_families

from fct.cli import main


@pytest.fixture
def samples(tmp_path):
    """Return the metrics that `fct counters` prints, by name and labels."""

    def printed():
        result = CliRunner().invoke(main, ["counters", str(tmp_path / "counters")])
        assert result.exit_code == ("skipped" in result.stderr), result.output
        return {
            (sample.name, *sorted(sample.labels.values())): sample.value
            for family in text_string_to_metric_families(result.stdout)
            for sample in family.samples
        }

    return printed


def test_the_metrics_are_sums_over_the_processes_of_a_model(write_counts, samples):
    """Prometheus' own parser reads them."""
    write_counts([(15, "cat"), (0, "dog")], errors=["damaged or truncated: x"])
    write_counts([(15, "cat")])
    found = samples()
    assert found["fct_images_by_quality_total", "15", "abababababab"] == 2
    assert found["fct_images_by_class_total", "abababababab", "dog"] == 1
    assert found["fct_errors_total", "abababababab", "damaged or truncated"] == 1
    assert found["fct_damaged_counter_files",] == 0


def test_a_damaged_file_is_named_beside_the_metrics(write_counts, tmp_path):
    """Its name and reason are on standard error, so that standard output stays what Prometheus reads."""
    path = write_counts([(15, "cat")])
    path.write_text("")
    result = CliRunner().invoke(main, ["counters", str(tmp_path / "counters")])
    assert f"skipped {path}: " in result.stderr
    assert "skipped" not in result.stdout
    assert result.exit_code == 1


def test_damaged_files_are_counted(write_counts, samples):
    """So that an alert can tell of them."""
    write_counts([(15, "cat")]).write_text("{")
    assert samples()["fct_damaged_counter_files",] == 1


def test_a_missing_folder_is_an_error_in_one_line(tmp_path):
    """Without a traceback."""
    result = CliRunner().invoke(main, ["counters", str(tmp_path / "nowhere")])
    assert result.exit_code == 2
    assert re.match(r"error: .*nowhere: No such file or directory\.", result.output)


def test_the_server_answers_on_loopback_with_the_counts_of_now(write_counts, tmp_path):
    """Counts that are written while it runs are in the next answer."""
    write_counts([(15, "cat")])
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "fct", "counters", str(tmp_path / "counters"), "--port", str(port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert f"http://127.0.0.1:{port}/metrics" in process.stdout.readline()
            assert fetch(port).count('fct_images_by_quality_total{model="abababababab",quality="15"} 1.0') == 1
            write_counts([(15, "cat")])
            assert 'quality="15"} 2.0' in fetch(port)
        finally:
            process.kill()


def fetch(port):
    deadline = time.monotonic() + 30
    while True:
        try:
            with build_opener(ProxyHandler({})).open(f"http://127.0.0.1:{port}/metrics") as answer:
                return answer.read().decode()
        except URLError:
            assert time.monotonic() < deadline
            time.sleep(0.1)


def test_a_folder_without_counts_is_told(tmp_path):
    """It may be the wrong one, or no image was classified yet."""
    result = CliRunner().invoke(main, ["counters", str(tmp_path)])
    assert f"{tmp_path} has no counts yet. Give the folder that FCT_COUNTERS names" in result.stderr
    assert result.exit_code == 0


def test_a_folder_of_other_files_is_an_error(tmp_path):
    """Sums of zero would look like a model that nobody asked."""
    (tmp_path / "image.jpg").write_bytes(b"")
    result = CliRunner().invoke(main, ["counters", str(tmp_path)])
    assert result.exit_code == 2
    assert f"{tmp_path} has other files, but no counts. Give the folder that FCT_COUNTERS names" in result.stderr
    assert not result.stdout


def test_a_file_in_place_of_the_folder_is_an_error(tmp_path):
    """Its name and what is needed are one line."""
    (tmp_path / "counts.json").write_text("{}")
    result = CliRunner().invoke(main, ["counters", str(tmp_path / "counts.json")])
    assert result.exit_code == 2
    assert f"{tmp_path}/counts.json is a file, not a folder. Give the folder that FCT_COUNTERS names" in result.stderr


def test_a_server_starts_before_there_are_counts(tmp_path, monkeypatch):
    """It says so, and serves, whatever else is in the folder."""
    (tmp_path / "notes.txt").write_text("")
    served = []
    monkeypatch.setattr("fct.monitoring.prometheus.serve", lambda *where: served.append(where))
    result = CliRunner().invoke(main, ["counters", str(tmp_path), "--port", "9464"])
    assert "has no counts yet" in result.stderr
    assert served == [(tmp_path, 9464)]
