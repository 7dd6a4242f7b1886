"""The constants of the front ends: filterbanks and the cosine transform, as matrices."""

import math
from typing import NamedTuple

import librosa
import numpy as np
import numpy.typing as npt
from scipy.fft import dct

from training.config import FrontEndConfig

Matrix = npt.NDArray[np.float32]

LINE_BANDS_HZ = 250, 2_000, 3_800, 5_800, 7_400


def filterbank(config: FrontEndConfig, *, sample_rate: int) -> Matrix:
    """Triangular filters as a matrix, float32 (fft_samples // 2 + 1, bands), each of unit area in Hz.

    Of ``log_mel`` on Slaney's scale and with his normalisation, librosa's default; of all others spaced evenly, which
    keeps the upper half of the spectrum as fine as the lower (Müller et al. 2022, arXiv:2203.16263).

    Raises
    ------
    ValueError
        A band that is narrower than the bins, so that it holds none.
    """
    if config.kind == "log_mel":
        weights = librosa.filters.mel(
            sr=sample_rate,
            n_fft=config.fft_samples,
            n_mels=config.bands,
            fmin=config.min_hz,
            fmax=config.max_hz,
        )
    else:
        edges = np.linspace(config.min_hz, config.max_hz, config.bands + 2)
        bins = np.fft.rfftfreq(config.fft_samples, 1 / sample_rate)
        rising = (bins - edges[:-2, None]) / np.diff(edges)[:-1, None]
        falling = (edges[2:, None] - bins) / np.diff(edges)[1:, None]
        weights = np.maximum(0.0, np.minimum(rising, falling)) * 2 / (edges[2:] - edges[:-2])[:, None]
    empty = np.flatnonzero(weights.sum(axis=1) == 0)
    if empty.size:
        raise ValueError(
            f"Each band covers at least one of {config.fft_samples // 2 + 1} bins. "
            f"Received: {config.bands} bands, of which {empty.size} are empty; use fewer, or a longer FFT."
        )
    return np.ascontiguousarray(weights.T, dtype=np.float32)


def cosine_transform(bands: int, *, coefficients: int) -> Matrix:
    """The first coefficients of an orthonormal DCT-II as a matrix, float32 (bands, coefficients)."""
    return np.ascontiguousarray(dct(np.eye(bands), type=2, norm="ortho", axis=1)[:, :coefficients], dtype=np.float32)


def local_mean(bands: int, *, around: int) -> Matrix:
    """The mean of the `around` bands nearest to each as a matrix, float32 (bands, bands); of fewer at the edges."""
    apart = np.abs(np.subtract.outer(np.arange(bands), np.arange(bands)))
    near = (apart <= around // 2).astype(np.float32)
    return np.ascontiguousarray(near / near.sum(axis=0), dtype=np.float32)


class Lines(NamedTuple):
    """Where the lines of some rates are, when the frames of each bin are transformed over time."""

    bins: int  # the first of a spectrum, in which the lines are; a multiple of the cycle below
    centres: npt.NDArray[np.complex64]  # (cycle, frames): turn the middles of so many bins to 0 Hz, and so of the next
    cosines: Matrix  # (frames, frequencies): under a Hann window, of unit energy; of frequencies from 0 up
    sines: Matrix
    places: npt.NDArray[np.int32]  # (clocks, lines): of each among bins * (frequencies up, frequencies down)
    means: Matrix  # (lines, rates * bands): of the lines of a rate in a band
    counts: npt.NDArray[np.int64]  # (rates * bands,): of those lines, and 1 where there are none


def lines(config: FrontEndConfig, *, frames: int, sample_rate: int) -> Lines:
    """The multiples of `rates_hz` in `LINE_BANDS_HZ`, by clocks that are off by `clocks_ppm`.

    A bin's frames turn at the frequency of what is in it. Either way from the middle of the bin, frequencies stand half
    as far apart as the frames resolve: a line between two of them is heard 0.4 dB too low at most.
    """
    edges = np.array(LINE_BANDS_HZ)
    multiples = [rate * np.arange(1, edges[-1] // rate + 1) for rate in config.rates_hz]
    hertz = np.unique(np.concatenate(multiples).round(6))
    hertz = hertz[(hertz >= edges[0]) & (hertz < edges[-1])]
    heard = hertz * (1 + 1e-6 * np.array(config.clocks_ppm)[:, None])
    wide = sample_rate / config.fft_samples  # Hz, a bin
    bin_of = np.rint(heard / wide).astype(int)
    step_samples = round(config.step_seconds * sample_rate)
    step = step_samples / sample_rate
    cycle = config.fft_samples // math.gcd(config.fft_samples, step_samples)  # bins that turn a whole time in a step
    apart = 1 / (2 * frames * step)  # Hz
    frequency = np.rint((heard - bin_of * wide) / apart).astype(int)
    turning = np.arange(np.abs(frequency).max() + 1) * apart
    frequency = np.where(frequency >= 0, frequency, turning.size - frequency)
    times = step * np.arange(frames)
    window = np.hanning(frames + 2)[1:-1, None] / np.sqrt(np.sum(np.square(np.hanning(frames + 2))))
    angles = 2 * np.pi * np.outer(times, turning)
    band = np.searchsorted(edges, hertz, side="right") - 1
    of_rate = np.stack([np.isin(hertz, of.round(6)) for of in multiples], axis=1)
    member = (of_rate[:, :, None] & (band[:, None, None] == np.arange(edges.size - 1))).reshape(hertz.size, -1)
    counts = np.maximum(member.sum(axis=0), 1)
    return Lines(
        centres=np.exp(-2j * np.pi * np.outer(np.arange(cycle) * wide, times)).astype(np.complex64),
        cosines=np.asarray(window * np.cos(angles), np.float32),
        sines=np.asarray(window * np.sin(angles), np.float32),
        bins=-(-(int(bin_of.max()) + 1) // cycle) * cycle,
        places=np.asarray(bin_of * 2 * turning.size + frequency, np.int32),
        means=np.asarray(member / counts, np.float32),
        counts=counts,
    )


class Images(NamedTuple):
    """Which bins of a spectrum are images of which others, when something moves them by a rate."""

    transform: Matrix  # (frame_samples, 2 * bins): under Hann's window, cosines and sines, of the bins of all grids
    seldom_turned: npt.NDArray[np.complex64]  # (frames / some, bins): each of these times each of the next brings a
    turned: npt.NDArray[np.complex64]  # (some, bins): bin's middle to 0 Hz, whenever a frame begins
    bins: tuple[int, ...]  # of each grid
    pairs: tuple[npt.NDArray[np.int32], ...]  # of each grid, (2, pairs): the upper bin, and the lower
    mirrored: tuple[npt.NDArray[np.bool_], ...]  # (pairs,): it is the lower bin's negative frequency that is moved
    means: Matrix  # (all pairs, rates * bands): of the pairs of a rate in a band
    counts: npt.NDArray[np.int64]  # (rates * bands,): of those pairs, and 1 where there are none


def images(config: FrontEndConfig, *, frames: int, sample_rate: int) -> Images:
    """The pairs of bins that each rate of `moved` puts on each other, the upper one in `LINE_BANDS_HZ`."""
    frame_samples, step_samples = (
        round(seconds * sample_rate) for seconds in (config.frame_seconds, config.step_seconds)
    )
    edges = np.array(LINE_BANDS_HZ)
    hertz = [wide * np.arange(1, int(edges[-1] // wide) + 1) for wide, _ in config.moved]
    pairs, mirrored, places, rates = [], [], [], 0
    for (_, multiples), of_grid in zip(config.moved, hertz, strict=True):
        upper, multiple = np.meshgrid(np.arange(1, of_grid.size + 1), multiples)
        lower = upper - multiple
        heard = (of_grid[upper - 1] >= edges[0]) & (np.abs(lower) <= upper) & (lower != 0)
        pairs.append(np.stack([upper, np.abs(lower)])[:, heard].astype(np.int32) - 1)
        mirrored.append((lower < 0)[heard])
        rate = rates + np.arange(len(multiples))[:, None]
        band = np.searchsorted(edges, of_grid[upper - 1], side="right") - 1
        places.append((rate * (edges.size - 1) + band)[heard])
        rates += len(multiples)
    member = np.concatenate(places)[:, None] == np.arange(rates * (edges.size - 1))
    counts = np.maximum(member.sum(axis=0), 1)
    turns = np.outer(np.arange(frame_samples) / sample_rate, np.concatenate(hertz))
    window = np.hanning(frame_samples + 1)[:-1, None]
    some = max(n for n in range(1, math.isqrt(frames) + 1) if frames % n == 0)
    step_turns = -2j * np.pi * step_samples / sample_rate * np.concatenate(hertz)
    return Images(
        transform=np.asarray(
            np.concatenate([window * np.cos(2 * np.pi * turns), -window * np.sin(2 * np.pi * turns)], axis=1),
            np.float32,
        ),
        seldom_turned=np.exp(np.outer(np.arange(0, frames, some), step_turns)).astype(np.complex64),
        turned=np.exp(np.outer(np.arange(some), step_turns)).astype(np.complex64),
        bins=tuple(of_grid.size for of_grid in hertz),
        pairs=tuple(pairs),
        mirrored=tuple(mirrored),
        means=np.asarray(member / counts, np.float32),
        counts=counts,
    )
