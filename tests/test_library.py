"""The public names of `fct`: importable at once, documented by examples that run, and the pipeline's own code."""

import ast
import doctest
import importlib
import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
import torch
from torch.nn.functional import cross_entropy
from torchvision.models import resnet18

import fct
from fct.methods.batch import Batch, Context
from fct.methods.registry import METHODS
from fct.models.network import Network
from fct.models.params import BlockParams

ROOT = Path(__file__).parents[1]
DOCUMENTED = [name for name in fct.__all__ if callable(getattr(fct, name))]
LAYERS = ["layer4", "fc"]


@pytest.mark.parametrize("name", DOCUMENTED)
def test_the_example_of_a_docstring_runs(name):
    """Each public name has an example, and it prints what it says."""
    value = getattr(fct, name)
    module = importlib.import_module(value.__module__)
    [test] = [found for found in doctest.DocTestFinder(recurse=False).find(value, name) if found.examples]
    test.globs = vars(module) | {"torch": torch}
    assert doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE).run(test).failed == 0


@pytest.mark.parametrize("name", [name for name in DOCUMENTED if isinstance(getattr(fct, name), type)])
def test_a_class_documents_arguments_and_errors(name):
    """A docstring has sections, as the best of the field have."""
    document = getattr(fct, name).__doc__
    assert "Args:" in document
    assert "Raises:" in document
    assert "Shape:" in document or name == "FeatureTaps"  # it takes no tensor


def test_importing_fct_imports_nothing_heavy():
    """Torch and numpy wait for the first use of a name that needs them."""
    code = (
        "import sys, fct; heavy = {'torch', 'numpy', 'numba', 'PIL', 'torchvision', 'pydantic'};"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules);"
        "assert set(fct.__all__) <= set(dir(fct)); fct.UNKNOWN_QUALITY;"
        "assert 'torch' not in sys.modules; fct.FeatureTaps; assert 'torch' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_type_checkers_see_the_same_names():
    """The imports for type checkers are those that are made at the first use."""
    tree = ast.parse((ROOT / "fct/__init__.py").read_text())
    block = next(node for node in tree.body if isinstance(node, ast.If))
    imports = {
        node.module: tuple(alias.name for alias in node.names)
        for node in block.body
        if isinstance(node, ast.ImportFrom)
    }
    assert imports == fct._MODULES
    assert sorted(name for names in imports.values() for name in names) == sorted(fct.__all__)


def test_the_version_is_that_of_the_distribution():
    """It is a name of the module, but `from fct import *` leaves the importer's own version alone."""
    assert fct.__version__ == version("feature-consistency")
    assert "__version__" not in fct.__all__


def test_a_name_that_is_not_there_is_an_attribute_error():
    """As of any module."""
    with pytest.raises(AttributeError, match="module 'fct' has no attribute 'RandomJPG'"):
        fct.RandomJPG  # noqa: B018


def lines_of(page, word):
    """Return the lines of Python with `word` that a page shows, as people copy them."""
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)
    [lines] = [block for block in blocks if word in block]
    return lines


def resnet():
    torch.manual_seed(0)
    return resnet18(num_classes=3)


def gradients(model):
    return {name: weight.grad for name, weight in model.named_parameters()}


def test_the_five_lines_are_the_pipelines_loss_to_the_bit(toy):
    """The same images, qualities and weights give the same loss and gradients as `method.name: fct`."""
    network = Network(resnet(), mean=[0.5] * 3, std=[0.25] * 3, layers=LAYERS, size=32)
    images = torch.randint(256, (4, 3, 32, 32), dtype=torch.uint8)
    labels = torch.tensor([0, 1, 2, 0])
    names = {
        "fct": fct, "torch": torch, "cross_entropy": cross_entropy,
        "images": images, "labels": labels, "model": resnet(), "normalise": network.normalised,
    }  # fmt: skip
    torch.manual_seed(1)
    exec(lines_of("README.md", "fct.RandomJPEG"), names)

    torch.manual_seed(1)
    compressed, quality = fct.RandomJPEG((10, 90), return_quality=True)(images)
    assert torch.equal(names["both"], torch.cat([images, compressed]))
    unknown = torch.full((4,), fct.UNKNOWN_QUALITY)
    batch = Batch(images, unknown, compressed, quality, labels, reference=images)
    method = toy.method(
        name="fct", weight=0.3, layers=LAYERS, distance="centred-mse", target="raw-detached", projection="none"
    )
    network.train()
    loss = METHODS["fct"].loss(network, batch, method)
    loss.total.backward()
    assert torch.equal(names["loss"], loss.total)
    own, pipeline = gradients(names["model"]), gradients(network.backbone)
    assert [name for name in pipeline if not torch.equal(own[name], pipeline[name])] == []


@pytest.mark.parametrize(("word", "matched", "draws"), [("is_jpeg", "one", 4), ("the target first", "compressed", 0)])
def test_the_loops_with_a_teacher_are_the_pipelines_loss_to_the_bit(toy, word, matched, draws):
    """Those of docs/how-to/own-loop.md are `method.matched_views`, with the same images and teacher."""
    network = Network(resnet(), mean=[0.5] * 3, std=[0.25] * 3, layers=LAYERS, size=32)
    torch.manual_seed(2)
    teacher = Network(resnet18(num_classes=3), mean=[0.5] * 3, std=[0.25] * 3, layers=LAYERS, size=32).eval()
    images, labels = torch.randint(256, (4, 3, 32, 32), dtype=torch.uint8), torch.tensor([0, 1, 2, 0])
    model, frozen, jpeg = resnet(), teacher.backbone, fct.RandomJPEG((10, 90), return_quality=True)
    names = {
        "torch": torch, "cross_entropy": cross_entropy, "images": images, "labels": labels,
        "jpeg": lambda pixels: jpeg(pixels)[0], "normalise": network.normalised,
        "model": model, "teacher": torch.no_grad()(frozen),
        "taps": fct.FeatureTaps(model, LAYERS), "teacher_taps": fct.FeatureTaps(frozen, LAYERS),
        "consistency": fct.FeatureConsistencyLoss(weight=3.0),
    }  # fmt: skip
    torch.manual_seed(1)
    exec(lines_of("docs/how-to/own-loop.md", word), names)
    names["loss"].backward()

    torch.manual_seed(1)
    torch.rand(draws)
    compressed, quality = jpeg(images)
    batch = Batch(images, torch.full((4,), fct.UNKNOWN_QUALITY), compressed, quality, labels, reference=images)
    method = toy.method(
        name="fct", weight=3.0, layers=LAYERS, target="teacher", matched_views=matched, probability=0.75
    )
    torch.manual_seed(1)
    network.train()
    loss = METHODS["fct"].loss(network, batch, method, Context(teacher=teacher))
    loss.total.backward()
    assert torch.equal(names["loss"], loss.total)
    own, pipeline = gradients(model), gradients(network.backbone)
    assert [name for name in pipeline if not torch.equal(own[name], pipeline[name])] == []


def test_a_quality_aware_model_is_the_pipelines_network_to_the_bit():
    """The same backbone and blocks give the same logits for the same qualities."""
    layers = ["layer3", "layer4"]
    params = BlockParams(layers=layers, width=0.5, quality="film", consistency="after", unknown_quality="bypass")
    network = Network(resnet(), mean=[0.5] * 3, std=[0.25] * 3, layers=[], block=params, size=32).eval()
    for block in network.blocks.values():
        torch.nn.init.normal_(block.expand.weight, std=0.1)
    model = fct.QualityAware(resnet(), layers, image_shape=(3, 32, 32), width=0.5).eval()
    model.blocks.load_state_dict(network.blocks.state_dict())
    images = torch.randint(256, (3, 3, 32, 32), dtype=torch.uint8)
    quality = torch.tensor([10, 90, fct.UNKNOWN_QUALITY])
    with torch.no_grad():
        logits = model(network.normalised(images), quality)
        assert torch.equal(logits, network(images, quality)[0])
        assert not torch.equal(logits, model(network.normalised(images)))  # the blocks do something
