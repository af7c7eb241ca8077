"""`finetune`: a training on raw images, continued on compressed images.

This is a strong baseline of the literature. Both halves are one training, with one schedule of the learning rate and as
many steps as any other method. In the second half, each image is compressed with probability `params.probability`.
"""

from __future__ import annotations

from fct.methods import augment, standard
from fct.methods.batch import START, Batch, Context, Loss
from fct.methods.params import MethodParams
from fct.models.network import Network

TURN = 0.5  # progress at which compressed images replace raw ones


def loss(network: Network, batch: Batch, params: MethodParams, context: Context = START) -> Loss:
    """Return the loss of `standard` in the first half of a training, and of `augment` in the second half."""
    if context.progress < TURN:
        return standard.loss(network, batch, params, context)
    return augment.loss(network, batch, params, context)
