"""Random changes to a training window: the mouth, the room, the handset and the level, before any line.

Each takes a waveform, float32 (n,), which it leaves as it is, and a generator; and gives as many samples, finite,
aligned (but for `speed`).
"""

import numpy as np
import numpy.typing as npt
from scipy import signal

from training import g711
from training.bands import resample

Waveform = npt.NDArray[np.float32]

_PERIOD = 1 << 13  # points of a hum's period


def speed(waveform: Waveform, rng: np.random.Generator, *, sample_rate: int) -> Waveform:
    """Played up to 10 % slower or faster, the pitch with it; begun again where it ends early, as a short clip is."""
    played = resample(waveform, sample_rate, round(sample_rate * rng.uniform(0.9, 1.1)))
    return np.resize(played, waveform.size)


def reverb(waveform: Waveform, rng: np.random.Generator, *, sample_rate: int) -> Waveform:
    """A small room: after the direct sound, noise that takes 0.1 to 0.5 s to fall by 60 dB, 0 to 20 dB down in all."""
    seconds, down_db = rng.uniform(0.1, 0.5), rng.uniform(0, 20)
    count = round(seconds * sample_rate)
    decay = np.power(np.float32(10), np.linspace(0, -3, count, dtype=np.float32))
    response = rng.standard_normal(count, np.float32) * decay
    response *= np.float32(10 ** (-down_db / 20)) / np.linalg.norm(response)
    response[0] = 1
    return np.asarray(signal.oaconvolve(waveform, response)[: waveform.size], np.float32)


def random_filter(waveform: Waveform, rng: np.random.Generator) -> Waveform:
    """A smooth random frequency response: a handset, a room's colour, a network's equaliser."""
    spectrum = np.fft.rfft(waveform)
    points = rng.integers(3, 10)
    decibels = np.interp(np.linspace(0, 1, spectrum.size), np.linspace(0, 1, points), rng.uniform(-12, 12, points))
    gain = np.power(10, np.divide(decibels, 20, dtype=np.float32), dtype=np.float32)
    return np.asarray(np.fft.irfft(spectrum * gain, waveform.size), np.float32)


def add_noise(waveform: Waveform, rng: np.random.Generator) -> Waveform:
    """Noise of a random colour (from white to brown) at a random signal-to-noise ratio of 10 to 40 dB."""
    spectrum = np.fft.rfft(rng.standard_normal(waveform.size, np.float32))
    slope = np.power(np.arange(1, spectrum.size + 1, dtype=np.float32), np.float32(-rng.uniform(0, 1)))
    noise = np.fft.irfft(spectrum * slope, waveform.size)
    ratio = 10 ** (-rng.uniform(10, 40) / 20)
    gain = ratio * np.sqrt(np.mean(waveform**2) / (np.mean(noise**2) + 1e-20))
    return np.add(waveform, np.float32(gain) * noise, dtype=np.float32)


def hum(waveform: Waveform, rng: np.random.Generator, *, sample_rate: int) -> Waveform:
    """The mains: multiples of 50 or 60 Hz up to some edge, or the buzz of what rectifies or dims them, at twice that.

    Lines fall with frequency or do not, and are 20 to 55 dB below the speech. Mains keep their frequency to 0.003 to
    0.1 % (standard deviations, drawn).
    """
    mains, buzzes = int(rng.choice([50, 60])), bool(rng.random() < 0.5)
    edge = rng.uniform(1_000, sample_rate / 2) if buzzes else 10 ** rng.uniform(2.5, np.log10(sample_rate / 2))
    rate = mains * (2 if buzzes else 1) * (1 + 10 ** rng.uniform(-4.5, -3) * float(rng.standard_normal()))
    lines = rate * np.arange(1, max(int(edge / rate), 1) + 1)
    decibels = -20 * rng.uniform(0, 1.5) * np.log10(lines / rate) + 5 * rng.standard_normal(lines.size)
    period = np.zeros(_PERIOD // 2 + 1, np.complex64)
    period[1 : lines.size + 1] = np.exp(2j * np.pi * rng.random(lines.size)) * 10 ** (decibels / 20)
    phases = rate / sample_rate * np.arange(waveform.size)
    added = np.asarray(
        np.interp(phases * _PERIOD, np.arange(_PERIOD), np.fft.irfft(period), period=_PERIOD), np.float32
    )
    ratio = 10 ** (-rng.uniform(20, 55) / 20)
    gain = ratio * np.sqrt(np.mean(waveform**2) / (np.mean(added**2) + 1e-20))
    return np.asarray(waveform + np.float32(gain) * added, np.float32)


def level(waveform: Waveform, rng: np.random.Generator) -> Waveform:
    """A peak of -40 to 0 dB of full scale, rounded to 16 bits."""
    return g711.from_int16(g711.to_int16(at_peak(waveform, decibels=rng.uniform(-40, 0))))


def at_peak(waveform: Waveform, *, decibels: float) -> Waveform:
    """Scaled to a peak in decibels of full scale; silence stays silent."""
    return waveform * np.float32(10 ** (decibels / 20) / (np.abs(waveform).max() + 1e-9))


def clip(waveform: Waveform, rng: np.random.Generator) -> Waveform:
    """Driven 1 to 12 dB beyond what passes: the peaks cut off, or as often bent (a hyperbolic tangent)."""
    ceiling = np.abs(waveform).max() * np.float32(10 ** (-rng.uniform(1, 12) / 20)) + np.float32(1e-9)
    if rng.random() < 0.5:
        return np.clip(waveform, -ceiling, ceiling)
    return np.asarray(np.tanh(waveform / ceiling) * ceiling, np.float32)
