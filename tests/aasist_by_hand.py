"""AASIST a second time, in NumPy, node by node and from the checkpoint's own tensors: the oracle of `training.aasist`.

Bands come before frames here, as in the paper; attention is a loop over pairs of nodes.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.signal

Array = npt.NDArray[np.float64]


class ByHand:
    """The network of a state dict."""

    def __init__(self, tensors: Mapping[str, npt.NDArray[Any]], options: Mapping[str, Any]) -> None:
        self.t = {name: values.astype(np.float64) for name, values in tensors.items()}
        self.options = options

    def logits(self, waveform: npt.NDArray[np.float32]) -> Array:
        """Both outputs, of spoof and of bonafide."""
        return self.decided(self.encoded(waveform))

    def decided(self, encoded: Array) -> Array:
        """Both outputs, from what `encoded` gives."""
        e = np.abs(encoded)
        bands = self.attend(e.max(axis=2).T + self.t["pos_S"][0], "GAT_layer_S", self.options["temperatures"][0])
        frames = self.attend(e.max(axis=1).T, "GAT_layer_T", self.options["temperatures"][1])
        of_bands, of_frames, of_both = self.options["pool_ratios"]
        bands, frames = self.pool(bands, "pool_S", of_bands), self.pool(frames, "pool_T", of_frames)
        branches = []
        for n in "12":
            f, b, m = self.mix(frames, bands, self.t[f"master{n}"][0, 0], f"HtrgGAT_layer_ST{n}1")
            b, f = self.pool(b, f"pool_hS{n}", of_both), self.pool(f, f"pool_hT{n}", of_both)
            f2, b2, m2 = self.mix(f, b, m, f"HtrgGAT_layer_ST{n}2")
            branches.append((f + f2, b + b2, m + m2))
        frames, bands, master = (np.maximum(x, y) for x, y in zip(*branches, strict=True))
        hidden = [np.abs(frames).max(axis=0), frames.mean(axis=0), np.abs(bands).max(axis=0), bands.mean(axis=0)]
        return self.linear(np.concatenate([*hidden, master]), "out_layer")

    def encoded(self, waveform: npt.NDArray[np.float32]) -> Array:
        """(channels, bands, frames)"""
        x = np.abs([np.convolve(waveform, taps, "valid") for taps in band_passes()])
        bands, frames = x.shape[0] // 3, x.shape[1] // 3
        x = x[: 3 * bands, : 3 * frames].reshape(bands, 3, frames, 3).max(axis=(1, 3))[None]
        x = selu(self.normalise(x, "first_bn"))
        for n in range(len(self.options["channels"])):
            y = self.convolve(np.pad(x, ((0, 0), (1, 1), (1, 1))), f"encoder.{n}.0.conv1")
            y = selu(self.normalise(y, f"encoder.{n}.0.bn2"))
            y = self.convolve(np.pad(y, ((0, 0), (0, 0), (1, 1))), f"encoder.{n}.0.conv2")
            if f"encoder.{n}.0.conv_downsample.weight" in self.t:
                x = self.convolve(np.pad(x, ((0, 0), (0, 0), (1, 1))), f"encoder.{n}.0.conv_downsample")
            y = y + x
            frames = y.shape[2] // 3
            x = y[:, :, : 3 * frames].reshape(*y.shape[:2], frames, 3).max(axis=3)
        return x

    def attend(self, nodes: Array, name: str, temperature: float) -> Array:
        """Attention among nodes (nodes, channels) of one kind."""

        def weigh(i: int, j: int) -> float:
            pair = np.tanh(self.linear(nodes[i] * nodes[j], f"{name}.att_proj"))
            return float(pair @ self.t[f"{name}.att_weight"][:, 0])

        return self.project(nodes, weigh, name, temperature)

    def mix(self, frames: Array, bands: Array, master: Array, name: str) -> tuple[Array, Array, Array]:
        """Attention among nodes of both kinds, and the master node's to all."""
        temperature = self.options["temperatures"][2]
        frames, bands = self.linear(frames, f"{name}.proj_type1"), self.linear(bands, f"{name}.proj_type2")
        nodes = np.concatenate([frames, bands])

        def weigh(i: int, j: int) -> float:
            kind = {(True, True): "11", (False, False): "22"}.get((i < len(frames), j < len(frames)), "12")
            pair = np.tanh(self.linear(nodes[i] * nodes[j], f"{name}.att_proj"))
            return float(pair @ self.t[f"{name}.att_weight{kind}"][:, 0])

        to_master = np.tanh(self.linear(nodes * master, f"{name}.att_projM")) @ self.t[f"{name}.att_weightM"]
        heard = softmax(to_master[:, 0] / temperature) @ nodes
        after = self.project(nodes, weigh, name, temperature)
        return (
            after[: len(frames)],
            after[len(frames) :],
            self.linear(heard, f"{name}.proj_with_attM") + self.linear(master, f"{name}.proj_without_attM"),
        )

    def project(self, nodes: Array, weigh: Any, name: str, temperature: float) -> Array:
        count = len(nodes)
        attention = [softmax(np.array([weigh(i, j) for j in range(count)]) / temperature) for i in range(count)]
        heard = np.array(attention) @ nodes
        both = self.linear(heard, f"{name}.proj_with_att") + self.linear(nodes, f"{name}.proj_without_att")
        return selu(self.normalise(both.T, f"{name}.bn").T)

    def pool(self, nodes: Array, name: str, ratio: float) -> Array:
        weights = 1 / (1 + np.exp(-self.linear(nodes, f"{name}.proj")))
        kept = np.argsort(-weights[:, 0], kind="stable")[: max(int(len(nodes) * ratio), 1)]
        return nodes[kept] * weights[kept]

    def linear(self, x: Array, name: str) -> Array:
        return x @ self.t[f"{name}.weight"].T + self.t[f"{name}.bias"]

    def convolve(self, x: Array, name: str) -> Array:
        kernel = self.t[f"{name}.weight"]
        planes = [
            sum(scipy.signal.correlate2d(plane, taps, "valid") for plane, taps in zip(x, filters, strict=True))
            for filters in kernel
        ]
        return np.array(planes) + self.t[f"{name}.bias"][:, None, None]

    def normalise(self, x: Array, name: str) -> Array:
        """x (channels, ..)"""
        weight, bias, mean, variance = (
            self.t[f"{name}.{part}"].reshape(-1, *[1] * (x.ndim - 1))
            for part in ("weight", "bias", "running_mean", "running_var")
        )
        return (x - mean) / np.sqrt(variance + 1e-5) * weight + bias


def band_passes(*, bands: int = 70, taps: int = 129, sample_rate: int = 16_000) -> Sequence[Array]:
    """The sinc filters by SciPy, each (taps,)."""
    highest = 2595 * np.log10(1 + sample_rate / 2 / 700)
    edges = 700 * (10 ** (np.linspace(0, highest, bands + 1) / 2595) - 1)
    settings = {"window": "hamming", "scale": False, "fs": sample_rate}
    return [
        scipy.signal.firwin(taps, edges[1], **settings),
        *(scipy.signal.firwin(taps, pair, pass_zero=False, **settings) for pair in pairwise(edges[1:-1])),
        scipy.signal.firwin(taps, edges[-2], pass_zero=False, **settings),
    ]


def selu(x: Array) -> Array:
    """Klambauer et al. 2017, arXiv:1706.02515."""
    return 1.0507009873554805 * np.where(x > 0, x, 1.6732632423543772 * np.expm1(np.minimum(x, 0)))


def softmax(x: Array) -> Array:
    powers = np.exp(x - x.max())
    return powers / powers.sum()
