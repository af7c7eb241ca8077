"""A served model counts what it is asked, and nothing that tells of an upload."""

import json
import os
import subprocess
import sys
import textwrap
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fct.core.files import sha256
from fct.serving import counters as module
from fct.serving import pyfunc as served
from fct.serving.counters import ASPECTS, VARIABLE, Counters, Observation

MODEL = "ab" * 32


@pytest.fixture
def make(tmp_path):
    def made(folder="counters"):
        return Counters(tmp_path / folder, MODEL, ["cat", "dog"], [30, 90])

    return made


@pytest.fixture
def read(tmp_path):
    """Return the content of the only file of counts."""

    def content(folder="counters"):
        [path] = (tmp_path / folder).iterdir()
        return json.loads(path.read_text())

    return content


def test_nothing_is_counted_unless_the_environment_asks(colour_model, monkeypatch):
    """Without the variable a model has no counters, and starts no thread."""
    monkeypatch.delenv(VARIABLE, raising=False)
    assert served._load_pyfunc(str(colour_model())).classifier.counters is None


def test_each_image_and_error_of_a_request_is_counted(colour_model, picture, tmp_path, monkeypatch, read):
    """Quality, family, size, class and confidence of what was classified; why the rest was not."""
    monkeypatch.setenv(VARIABLE, str(tmp_path / "counters"))
    path = colour_model()
    model = served._load_pyfunc(str(path))
    images = [
        picture("red", "JPEG", quality=40),
        picture("blue", "JPEG", quality=40, size=(600, 20)),
        picture("blue", "PNG"),
        b"no image",
        None,
    ]
    model.predict(pd.DataFrame({"image": images}, dtype=object))
    model.classifier.counters.write()
    document = read()
    assert document["model"] == sha256(path)
    assert document["qualities"] == [30, 90]
    assert document["classes"] == ["red", "green", "blue"]
    counts = document["counts"]
    assert counts["quality"] == {"0": 1, "40": 2}
    assert counts["family"] == {"ijg": 2, "none": 1}
    assert counts["side"] == {"16": 2, "1024": 1}
    assert counts["class"] == {"red": 1, "blue": 2}
    assert sum(counts["confidence"].values()) == 3
    assert counts["error"] == {"neither bytes nor base64": 1, "not a JPEG, PNG, WEBP, AVIF, BMP or TIFF image": 1}


def test_what_an_error_says_about_one_image_is_left_out(make, read):
    """The part after the colon may hold a name, a size or text of a file."""
    counters = make()
    counters.add((), ["too large: 99999 x 3 pixels", "too large: 7 x 88888 pixels"])
    counters.write()
    assert read()["counts"]["error"] == {"too large": 2}


@settings(max_examples=30)  # each starts a thread
@given(
    st.lists(
        st.builds(
            Observation,
            st.integers(0, 100),
            st.sampled_from(["ijg", "other", "none"]),
            st.integers(1, 65_500),
            st.sampled_from(["cat", "dog"]),
            st.floats(0, 1),
        ),
        max_size=20,
    )
)
def test_every_image_has_one_value_of_each_aspect(tmp_path_factory, images):
    """The sums over all aspects but the errors are equal, whatever the images are; sides are rounded up."""
    counters = Counters(tmp_path_factory.mktemp("counts"), MODEL, [], [])
    counters.add(images)
    counts = counters._document("2026-11-29", counters._counts)["counts"]
    assert {sum(counts[aspect].values()) for aspect in ASPECTS if aspect != "error"} == {len(images)}
    assert counts["quality"] == {str(q): n for q, n in sorted(Counter(image.quality for image in images).items())}
    assert set(counts["confidence"]) <= {str(tenth / 10) for tenth in range(10)}
    assert sum(counts["side"].values()) == sum(
        n for side, n in counts["side"].items() if int(side) >= min(image.side for image in images)
    )


def test_threads_lose_no_count(make, read):
    """Requests are answered by several threads, while another one writes."""
    counters = make()
    with ThreadPoolExecutor(8) as pool:
        for _ in range(40):
            for _ in range(10):
                pool.submit(counters.add, [Observation(10, "ijg", 8, "cat", 0.5)] * 5)
            pool.submit(counters.write)
    counters.write()
    assert read()["counts"]["quality"] == {"10": 2000}


def test_each_process_has_a_file_of_its_own(make, tmp_path):
    """Workers of one server, or of several hosts, never write into the same file."""
    for counters in (make(), make()):
        counters.add([Observation(10, "ijg", 8, "cat", 0.5)])
        counters.write()
    assert len(list((tmp_path / "counters").iterdir())) == 2


def test_a_new_day_begins_a_new_file(make, tmp_path, monkeypatch):
    """Counts of yesterday stay in its file, which is written once more; today's begin at zero."""
    monkeypatch.setattr(module, "_today", lambda: "2026-11-28")
    counters = make()
    counters.add([Observation(10, "ijg", 8, "cat", 0.5)] * 3)
    monkeypatch.setattr(module, "_today", lambda: "2026-11-29")
    counters.write()
    counters.add([Observation(10, "ijg", 8, "cat", 0.5)])
    counters.write()
    files = {path.name[:10]: json.loads(path.read_text()) for path in (tmp_path / "counters").iterdir()}
    assert {day: file["counts"]["class"] for day, file in files.items()} == {
        "2026-11-28": {"cat": 3},
        "2026-11-29": {"cat": 1},
    }


def test_an_idle_process_does_not_count_for_a_day_that_is_over(make, tmp_path, monkeypatch):
    """After a night without requests, the first of the day belongs to it."""
    monkeypatch.setattr(module, "_today", lambda: "2026-11-28")
    counters = make()
    monkeypatch.setattr(module, "_today", lambda: "2026-11-29")
    counters.write()
    counters.add([Observation(10, "ijg", 8, "cat", 0.5)])
    counters.write()
    assert [path.name[:10] for path in (tmp_path / "counters").iterdir()] == ["2026-11-29"]


def test_a_folder_that_cannot_be_made_stops_the_start(tmp_path, monkeypatch, colour_model):
    """The message names the variable; a model that is asked to count never serves without counting."""
    (tmp_path / "file").touch()
    monkeypatch.setenv(VARIABLE, str(tmp_path / "file/counters"))
    with pytest.raises(OSError, match=f"{VARIABLE}: counts cannot be written there"):
        served._load_pyfunc(str(colour_model()))


def test_a_full_disk_does_not_disturb_requests(make, capsys, monkeypatch, read):
    """It is told once; when there is space again, the file has all counts."""

    def refuse(*_):
        raise OSError(28, "No space left on device")

    counters = make()
    counters.add([Observation(10, "ijg", 8, "cat", 0.5)])
    with monkeypatch.context() as patch:
        patch.setattr(module, "_write_whole", refuse)
        counters.write()
        counters.write()
    assert capsys.readouterr().err.count("No space left on device") == 1
    counters.write()
    assert read()["counts"]["class"] == {"cat": 1}


COUNT = """
    import os, signal, sys, time
    from pathlib import Path
    from fct.serving import counters
    counters.PERIOD = 0.1
    here = counters.Counters(Path("counters"), "ab" * 32, [], [])
    image = counters.Observation(10, "ijg", 8, "cat", 0.5)
"""


def run(code, folder):
    command = [sys.executable, "-c", textwrap.dedent(COUNT) + textwrap.dedent(code)]
    environment = os.environ | {"PYTHONPATH": str(Path(module.__file__).parents[2])}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    files = [json.loads(path.read_text()) for path in sorted((folder / "counters").iterdir())]
    return done, [file["counts"]["class"].get("cat", 0) for file in files]


def test_a_process_that_ends_writes_its_last_counts(tmp_path):
    """Also those since its last write."""
    done, counts = run("counters.PERIOD = 1000; here.add([image] * 7)", tmp_path)
    assert (done.returncode, counts) == (0, [7]), done.stderr


def test_a_killed_process_loses_only_what_it_had_not_written(tmp_path):
    """The file is whole, with everything up to the last write."""
    done, counts = run(
        """
        here.add([image] * 7)
        while not list(Path("counters").glob("*.json")):
            time.sleep(0.01)
        counters.PERIOD = 1000
        time.sleep(0.2)  # until the thread waits that long
        here.add([image])
        os.kill(os.getpid(), signal.SIGKILL)
        """,
        tmp_path,
    )
    assert done.returncode == -9, done.stderr
    assert counts[0] in {7, 8}


def test_a_forked_process_counts_for_itself(tmp_path):
    """It neither repeats its parent's counts nor writes into its file."""
    done, counts = run(
        """
        here.add([image] * 3)
        child = os.fork()
        if child == 0:
            here.add([image] * 4)
            here.write()
            os._exit(0)
        os.waitpid(child, 0)
        """,
        tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert sorted(counts) == [3, 4]
