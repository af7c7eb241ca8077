"""What is measured of a trained network."""

import numpy as np

from benchmarks.comparison import measure
from benchmarks.comparison.settings import read
from fct.export.onnx import export
from fct.splits.store import open_split
from fct.train.assemble import make_network, open_data
from fct.train.loop import train


def test_a_network_on_the_gpu_is_measured_as_its_exported_file_is(toy):
    """Records of machines with a GPU and without stand in one table: right and wrong are the same images."""
    setup, method = toy.setup(), toy.method()
    data, meta = open_data(setup)
    network, description = make_network(setup, method, data.train, meta)
    train(network, data, method, setup.train)
    measured = measure._at_qualities(read(), network, open_split("test"), (1, 60))
    export(network, description, toy.root / "model.onnx")
    exported = measure._at_qualities(read(), toy.root / "model.onnx", open_split("test"), (1, 60))
    np.testing.assert_array_equal(measured, exported)
    raw, worst, _ = measured.mean(1)
    assert raw > worst
