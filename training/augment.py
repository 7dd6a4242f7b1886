"""Changes to a training window that must not change its label, drawn alike for both classes.

What they imitate is the way from a mouth to the service: rooms, handsets, levels, the telephone's bands, codecs and
lost packets. Whatever they do to one class they do as often to the other, so that none becomes a way to tell the
classes apart: nothing here knows a label.
"""

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import numpy.typing as npt

from training import bands, changes, channels, g711, packets
from training.config import AugmentConfig
from training.rawboost import rawboost

Waveform = npt.NDArray[np.float32]
Change = Callable[[Waveform, np.random.Generator], Waveform]

_TELEPHONE_RATE = 8_000
_OTHER_RATES = (8_000, 11_025, 12_000, 22_050, 24_000, 32_000)
_CODED_PEAK_DECIBELS = -40, -3  # of full scale; below, eight and thirteen bits leave little
_BANDS_HZ = ((300, 3_400), (0, 4_000), (0, 7_000))


def augment(waveform: Waveform, config: AugmentConfig, rng: np.random.Generator, *, sample_rate: int) -> Waveform:
    """Change a window at random.

    Parameters
    ----------
    waveform : float32 (n,), left as it is
    rng : numpy.random.Generator
        The same state gives the same window. A change of probability 0 draws nothing from it.

    Returns
    -------
    float32 (n,), finite; of another level than the waveform
    """
    steps: tuple[tuple[float, Change], ...] = (
        (config.speed, partial(changes.speed, sample_rate=sample_rate)),
        (config.reverb, partial(changes.reverb, sample_rate=sample_rate)),
        (config.filter, changes.random_filter),
        (config.noise, changes.add_noise),
        (config.hum, partial(changes.hum, sample_rate=sample_rate)),
        (config.rawboost, partial(rawboost, sample_rate=sample_rate, kind=config.rawboost_kind)),
        (config.level, changes.level),
        (config.clip, changes.clip),
        (config.resample, partial(resample, sample_rate=sample_rate)),
        (config.band_limit, partial(band_limit, sample_rate=sample_rate)),
        (config.narrowband, partial(narrowband, sample_rate=sample_rate)),
        (config.codec, partial(codec, sample_rate=sample_rate, names=config.codecs)),
        (config.packet_loss, partial(packet_loss, sample_rate=sample_rate)),
    )
    for probability, change in steps:
        if probability > 0 and rng.random() < probability:
            waveform = change(waveform, rng)
    return waveform


def resample(waveform: Waveform, rng: np.random.Generator, *, sample_rate: int) -> Waveform:
    """To another usual rate and back: by soxr's high quality, by its quickest, or by lines from sample to sample.

    What is quick leaves aliases and images, as cheap gateways do.
    """
    rate = int(rng.choice(_OTHER_RATES))
    quality: bands.Quality = "HQ" if rng.random() < 0.5 else "QQ" if rng.random() < 0.5 else "lines"
    return bands.there_and_back(waveform, sample_rate=sample_rate, at_hz=rate, quality=quality)


def band_limit(waveform: Waveform, rng: np.random.Generator, *, sample_rate: int) -> Waveform:
    """One of three bands: the telephone's, half of wideband's, and wideband telephony's upper edge."""
    low_hz, high_hz = _BANDS_HZ[int(rng.integers(len(_BANDS_HZ)))]
    return bands.band_limit(waveform, sample_rate=sample_rate, low_hz=low_hz, high_hz=high_hz)


def narrowband(waveform: Waveform, rng: np.random.Generator, *, sample_rate: int) -> Waveform:
    """To 8 kHz and back; half of the time through G.711 mu-law at a random level in between."""

    def mu_law(narrow: Waveform) -> Waveform:
        return g711.through(changes.at_peak(narrow, decibels=rng.uniform(*_CODED_PEAK_DECIBELS)), "mu")

    companded = mu_law if rng.random() < 0.5 else None
    return bands.there_and_back(waveform, companded, sample_rate=sample_rate, at_hz=_TELEPHONE_RATE)


def codec(waveform: Waveform, rng: np.random.Generator, *, sample_rate: int, names: Sequence[str]) -> Waveform:
    """Through one of the channels named, at a random level."""
    channel = channels.named(names[int(rng.integers(len(names)))])
    return channel.apply(
        changes.at_peak(waveform, decibels=rng.uniform(*_CODED_PEAK_DECIBELS)), sample_rate=sample_rate
    )


def packet_loss(waveform: Waveform, rng: np.random.Generator, *, sample_rate: int) -> Waveform:
    """Lose 1 to 15 % of the packets, in bursts of 1 to 3 on average; half of the time the receiver conceals it."""
    size = round(packets.PACKET_SECONDS * sample_rate)
    before = int(rng.integers(size))  # a window need not begin where a packet does
    shifted = np.pad(waveform, (before, 0))
    lost = packets.lost_packets(
        -(-shifted.size // size), rng, rate=rng.uniform(0.01, 0.15), mean_burst=rng.uniform(1, 3)
    )
    return packets.lose(shifted, lost, sample_rate=sample_rate, conceal=bool(rng.random() < 0.5))[before:]
