"""Families of models: features (batch, frames, bands, 1) -> logit (batch,). Higher is bonafide.

A family is a function; a new one is one more row of `FAMILIES`.
"""

from collections.abc import Callable, Sequence
from typing import Any

import keras
from keras import layers

from training.config import Config
from training.front_ends import front_end


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
        x = layers.Conv2D(width, 3, padding="same", use_bias=False)(x)
        x = layers.BatchNormalization()(x)
        x = layers.ReLU()(x)
        x = layers.MaxPooling2D(tuple(pool))(x)
    x = layers.Flatten()(x)
    x = layers.Dropout(dropout)(x)
    x = layers.Dense(dense, activation="relu")(x)
    x = layers.Dropout(dropout)(x)
    return layers.Dense(1)(x)


def resnet50(features: keras.KerasTensor, *, dropout: float = 0.0) -> keras.KerasTensor:
    """ResNet-50 from scratch on one channel (He et al. 2016, arXiv:1512.03385), as `keras.applications` has it."""
    trunk = keras.applications.ResNet50(
        include_top=False, weights=None, input_tensor=features, input_shape=features.shape[1:], pooling="avg"
    )
    return layers.Dense(1)(layers.Dropout(dropout)(trunk.output))


FAMILIES: dict[str, Callable[..., keras.KerasTensor]] = {"simple_cnn": simple_cnn, "resnet50": resnet50}


def build(config: Config) -> keras.Model:
    """The whole model of a configuration: waveform (batch, window_samples) -> logit (batch,), float32.

    Raises
    ------
    ValueError
        A family that is not one of `FAMILIES`, or an option that it does not have.
    """
    if config.family not in FAMILIES:
        raise ValueError(f"A family is one of {', '.join(FAMILIES)}. Received: {config.family!r}.")
    options: dict[str, Any] = config.family_options
    waveform = keras.Input((config.input.window_samples,), name="waveform")
    features = front_end(waveform, config.front_end, sample_rate=config.input.sample_rate)
    try:
        logit = FAMILIES[config.family](features, **options)
    except TypeError as error:
        raise ValueError(f"The family {config.family} has no such option. Received: {options}.") from error
    return keras.Model(waveform, layers.Reshape((), name="logit")(logit), name=config.family)
