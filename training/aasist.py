"""AASIST: graph attention over the bands and over the frames of one spectrogram, and between the two.

Jung et al. 2022, "AASIST: Audio Anti-Spoofing using Integrated Spectro-Temporal Graph Attention Networks", ICASSP,
arXiv:2110.01200, down to what the authors' published weights assume. Layers with weights are named as their checkpoint
names them, so that `training.import_aasist` finds each. Everything is a stock layer or one of `keras.ops`.
"""

from collections.abc import Sequence
from typing import Any

import keras
from keras import layers, ops

from training.sinc import sinc_filters

SINC = "sinc"  # the name of the frozen layer
WINDOW_SAMPLES = 64_600
SAMPLE_RATE = 16_000

AASIST: dict[str, Any] = {
    "channels": (32, 32, 64, 64, 64, 64),
    "gat_dims": (64, 32),
    "pool_ratios": (0.5, 0.7, 0.5),
    "temperatures": (2.0, 2.0, 100.0),
}
AASIST_L: dict[str, Any] = {
    "channels": (32, 32, 24, 24, 24, 24),
    "gat_dims": (24, 32),
    "pool_ratios": (0.4, 0.5, 0.7),
    "temperatures": (2.0, 2.0, 100.0),
}


def aasist(
    waveform: keras.KerasTensor,
    *,
    sample_rate: int = SAMPLE_RATE,
    sinc_bands: int = 70,
    sinc_taps: int = 129,
    channels: Sequence[int] = AASIST["channels"],
    gat_dims: Sequence[int] = AASIST["gat_dims"],
    pool_ratios: Sequence[float] = AASIST["pool_ratios"],
    temperatures: Sequence[float] = AASIST["temperatures"],
) -> keras.KerasTensor:
    """The whole network.

    Parameters
    ----------
    waveform : (batch, samples); 3 ** (1 + len(channels)) frames of it at least, 64,600 samples in the paper
    channels : of each residual block
    gat_dims : of a node, in the graphs of one kind and in those of both
    pool_ratios : of the nodes that pooling keeps: of the bands', of the frames', and of both in the graphs of both
    temperatures : of the softmax of attention, likewise

    Returns
    -------
    logit (batch, 1), higher is bonafide: the second of the authors' two outputs
    """
    spectrogram = _residual_blocks(_sinc(waveform, sinc_bands, sinc_taps, sample_rate), channels)
    magnitude = ops.abs(spectrogram)
    bands = ops.max(magnitude, axis=1)  # (batch, bands, channels)
    bands = layers.Add()([bands, _learned(bands, bands.shape[1], name="pos_S")])
    frames = ops.max(magnitude, axis=2)  # (batch, frames, channels)

    width, mixed = gat_dims
    of_bands, of_frames, of_both = pool_ratios
    bands = _attention(bands, width, temperatures[0], name="GAT_layer_S")
    bands = _pool(bands, of_bands, name="pool_S")
    frames = _attention(frames, width, temperatures[1], name="GAT_layer_T")
    frames = _pool(frames, of_frames, name="pool_T")

    branches = []
    for n in (1, 2):
        master = _learned(frames, 1, width=width, name=f"master{n}")
        f, b, m = _mixed_attention(frames, bands, master, mixed, temperatures[2], name=f"HtrgGAT_layer_ST{n}1")
        b = _pool(b, of_both, name=f"pool_hS{n}")
        f = _pool(f, of_both, name=f"pool_hT{n}")
        more = _mixed_attention(f, b, m, mixed, temperatures[2], name=f"HtrgGAT_layer_ST{n}2")
        branches.append([layers.Dropout(0.2)(layers.Add()([x, y])) for x, y in zip((f, b, m), more, strict=True)])
    frames, bands, master = (layers.Maximum()([x, y]) for x, y in zip(*branches, strict=True))

    readout = [
        reduced for nodes in (frames, bands) for reduced in (ops.max(ops.abs(nodes), axis=1), ops.mean(nodes, axis=1))
    ]
    hidden = layers.Concatenate()([*readout, ops.squeeze(master, axis=1)])
    return layers.Dense(1, name="out_layer")(layers.Dropout(0.5)(hidden))


def _sinc(waveform: keras.KerasTensor, bands: int, taps: int, sample_rate: int) -> keras.KerasTensor:
    """waveform (batch, samples) -> magnitudes (batch, frames, bands, 1), each the largest of 3 by 3."""
    filters = layers.Conv1D(bands, taps, use_bias=False, trainable=False, name=SINC)
    x = ops.abs(filters(ops.expand_dims(waveform, axis=-1)))
    filters.set_weights([sinc_filters(bands=bands, taps=taps, sample_rate=sample_rate)[:, None, :]])
    x = layers.MaxPooling2D(3)(ops.expand_dims(x, axis=-1))
    return layers.Activation("selu")(_normalised(x, name="first_bn"))


def _residual_blocks(x: keras.KerasTensor, channels: Sequence[int]) -> keras.KerasTensor:
    """Blocks of two convolutions around which the input is added again; each leaves a third of the frames.

    The authors normalise the input of a block too (``bn1``) but go on without the result; so do the weights.
    """
    for n, width in enumerate(channels):
        name = f"encoder.{n}.0"
        y = layers.Conv2D(width, (3, 2), name=f"{name}.conv1")(layers.ZeroPadding2D(1)(x))
        y = layers.Activation("selu")(_normalised(y, name=f"{name}.bn2"))
        y = layers.Conv2D(width, (3, 2), name=f"{name}.conv2")(layers.ZeroPadding2D((1, 0))(y))
        if x.shape[-1] != width:
            x = layers.Conv2D(width, (3, 1), padding="same", name=f"{name}.conv_downsample")(x)
        x = layers.MaxPooling2D((3, 1))(layers.Add()([y, x]))
    return x


def _attention(nodes: keras.KerasTensor, width: int, temperature: float, *, name: str) -> keras.KerasTensor:
    """Graph attention among nodes of one kind: (batch, nodes, channels) -> (batch, nodes, width)."""
    nodes = layers.Dropout(0.2)(nodes)
    weights = layers.Dense(1, use_bias=False, kernel_initializer="glorot_normal", name=f"{name}.att_weight")(
        _pairs(nodes, width, name=name)
    )
    return _projected(nodes, ops.squeeze(weights, axis=-1) / temperature, width, name=name)


def _mixed_attention(
    frames: keras.KerasTensor,
    bands: keras.KerasTensor,
    master: keras.KerasTensor,
    width: int,
    temperature: float,
    *,
    name: str,
) -> tuple[keras.KerasTensor, keras.KerasTensor, keras.KerasTensor]:
    """Graph attention among nodes of both kinds, and from all of them to a master node (batch, 1, channels).

    Two frames, two bands, and a frame and a band each have an attention of their own.
    """
    count = frames.shape[1]
    frames = layers.Dense(frames.shape[-1], name=f"{name}.proj_type1")(frames)
    bands = layers.Dense(bands.shape[-1], name=f"{name}.proj_type2")(bands)
    nodes = layers.Dropout(0.2)(layers.Concatenate(axis=1)([frames, bands]))

    def weigh(pairs: keras.KerasTensor, kind: str) -> keras.KerasTensor:
        weight = layers.Dense(1, use_bias=False, kernel_initializer="glorot_normal", name=f"{name}.att_weight{kind}")
        return ops.squeeze(weight(pairs), axis=-1)

    of_frames, of_bands = ops.split(_pairs(nodes, width, name=name), [count], axis=1)
    of_frames, across = ops.split(of_frames, [count], axis=2)
    _, of_bands = ops.split(of_bands, [count], axis=2)
    crossed = weigh(across, "12")  # a frame and a band are the same pair as the band and the frame
    upper = ops.concatenate([weigh(of_frames, "11"), crossed], axis=2)
    lower = ops.concatenate([ops.transpose(crossed, (0, 2, 1)), weigh(of_bands, "22")], axis=2)
    scores = ops.concatenate([upper, lower], axis=1) / temperature

    to_master = layers.Dense(width, activation="tanh", name=f"{name}.att_projM")(nodes * master)
    attention = ops.softmax(weigh(to_master, "M") / temperature, axis=-1)
    heard = ops.matmul(ops.expand_dims(attention, axis=1), nodes)
    master = layers.Add()(
        [
            layers.Dense(width, name=f"{name}.proj_with_attM")(heard),
            layers.Dense(width, name=f"{name}.proj_without_attM")(master),
        ]
    )
    frames, bands = ops.split(_projected(nodes, scores, width, name=name), [count], axis=1)
    return frames, bands, master


def _pairs(nodes: keras.KerasTensor, width: int, *, name: str) -> keras.KerasTensor:
    """What attention looks at, for each pair of nodes: (batch, nodes, nodes, width), symmetric."""
    products = ops.expand_dims(nodes, axis=2) * ops.expand_dims(nodes, axis=1)
    return layers.Dense(width, activation="tanh", name=f"{name}.att_proj")(products)


def _projected(nodes: keras.KerasTensor, scores: keras.KerasTensor, width: int, *, name: str) -> keras.KerasTensor:
    """Each node's neighbours by the softmax of its scores (batch, nodes, nodes), and itself: (batch, nodes, width)."""
    heard = ops.matmul(ops.softmax(scores, axis=-1), nodes)
    with_attention = layers.Dense(width, name=f"{name}.proj_with_att")(heard)
    without = layers.Dense(width, name=f"{name}.proj_without_att")(nodes)
    return layers.Activation("selu")(_normalised(layers.Add()([with_attention, without]), name=f"{name}.bn"))


def _pool(nodes: keras.KerasTensor, ratio: float, *, name: str) -> keras.KerasTensor:
    """The nodes of the highest weights, in their order, each times its weight: (batch, kept, channels).

    The order matters: the two branches are compared node by node.
    """
    kept = max(int(nodes.shape[1] * ratio), 1)
    weights = layers.Dense(1, activation="sigmoid", name=f"{name}.proj")(layers.Dropout(0.3)(nodes))
    _, places = ops.top_k(ops.squeeze(weights, axis=-1), kept)
    return ops.matmul(ops.one_hot(places, nodes.shape[1]), nodes * weights)


def _learned(like: keras.KerasTensor, count: int, *, name: str, width: int | None = None) -> keras.KerasTensor:
    """Weights that no input changes, for each clip of the batch: (batch, count, width).

    A stock layer has to hold them, and an embedding of 0, 1, .. is one.
    """
    places = ops.cumsum(ops.ones_like(like[:, :count, 0], dtype="int32"), axis=1) - 1
    normal = keras.initializers.RandomNormal(stddev=1.0)
    return layers.Embedding(count, width or like.shape[-1], embeddings_initializer=normal, name=name)(places)


def _normalised(x: keras.KerasTensor, *, name: str) -> keras.KerasTensor:
    """Batch normalisation as PyTorch does it by default; its momentum of 0.1 is 0.9 here."""
    return layers.BatchNormalization(momentum=0.9, epsilon=1e-5, name=name)(x)
