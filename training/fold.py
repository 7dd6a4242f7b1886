"""Batch normalisation, folded into the convolutions before it: the same logits for less work."""

from typing import Any

import keras
import numpy as np

_TOLERANCE = 1e-3


def fold(model: keras.Model) -> keras.Model:
    """A copy of a functional model in which no convolution is followed by a batch normalisation of its own.

    Those that stay are Keras' own, so that it loads without anything of `training`.

    At inference, batch normalisation multiplies each channel by a constant and adds another; a convolution whose
    output goes nowhere else takes both into its kernel and bias (Jacob et al. 2018, arXiv:1712.05877, section 3.2).

    Raises
    ------
    ValueError
        The copy does not give the logits of the model (1e-3), on noise.
    """
    inputs = [tensor for layer in model.layers for tensor in _inputs(layer)]
    by_output = {id(layer.output): layer for layer in model.layers if isinstance(layer, keras.layers.Conv2D)}
    folded: dict[str, str] = {}  # batch normalisation -> convolution
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            before = by_output.get(id(layer.input))
            sole = sum(tensor is layer.input for tensor in inputs) == 1
            if before is not None and sole and before.get_config()["activation"] == "linear":
                folded[layer.name] = before.name

    def copied(layer: keras.layers.Layer) -> keras.layers.Layer:
        settings = layer.get_config()
        if layer.name in folded.values():
            settings["use_bias"] = True
        if isinstance(layer, keras.layers.BatchNormalization):
            return keras.layers.BatchNormalization.from_config(settings)
        return type(layer).from_config(settings)

    def called(layer: keras.layers.Layer, *arguments: Any, **keywords: Any) -> Any:
        return arguments[0] if layer.name in folded else layer(*arguments, **keywords)

    copy = keras.models.clone_model(model, clone_function=copied, call_function=called)
    for layer in model.layers:
        if layer.name in folded:
            kernel, bias = _folded_weights(model.get_layer(folded[layer.name]), layer)
            copy.get_layer(folded[layer.name]).set_weights([kernel, bias])
        elif layer.name not in folded.values() and layer.get_weights():
            copy.get_layer(layer.name).set_weights(layer.get_weights())

    noise = np.random.default_rng(0).standard_normal((2, *model.input_shape[1:])).astype(np.float32) * 0.1
    error = float(np.abs(np.asarray(copy(noise, training=False)) - np.asarray(model(noise, training=False))).max())
    if not error <= _TOLERANCE:
        raise ValueError(f"A folded model gives the logits of its original within {_TOLERANCE:g}. Received: {error:g}.")
    return copy


def _inputs(layer: keras.layers.Layer) -> list[Any]:
    """The tensors that a layer of a functional model takes."""
    return layer.input if isinstance(layer.input, list) else [layer.input]


def _folded_weights(
    convolution: keras.layers.Conv2D, normalisation: keras.layers.BatchNormalization
) -> tuple[np.ndarray, np.ndarray]:
    """The kernel (height, width, in, out) and bias (out,) that do both, float32."""
    kernel, *rest = (weights.astype(np.float64) for weights in convolution.get_weights())
    bias = rest[0] if rest else 0.0
    gamma, beta, mean, variance = (weights.astype(np.float64) for weights in normalisation.get_weights())
    scale = gamma / np.sqrt(variance + normalisation.epsilon)
    return (kernel * scale).astype(np.float32), ((bias - mean) * scale + beta).astype(np.float32)
