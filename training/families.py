"""Families of networks: features (batch, frames, bands, channels) -> embedding (batch, n).

A family is a function; a new one is one more row of `FAMILIES`. What makes a logit of an embedding belongs to the loss
(`training.losses`).
"""

from collections.abc import Callable, Sequence
from typing import Any

import keras
from keras import layers, ops

from training.aasist import AASIST_L, aasist
from training.normalisation import FusedBatchNormalization


def simple_cnn(
    features: keras.KerasTensor,
    *,
    filters: Sequence[int] = (16, 32, 48, 64),
    pools: Sequence[Sequence[int]] = ((2, 2), (2, 2), (4, 2), (4, 2)),
    dense: int = 64,
    dropout: float = 0.3,
) -> keras.KerasTensor:
    """Four convolutions, each with max-pooling, then flatten and dense: the seed's network.

    `pools` are (frames, bands) for each. Time is pooled more than frequency: where in a window something is heard
    says nothing, and every position less is one less to learn by heart. Batch normalisation and dropout are what
    it takes to train it on a corpus of hours.
    """
    x = features
    for width, pool in zip(filters, pools, strict=True):
        x = layers.ReLU()(_convolution(x, width))
        x = layers.MaxPooling2D(tuple(pool))(x)
    x = layers.Flatten()(x)
    x = layers.Dropout(dropout)(x)
    x = layers.Dense(dense, activation="relu")(x)
    return layers.Dropout(dropout)(x)


def resnet50(features: keras.KerasTensor, *, dropout: float = 0.0) -> keras.KerasTensor:
    """ResNet-50 from scratch (He et al. 2016, arXiv:1512.03385), as `keras.applications` has it."""
    trunk = keras.applications.ResNet50(
        include_top=False, weights=None, input_tensor=features, input_shape=features.shape[1:], pooling="avg"
    )
    return layers.Dropout(dropout)(trunk.output)


def se_resnet(
    features: keras.KerasTensor,
    *,
    filters: Sequence[int] = (16, 32, 48, 64),
    blocks: Sequence[int] = (1, 1, 1, 1),
    stem_stride: Sequence[int] = (2, 2),
    pooling: str = "attentive",
    dropout: float = 0.4,
) -> keras.KerasTensor:
    """A compact residual network with squeeze and excitation (Hu et al. 2018, arXiv:1709.01507).

    `blocks` of each width in `filters`; frames and bands are halved from one width to the next. The stem takes a
    `stem_stride`-th of both before anything is computed, which is where a detector's time goes.
    """
    x = _residuals(features, filters, blocks, stem_stride, attend=_squeeze_excite)
    return layers.Dropout(dropout)(POOLINGS[pooling](x))


def local_resnet(
    features: keras.KerasTensor,
    *,
    filters: Sequence[int] = (24, 48, 64),
    blocks: Sequence[int] = (1, 1, 1),
    stem_stride: Sequence[int] = (2, 2),
    pooling: str = "mean",
    dropout: float = 0.4,
) -> keras.KerasTensor:
    """A residual network that sees no more than its neighbourhood: `se_resnet` without what looks at a whole window.

    No excitation, fewer halvings, and a plain mean over time, so that the logit is a mean of what patches say by
    themselves: 49 frames by 49 bands with the default blocks. How a recording sounds as a whole is what a small corpus
    teaches in the place of how it was made; traces of a synthesiser are local. For images: L. Chai et al., "What makes
    fake images detectable?", ECCV 2020, arXiv:2008.10588; W. Brendel & M. Bethge (BagNets), arXiv:1904.00760.
    """
    return layers.Dropout(dropout)(POOLINGS[pooling](_residuals(features, filters, blocks, stem_stride)))


def lcnn(
    features: keras.KerasTensor,
    *,
    filters: Sequence[int] = (16, 24, 32, 32),
    stem_stride: Sequence[int] = (1, 1),
    pooling: str = "attentive",
    dropout: float = 0.4,
) -> keras.KerasTensor:
    """Light CNN with max-feature-map activations: of each pair of channels, the larger one goes on.

    X. Wu et al. 2018, arXiv:1511.02683; G. Lavrentyeva et al., "STC antispoofing systems for the ASVspoof2019
    challenge", Interspeech 2019.
    """
    x = layers.Conv2D(2 * filters[0], 5, strides=tuple(stem_stride), padding="same")(features)
    x = layers.MaxPooling2D(2)(_max_feature_map(x))
    for width in filters[1:]:
        x = FusedBatchNormalization(momentum=_MOMENTUM)(_max_feature_map(layers.Conv2D(2 * x.shape[-1], 1)(x)))
        x = _max_feature_map(layers.Conv2D(2 * width, 3, padding="same")(x))
        x = FusedBatchNormalization(momentum=_MOMENTUM)(layers.MaxPooling2D(2)(x))
    return layers.Dropout(dropout)(POOLINGS[pooling](x))


def rates(
    features: keras.KerasTensor, *, filters: Sequence[int] = (48, 48), dense: int = 64, dropout: float = 0.1
) -> keras.KerasTensor:
    """For `frame_lines` and `layer_images`: each rate by the same layers; then the strongest of each output, and each.

    So what is learned of one rate says something of others, which no attack of training has, and a rate of codecs can
    still mean less than one of vocoders.
    """
    x = layers.Reshape((features.shape[1], -1))(features)
    for width in filters:
        x = layers.Dense(width, activation="relu")(x)
    each = layers.Flatten()(layers.Dense(4, activation="relu")(x))
    x = ops.concatenate([layers.GlobalMaxPooling1D()(x), each], axis=-1)
    x = layers.Dropout(dropout)(x)
    x = layers.Dense(dense, activation="relu")(x)
    return layers.Dropout(dropout)(x)


def attentive_pooling(x: keras.KerasTensor) -> keras.KerasTensor:
    """Mean and standard deviation over time, each frame weighted by how much it has to say.

    K. Okabe, T. Koshinaka, K. Shinoda, "Attentive statistics pooling for deep speaker embedding", Interspeech 2018.
    """
    frames = _frames(x)
    weights = ops.softmax(layers.Dense(1)(layers.Dense(32, activation="tanh")(frames)), axis=1)
    mean = ops.sum(weights * frames, axis=1)
    return ops.concatenate([mean, _deviation(ops.sum(weights * ops.square(frames), axis=1), mean)], axis=-1)


def mean_pooling(x: keras.KerasTensor) -> keras.KerasTensor:
    """Mean over time, all frames alike."""
    return ops.mean(_frames(x), axis=1)


def statistics_pooling(x: keras.KerasTensor) -> keras.KerasTensor:
    """Mean and standard deviation over time (Snyder et al. 2018, x-vectors), all frames alike."""
    frames = _frames(x)
    mean = ops.mean(frames, axis=1)
    return ops.concatenate([mean, _deviation(ops.mean(ops.square(frames), axis=1), mean)], axis=-1)


def aasist_small(waveform: keras.KerasTensor, **options: Any) -> keras.KerasTensor:
    """AASIST-L: `training.aasist` with a quarter of the parameters."""
    return aasist(waveform, **{**AASIST_L, **options})


FAMILIES: dict[str, Callable[..., keras.KerasTensor]] = {
    "simple_cnn": simple_cnn,
    "resnet50": resnet50,
    "se_resnet": se_resnet,
    "local_resnet": local_resnet,
    "lcnn": lcnn,
    "rates": rates,
    # Of a waveform, and with a logit of their own in the place of an embedding.
    "aasist": aasist,
    "aasist_l": aasist_small,
}
POOLINGS: dict[str, Callable[[keras.KerasTensor], keras.KerasTensor]] = {
    "attentive": attentive_pooling,
    "mean": mean_pooling,
    "statistics": statistics_pooling,
}

_MOMENTUM = 0.97  # of batch normalisation: an epoch of a small corpus has too few steps for Keras' 0.99


def _convolution(
    x: keras.KerasTensor, width: int, *, kernel: int = 3, stride: int | tuple[int, ...] = 1
) -> keras.KerasTensor:
    x = layers.Conv2D(width, kernel, strides=stride, padding="same", use_bias=False)(x)
    return FusedBatchNormalization(momentum=_MOMENTUM)(x)


def _residuals(
    features: keras.KerasTensor,
    filters: Sequence[int],
    blocks: Sequence[int],
    stem_stride: Sequence[int],
    *,
    attend: Callable[[keras.KerasTensor], keras.KerasTensor] | None = None,
) -> keras.KerasTensor:
    """A stem, then `blocks` of each width in `filters`, each of which ends with `attend`."""
    x = layers.ReLU()(_convolution(features, filters[0], kernel=5, stride=tuple(stem_stride)))
    for stage, (width, count) in enumerate(zip(filters, blocks, strict=True)):
        for block in range(count):
            stride = 2 if stage > 0 and block == 0 else 1
            y = _convolution(layers.ReLU()(_convolution(x, width, stride=stride)), width)
            if attend is not None:
                y = attend(y)
            if stride > 1:
                x = layers.AveragePooling2D(stride, padding="same")(x)
            if x.shape[-1] != width:
                x = _convolution(x, width, kernel=1)
            x = layers.ReLU()(layers.Add()([x, y]))
    return x


def _squeeze_excite(x: keras.KerasTensor) -> keras.KerasTensor:
    width = x.shape[-1]
    squeezed = layers.GlobalAveragePooling2D(keepdims=True)(x)
    hidden = layers.Conv2D(max(width // 4, 4), 1, activation="relu")(squeezed)
    return layers.Multiply()([x, layers.Conv2D(width, 1, activation="sigmoid")(hidden)])


def _max_feature_map(x: keras.KerasTensor) -> keras.KerasTensor:
    first, second = ops.split(x, 2, axis=-1)
    return ops.maximum(first, second)


def _frames(x: keras.KerasTensor) -> keras.KerasTensor:
    """(batch, frames, bands, channels) -> (batch, frames, bands * channels), float32: a variance is a difference."""
    return layers.Reshape((x.shape[1], x.shape[2] * x.shape[3]), dtype="float32")(x)


def _deviation(mean_square: keras.KerasTensor, mean: keras.KerasTensor) -> keras.KerasTensor:
    return ops.sqrt(ops.maximum(mean_square - ops.square(mean), 1e-5))
