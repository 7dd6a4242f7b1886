"""What may happen to a clip before it arrives: transforms that must not move a verdict, and ones that may.

The first are the differences between one recording and the next that say nothing of who speaks: level, pauses, an
offset, the sign, a sample rate on the way. The second take something away or add something: a detector may be less
sure of what is left, and the audit says by how much.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from scipy.signal import fftconvolve

from model_store.detector import Waveform
from training import bands
from training.bands import there_and_back
from training.channels import CHANNELS, Change
from training.non_speech import coloured

Apply = Callable[..., Waveform]  # (waveform float32 (n,), rng, *, sample_rate) -> float32 (m,); a new one

_FULL_SCALE = 32_768
_FLOOR_DBFS = -75.0  # of a quiet line
_DIRECT_MS = 2.5  # of a room's response: what reaches the microphone first


@dataclass(frozen=True, slots=True, kw_only=True)
class Transform:
    """A change to a clip, in the words of a report."""

    words: str
    matters: bool  # whether a verdict may change with it
    apply: Apply


def level(waveform: Waveform, _: np.random.Generator, *, sample_rate: int, decibels: float) -> Waveform:
    """Louder or quieter, in float: nothing is clipped or rounded."""
    del sample_rate
    return waveform * np.float32(10 ** (decibels / 20))


def level_16_bit(waveform: Waveform, _: np.random.Generator, *, sample_rate: int, decibels: float) -> Waveform:
    """Louder or quieter, and rounded to 16 bits; louder at most until the peak is at full scale."""
    del sample_rate
    most = (1 - 1 / _FULL_SCALE) / max(float(np.abs(waveform).max()), 1e-9)
    return _rounded(waveform * np.float32(min(10 ** (decibels / 20), most)))


def silence(
    waveform: Waveform, rng: np.random.Generator, *, sample_rate: int, before: float, after: float, dbfs: float | None
) -> Waveform:
    """So many seconds of silence before and after: digital silence, or white noise of an RMS of `dbfs`."""
    parts = []
    for seconds in (before, after):
        quiet = np.zeros(round(seconds * sample_rate), np.float32)
        if dbfs is not None:
            quiet += rng.standard_normal(quiet.size, np.float32) * np.float32(10 ** (dbfs / 20))
        parts.append(quiet)
    return np.concatenate([parts[0], waveform, parts[1]])


def offset(waveform: Waveform, _: np.random.Generator, *, sample_rate: int, fraction: float) -> Waveform:
    """A constant, as a fraction of full scale: a cheap converter's."""
    del sample_rate
    return waveform + np.float32(fraction)


def invert(waveform: Waveform, _: np.random.Generator, *, sample_rate: int) -> Waveform:
    """The other polarity: which way round a microphone is wired."""
    del sample_rate
    return -waveform


def through(waveform: Waveform, _: np.random.Generator, *, sample_rate: int, change: Change) -> Waveform:
    """What a channel makes of it."""
    return change(waveform, sample_rate=sample_rate)


def gateway(waveform: Waveform, _: np.random.Generator, *, sample_rate: int, at_hz: int) -> Waveform:
    """To another rate, and back by straight lines from sample to sample, which leave images of the lower band."""
    there = bands.resample(waveform, sample_rate, at_hz)
    return bands.fit(bands.resample(there, at_hz, sample_rate, quality="lines"), waveform.size)


def trim(waveform: Waveform, _: np.random.Generator, *, sample_rate: int, seconds: float) -> Waveform:
    """Shorter by so many seconds at both ends, or by a tenth of the clip if that is less."""
    cut = min(round(seconds * sample_rate), waveform.size // 10)
    return waveform[cut : waveform.size - cut]


def twice(waveform: Waveform, _: np.random.Generator, *, sample_rate: int) -> Waveform:
    """The clip, and the clip again."""
    del sample_rate
    return np.tile(waveform, 2)


def shift(waveform: Waveform, _: np.random.Generator, *, sample_rate: int) -> Waveform:
    """Without its first sample."""
    del sample_rate
    return waveform[1:]


def dither(waveform: Waveform, rng: np.random.Generator, *, sample_rate: int) -> Waveform:
    """Rounded to 16 bits with triangular dither of two steps."""
    del sample_rate
    steps = rng.random((2, waveform.size), np.float32).sum(axis=0) - 1
    return _rounded(waveform + steps / _FULL_SCALE)


def noise(
    waveform: Waveform, rng: np.random.Generator, *, sample_rate: int, decibels: float, exponent: float
) -> Waveform:
    """With noise at a signal-to-noise ratio in decibels; power falls as frequency to the `exponent`."""
    del sample_rate
    added = coloured(rng, waveform.size, exponent=exponent)
    gain = _rms(waveform) * 10 ** (-decibels / 20) / _rms(added)
    return np.add(waveform, gain * added, dtype=np.float32)


def hum(
    waveform: Waveform, _: np.random.Generator, *, sample_rate: int, hertz: float, up_to: float, decibels: float
) -> Waveform:
    """With multiples of a frequency, that fall as one over their number, so many decibels below the clip."""
    t = np.arange(waveform.size) / sample_rate
    added = np.zeros(t.size)
    for k in range(1, int(up_to / hertz) + 1):
        added += np.sin(2 * np.pi * k * hertz * t + k * k) / k
    return np.add(waveform, _rms(waveform) * 10 ** (-decibels / 20) / _rms(added) * added, dtype=np.float32)


def room(waveform: Waveform, rng: np.random.Generator, *, sample_rate: int, seconds: float) -> Waveform:
    """In a room whose sound falls by 60 dB in so many seconds; direct and diffuse sound as loud; level kept.

    White noise that decays exponentially stands for the diffuse sound (Polack 1988).
    """
    t = np.arange(round(seconds * sample_rate)) / sample_rate
    diffuse = rng.standard_normal(t.size) * 10 ** (-3 * t / seconds)
    diffuse[: round(_DIRECT_MS / 1000 * sample_rate)] = 0
    response = diffuse / np.sqrt(np.sum(np.square(diffuse)))
    response[0] = 1.0
    wet = fftconvolve(waveform, response)[: waveform.size]
    return np.asarray(wet * (_rms(waveform) / _rms(wet)), np.float32)


def clip_peaks(waveform: Waveform, _: np.random.Generator, *, sample_rate: int, share: float) -> Waveform:
    """Clipped so that this share of the samples is at the peak."""
    del sample_rate
    peak = np.quantile(np.abs(waveform), 1 - share)
    return np.clip(waveform, -peak, peak).astype(np.float32)


def _rounded(waveform: Waveform) -> Waveform:
    steps = np.clip(np.round(waveform * _FULL_SCALE), -_FULL_SCALE, _FULL_SCALE - 1)
    return np.divide(steps, _FULL_SCALE, dtype=np.float32)


def _rms(waveform: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(waveform, dtype=np.float64)))) + 1e-9


def _silence(words: str, *, before: float = 0.0, after: float = 0.0, dbfs: float | None = None) -> Transform:
    return _still(words, partial(silence, before=before, after=after, dbfs=dbfs))


def _still(words: str, apply: Apply) -> Transform:
    return Transform(words=words, matters=False, apply=apply)


def _moves(words: str, apply: Apply) -> Transform:
    return Transform(words=words, matters=True, apply=apply)


TRANSFORMS: dict[str, Transform] = {
    "level_up": _still("20 dB louder, in float", partial(level, decibels=20)),
    "level_down": _still("20 dB quieter, in float", partial(level, decibels=-20)),
    "level_up_16": _still("20 dB louder or to full scale, 16-bit", partial(level_16_bit, decibels=20)),
    "level_down_16": _still("20 dB quieter, 16-bit", partial(level_16_bit, decibels=-20)),
    "silence_before": _silence("0.5 s of digital silence before", before=0.5),
    "silence_after": _silence("0.5 s of digital silence after", after=0.5),
    "silence_around": _silence("0.5 s of digital silence before and after", before=0.5, after=0.5),
    "floor_before": _silence("0.5 s of noise at -75 dBFS before", before=0.5, dbfs=_FLOOR_DBFS),
    "floor_after": _silence("0.5 s of noise at -75 dBFS after", after=0.5, dbfs=_FLOOR_DBFS),
    "offset": _still("DC offset of 1 % of full scale", partial(offset, fraction=0.01)),
    "polarity": _still("polarity inverted", invert),
    "rate_44100": _still("to 44.1 kHz and back", partial(through, change=partial(there_and_back, at_hz=44_100))),
    "rate_48000": _still("to 48 kHz and back", partial(through, change=partial(there_and_back, at_hz=48_000))),
    "gateway_8000": _moves("to 8 kHz, and back by straight lines", partial(gateway, at_hz=8_000)),
    "gateway_12000": _moves("to 12 kHz, and back by straight lines", partial(gateway, at_hz=12_000)),
    "trim_50": _still("50 ms off both ends", partial(trim, seconds=0.05)),
    "trim_100": _still("100 ms off both ends", partial(trim, seconds=0.1)),
    "twice": _still("the clip twice", twice),
    "shift": _still("one sample later", shift),
    "dither": _still("16-bit dither", dither),
    "hum_50": _still("hum at 50 Hz, 30 dB below", partial(hum, hertz=50, up_to=1_000, decibels=30)),
    "hum_60": _still("hum at 60 Hz, 30 dB below", partial(hum, hertz=60, up_to=1_000, decibels=30)),
    "buzz_100": _moves("buzz at 100 Hz up to 7 kHz, 40 dB below", partial(hum, hertz=100, up_to=7_000, decibels=40)),
    "buzz_120": _moves("buzz at 120 Hz up to 7 kHz, 40 dB below", partial(hum, hertz=120, up_to=7_000, decibels=40)),
    "pink_30": _moves("pink noise at 30 dB SNR", partial(noise, decibels=30, exponent=-1)),
    "pink_20": _moves("pink noise at 20 dB SNR", partial(noise, decibels=20, exponent=-1)),
    "pink_10": _moves("pink noise at 10 dB SNR", partial(noise, decibels=10, exponent=-1)),
    "pink_0": _moves("pink noise at 0 dB SNR", partial(noise, decibels=0, exponent=-1)),
    "white_20": _moves("white noise at 20 dB SNR", partial(noise, decibels=20, exponent=0)),
    "room_300": _moves("a room of 0.3 s reverberation", partial(room, seconds=0.3)),
    "room_800": _moves("a room of 0.8 s reverberation", partial(room, seconds=0.8)),
    "clipped": _moves("1 % of the samples clipped", partial(clip_peaks, share=0.01)),
    **{
        name: _moves(channel.words, partial(through, change=channel.apply))
        for name, channel in CHANNELS.items()
        if name != "original"
    },
}
