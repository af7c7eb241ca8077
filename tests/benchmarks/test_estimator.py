"""What the quality estimator says, measured on small images, and its table."""

import numpy as np

from benchmarks import estimator
from benchmarks.comparison import probes
from fct.splits.store import open_split
from fct.train.assemble import make_network, open_data
from fct.train.estimator import fit_estimator


def test_the_page_has_the_table_of_the_results():
    """The method's page says what was measured, and estimates rise with the quality."""
    block = estimator.PAGE.read_text().partition(estimator.MARKS[0])[2].partition(estimator.MARKS[1])[0]
    assert block.strip() == estimator.tables().strip()


def test_every_image_has_an_estimate_by_the_networks_own_estimator(toy):
    """Batches of any size leave none out."""
    setup, plain = toy.setup(), toy.method()
    method = toy.method(block=plain.block.model_dump() | {"unknown_quality": "estimate"})
    data, meta = open_data(setup)
    network, _ = make_network(setup, method, data.train, meta)
    fit_estimator(network.eval(), data, method, setup.train)
    val = open_split("val")
    found = probes.estimates(network, val, 7)
    assert found.shape == (len(val),)
    assert np.all((found >= 0) & (found <= 100))
