"""`stability` keeps the prediction of the compressed view close to that of the raw view."""

import dataclasses
import math

import pytest
import torch

from fct.methods import stability


def predictions(network, batch):
    raw = network(batch.raw, batch.raw_quality)[0].softmax(1)
    return raw, network(batch.compressed, batch.quality)[0].softmax(1)


def test_the_loss_is_cross_entropy_and_weighted_divergence(make_network, batch, toy):
    """The loss is equal to cross entropy and KL divergence computed by hand."""
    network = make_network().eval()  # batch statistics would mix the two
    raw, compressed = predictions(network, batch)
    entropy = -raw[range(6), batch.labels].log().mean()
    divergence = (raw * (raw / compressed).log()).sum(1).mean()
    assert divergence > 1e-4
    loss = stability.loss(network, batch, toy.method(name="stability", weight=0.7))
    torch.testing.assert_close(loss.total, entropy + 0.7 * divergence)
    torch.testing.assert_close(loss.parts["cross_entropy"], entropy)
    torch.testing.assert_close(loss.parts["stability"], divergence)


def test_labels_of_compressed_images_are_not_used(make_network, batch, toy, gradients):
    """With weight 0, the gradient in evaluation mode is that of the raw images."""
    network = make_network().eval()
    actual = gradients(network, stability.loss(network, batch, toy.method(name="stability", weight=0)).total)
    entropy = torch.nn.functional.cross_entropy(network(batch.raw, batch.raw_quality)[0], batch.labels)
    for name, expected in gradients(network, entropy).items():
        torch.testing.assert_close(actual[name], expected)


def test_noise_replaces_jpeg(make_network, batch, toy):
    """With noise, the second view is the raw image plus noise, and the compressed view is not used."""
    network = make_network().eval()
    black = dataclasses.replace(batch, compressed=torch.zeros_like(batch.compressed))
    losses = []
    for view in (batch, black):
        torch.manual_seed(0)
        losses.append(stability.loss(network, view, toy.method(name="stability", noise=0.1)))
    assert torch.equal(losses[0].total, losses[1].total)
    assert losses[0].parts["stability"] > 0


def test_noise_has_its_deviation():
    """The noise has the given deviation on the scale 0..1. Values are rounded and clamped to 0..255."""
    torch.manual_seed(0)
    grey = torch.full((4, 3, 64, 64), 128, dtype=torch.uint8)
    difference = stability.add_noise(grey, 0.1).double() - 128
    assert difference.std().item() == pytest.approx(25.5, rel=0.02)
    assert abs(difference.mean().item()) < 0.5
    assert stability.add_noise(torch.full((1000,), 255, dtype=torch.uint8), 0.5).max() == 255


def test_a_noisy_image_has_the_quality_of_the_raw_one(make_network, batch, toy):
    """Blocks get the quality of the raw image for a noisy image."""
    network = make_network(blocks=True).eval()
    other = dataclasses.replace(batch, quality=101 - batch.quality)
    losses = []
    for view in (batch, other):
        torch.manual_seed(0)
        losses.append(stability.loss(network, view, toy.method(name="stability", noise=0.1)).total)
    assert torch.equal(*losses)


def test_noise_does_not_change_the_mean():
    """The mean over many pixels changes by less than a tenth of a grey level."""
    torch.manual_seed(0)
    grey = torch.full((400_000,), 128, dtype=torch.uint8)
    assert abs((stability.add_noise(grey, 0.02).double() - 128).mean().item()) < 0.1


def test_noise_beyond_white_is_white():
    """Of white pixels with noise about half stay white: no sum wraps around to a dark one."""
    torch.manual_seed(0)
    white = stability.add_noise(torch.full((10_000,), 255, dtype=torch.uint8), 0.1)
    assert (white == 255).double().mean().item() == pytest.approx(0.5, abs=0.03)
    assert white.min() > 100


def test_the_divergence_is_from_the_raw_prediction(batch, toy):
    """KL(p || q) of p = (3/4, 1/4) on raw and q = (1/2, 1/2) on compressed images, and not the other way round."""

    class Sure(torch.nn.Module):
        def forward(self, image, _quality):
            raw, compressed = torch.tensor([[math.log(3), 0.0]]), torch.zeros(1, 2)
            half = len(image) // 2
            return torch.cat([raw.expand(half, -1), compressed.expand(half, -1)]), {}

    labelled = dataclasses.replace(batch, labels=torch.zeros(6, dtype=torch.int64))
    found = stability.loss(Sure(), labelled, toy.method(name="stability")).parts["stability"].item()
    assert found == pytest.approx(0.75 * math.log(1.5) + 0.25 * math.log(0.5), rel=1e-5)
