"""`pair` is cross entropy on both views, in one forward pass."""

import torch
from torch.nn.functional import cross_entropy

from fct.methods import pair
from fct.methods.batch import forward_both


def test_the_loss_is_the_mean_over_both_views(make_network, batch, toy):
    """The loss is half the cross entropy of the raw images plus half that of the compressed ones."""
    network = make_network(blocks=True).eval()  # batch statistics would mix the two
    raw = cross_entropy(network(batch.raw, batch.raw_quality)[0], batch.labels)
    compressed = cross_entropy(network(batch.compressed, batch.quality)[0], batch.labels)
    loss = pair.loss(network, batch, toy.method(name="pair"))
    torch.testing.assert_close(loss.total, (raw + compressed) / 2)
    assert loss.parts == {"cross_entropy": loss.total}


def test_both_views_share_batch_statistics(make_network, batch, toy):
    """There is one forward pass: each norm tracks one batch of both views."""
    network = make_network()
    pair.loss(network, batch, toy.method(name="pair"))
    norm = network.backbone.stem[1]
    assert norm.num_batches_tracked == 1
    pixels = network.normalised(torch.cat([batch.raw, batch.compressed]))
    mean = network.backbone.stem[0](pixels).mean(dim=(0, 2, 3))
    torch.testing.assert_close(norm.running_mean, 0.1 * mean)  # torch's momentum, from zero


def test_each_view_can_have_its_own_batch_statistics(make_network, batch, toy):
    """With per-view, the result of a view does not depend on the other. Running statistics are of both."""
    network, reference = make_network(), make_network()
    logits, features = forward_both(network, batch, toy.method(batch_norm="per-view"))
    raw, raw_features = reference(batch.raw, batch.raw_quality)
    compressed, compressed_features = reference(batch.compressed, batch.quality)
    assert torch.equal(logits, torch.cat([raw, compressed]))
    assert torch.equal(features["stage3"][0], raw_features["stage3"])
    assert torch.equal(features["stage3"][1], compressed_features["stage3"])
    assert network.backbone.stem[1].num_batches_tracked == 2


def test_features_are_returned_by_view(make_network, batch, toy):
    """Each layer has a pair: the features of the raw images, and those of the compressed images."""
    network = make_network(blocks=True).eval()
    _, features = forward_both(network, batch, toy.method())
    assert list(features) == ["stage1", "stage3"]
    for layer, (raw, compressed) in features.items():
        torch.testing.assert_close(raw, network(batch.raw, batch.raw_quality)[1][layer])
        torch.testing.assert_close(compressed, network(batch.compressed, batch.quality)[1][layer])


def test_each_pass_of_per_view_has_the_quality_of_its_view(make_network, batch, toy):
    """With per-view, blocks get the compression's quality for the compressed images."""
    network = make_network(blocks=True).eval()
    logits, features = forward_both(network, batch, toy.method(batch_norm="per-view"))
    raw, raw_features = network(batch.raw, batch.raw_quality)
    compressed, compressed_features = network(batch.compressed, batch.quality)
    assert torch.equal(logits, torch.cat([raw, compressed]))
    assert torch.equal(features["stage1"][0], raw_features["stage1"])
    assert torch.equal(features["stage1"][1], compressed_features["stage1"])
