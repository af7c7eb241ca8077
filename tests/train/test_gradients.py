"""The gradients of two processes are those of one, for every method, distance and target."""

import itertools
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

NORMS = ["stem.1.*", "*.norm?.*", "*.shortcut.1.*"]  # of resnet8: frozen, so that an image's output is its own
EVERYTHING = {"accumulate": 2, "clip_norm": 1.0, "label_smoothing": 0.1, "ema": 0.9, "crops": "own", "cutout": 4}
EVERYTHING |= {"resized_crop": {"scale": [0.5, 1.0], "ratio": [0.8, 1.25]}, "colour_jitter": 0.3, "erasing": 0.3}
EVERYTHING |= {"policy": "rand-augment", "quality_sampler": "low", "balance": "classes"}
DISTANCES = ("mse", "centred-mse", "cosine")
TARGETS = ("raw", "raw-detached", "teacher", "ema-teacher")

METHODS = {
    "standard": {"name": "standard"},
    "augment": {"name": "augment"},
    "finetune": {"name": "finetune"},
    "pair": {"name": "pair"},
    "pair per view": {"name": "pair", "batch_norm": "per-view"},
    "stability": {"name": "stability"},
    "stability noise": {"name": "stability", "noise": 0.1},
    "jsd": {"name": "jsd"},
    "distill logits": {"name": "distill"},
    "distill features": {"name": "distill", "match": "features"},
}
for name, distance, target in itertools.product(("fct", "fct-r"), DISTANCES, TARGETS):
    METHODS[f"{name} {distance} {target}"] = {"name": name, "distance": distance, "target": target}
for projection, target in itertools.product(("linear", "mean"), TARGETS):
    METHODS[f"fct {projection} {target}"] = {"name": "fct", "projection": projection, "target": target}
for target in ("teacher", "ema-teacher"):
    METHODS[f"fct-r both {target}"] = {"name": "fct-r", "target": target, "matched_views": "both"}
    METHODS[f"fct-r one {target}"] = {"name": "fct-r", "target": target, "matched_views": "one"}
METHODS["fct-r per view"] = {"name": "fct-r", "batch_norm": "per-view", "target": "raw"}
CHANGES = {name: {} for name in METHODS} | {
    "everything": EVERYTHING,
    "mixup": {"mixup": 0.4},
    "cutmix": {"cutmix": 1.0, "policy": "trivial-augment"},
    "both mixes": {"mixup": 0.4, "cutmix": 1.0, "accumulate": 3, "erasing": 0.5},
    "online": {"views": "online"},
}
OTHERS = {"name": "fct-r", "target": "ema-teacher"}  # the method of the variants that change the training


@pytest.fixture(scope="module")
def errors(built_toy, tmp_path_factory):
    """Run two processes that compute all gradients; return the relative error of each variant."""
    folder = tmp_path_factory.mktemp("gradients")
    shutil.copytree(built_toy.root / "data", folder / "data")
    variants = {}
    for name, changes in CHANGES.items():
        train = {"epochs": 2, "batch_size": 25, "processes": 2, "freeze": NORMS, "momentum": 0.0} | changes
        setup = built_toy.setup(of_model={"width": 4}, **train)
        method = built_toy.method(**METHODS.get(name, OTHERS))
        progress = 0.75 if name == "finetune" else 0.0
        variants[name] = {"model": setup.model.model_dump(), "train": setup.train.model_dump()}
        variants[name] |= {"method": method.model_dump(), "progress": progress}
    (folder / "variants.json").write_text(json.dumps(variants))
    command = [sys.executable, str(Path(__file__).with_name("gradients_of_ranks.py")), "variants.json", "errors.json"]
    environment = os.environ | {"WORLD_SIZE": "2", "FCT_TRAIN_STORE": str(folder / "store"), "OMP_NUM_THREADS": "1"}
    environment |= {"TORCH_CPP_LOG_LEVEL": "ERROR"}  # as fct.train.launch sets it
    environment |= {"PYTHONPATH": str(Path(__file__).parents[2]), "GLOO_SOCKET_IFNAME": "lo"}
    processes = [
        subprocess.Popen(command, cwd=folder, env=environment | {"RANK": str(rank)}, stderr=subprocess.PIPE, text=True)
        for rank in range(2)
    ]
    outputs = [process.communicate(timeout=240)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], "\n".join(outputs)
    assert "Warning" not in "".join(outputs)
    return json.loads((folder / "errors.json").read_text())


@pytest.mark.parametrize("variant", CHANGES)
def test_the_gradient_of_two_processes_is_that_of_one(errors, variant):
    """The batch of 25 images does not divide evenly: one process has 13 of them."""
    assert errors[variant] < 1e-5
