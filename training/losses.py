"""Losses: what an embedding (batch, n) is measured by, and the logit that comes of it.

Each brings a head, stock layers that end in outputs (batch, k); a loss of those outputs; and the logit that they make
in the artifact. Plain cross-entropy pulls all spoofs together, as if new attacks were like the old ones; the others
leave margins around bonafide. Higher is bonafide throughout.
"""

from collections.abc import Callable
from dataclasses import dataclass

import keras
from keras import layers, ops


@dataclass(frozen=True, slots=True)
class Loss:
    """A way to learn."""

    head: Callable[[keras.KerasTensor], keras.KerasTensor]  # embedding (batch, n) -> outputs (batch, k)
    loss: Callable[
        [keras.KerasTensor, keras.KerasTensor], keras.KerasTensor
    ]  # labels (batch, 1) in [0, 1], outputs -> (batch,)
    logit: Callable[[keras.KerasTensor], keras.KerasTensor]  # outputs -> (batch, 1)


def _linear(embedding: keras.KerasTensor) -> keras.KerasTensor:
    return layers.Dense(1)(embedding)


def _cosines(embedding: keras.KerasTensor, count: int) -> keras.KerasTensor:
    """Cosines of the angles between an embedding and `count` learned directions."""
    kernel = layers.Dense(count, use_bias=False, kernel_constraint=keras.constraints.UnitNorm(axis=0))
    return kernel(layers.UnitNormalization()(embedding))


def _cross_entropy(labels: keras.KerasTensor, outputs: keras.KerasTensor) -> keras.KerasTensor:
    return ops.binary_crossentropy(labels, outputs, from_logits=True)[:, 0]


def _oc_softmax(labels: keras.KerasTensor, outputs: keras.KerasTensor) -> keras.KerasTensor:
    """Bonafide inside a cone, spoofs outside of a wider one: m = 0.9 and 0.2, alpha = 20."""
    inside, outside = ops.softplus(20 * (0.9 - outputs)), ops.softplus(20 * (outputs - 0.2))
    return (labels * inside + (1 - labels) * outside)[:, 0]


def _am_softmax(labels: keras.KerasTensor, outputs: keras.KerasTensor) -> keras.KerasTensor:
    """Two directions, the right one with a margin of 0.2 off its cosine, scale 15."""
    difference = outputs[:, :1] - outputs[:, 1:]
    bonafide, spoof = ops.softplus(-15 * (difference - 0.2)), ops.softplus(15 * (difference + 0.2))
    return (labels * bonafide + (1 - labels) * spoof)[:, 0]


def _p2sgrad(labels: keras.KerasTensor, outputs: keras.KerasTensor) -> keras.KerasTensor:
    """The squared distance of both cosines to 1 and 0, or 0 and 1: whose gradient is P2SGrad's."""
    return ops.mean(ops.square(outputs - ops.concatenate([labels, 1 - labels], axis=-1)), axis=-1)


LOSSES: dict[str, Loss] = {
    "cross_entropy": Loss(_linear, _cross_entropy, lambda outputs: outputs),
    # Y. Zhang, F. Jiang, Z. Duan, "One-class learning towards synthetic voice spoofing detection", 2021
    "oc_softmax": Loss(lambda e: _cosines(e, 1), _oc_softmax, lambda outputs: 20 * (outputs - 0.55)),
    # F. Wang et al., "Additive margin softmax for face verification", 2018
    "am_softmax": Loss(lambda e: _cosines(e, 2), _am_softmax, lambda outputs: 15 * (outputs[:, :1] - outputs[:, 1:])),
    # X. Wang, J. Yamagishi, "A comparative study on recent neural spoofing countermeasures ...", 2021
    "p2sgrad": Loss(lambda e: _cosines(e, 2), _p2sgrad, lambda outputs: 5 * (outputs[:, :1] - outputs[:, 1:])),
}
