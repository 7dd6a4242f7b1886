"""Made signals that nobody spoke, neither bonafide nor spoof: of none may a detector say bonafide.

They are what a line carries before anyone speaks: silence, hiss, hum, the network's tones, music on hold.
"""

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
import numpy.typing as npt

from model_store.detector import Waveform

Signal = npt.NDArray[np.float64]
Make = Callable[..., Signal]  # (rng, *, seconds, sample_rate) -> float64 (n,), of any level

VARIANTS = 8  # of each signal
_DBFS = (-10.0, -25.0, -40.0, -55.0)  # their RMS, in turn
_SECONDS = (2.0, 3.0, 5.0, 8.0)
_KEYPAD_HZ = ((697.0, 770.0, 852.0, 941.0), (1209.0, 1336.0, 1477.0, 1633.0))  # ITU-T Q.23
_RINGING_HZ = (440.0, 480.0)  # of North America, ITU-T E.180 supplement 2
_SCALE = 2 ** (np.array([0, 2, 4, 5, 7, 9, 11, 12]) / 12)  # major, in equal temperament


def variants(name: str, *, seed: int, sample_rate: int) -> Iterator[Waveform]:
    """The `VARIANTS` of one of `SIGNALS`: from -10 to -55 dBFS RMS, of 2 to 8 s, float32 (n,) within ±1."""
    for number in range(VARIANTS):
        rng = np.random.default_rng((seed, number))
        seconds = _SECONDS[(number + number // len(_DBFS)) % len(_SECONDS)]
        signal = SIGNALS[name](rng, seconds=seconds, sample_rate=sample_rate)
        yield _at_level(signal, dbfs=_DBFS[number % len(_DBFS)])


def random_window(rng: np.random.Generator, *, samples: int, sample_rate: int) -> Waveform:
    """Any of `SIGNALS`, at -10 to -55 dBFS RMS, float32 (samples,) within ±1: for training to learn from."""
    name = sorted(SIGNALS)[int(rng.integers(len(SIGNALS)))]
    signal = SIGNALS[name](rng, seconds=samples / sample_rate, sample_rate=sample_rate)
    return at_random_level(signal, rng)


def at_random_level(signal: Signal | Waveform, rng: np.random.Generator) -> Waveform:
    """A signal at -10 to -55 dBFS RMS, float32 (n,) within ±1; silence stays silent."""
    return _at_level(signal, dbfs=rng.uniform(_DBFS[-1], _DBFS[0]))


def coloured(rng: np.random.Generator, samples: int, *, exponent: float) -> Signal:
    """Gaussian noise whose power goes with frequency to the `exponent`: 0 is white, -1 pink, -2 brown."""
    spectrum = np.fft.rfft(rng.standard_normal(samples))
    return np.asarray(np.fft.irfft(spectrum * np.arange(1, spectrum.size + 1) ** (exponent / 2), samples))


def _at_level(signal: Signal | Waveform, *, dbfs: float) -> Waveform:
    rms = np.sqrt(np.mean(np.square(signal)))
    gain = 10 ** (dbfs / 20) / rms if rms > 0 else 0.0
    return np.clip(gain * signal, -1, 1).astype(np.float32)


def _noise(rng: np.random.Generator, *, seconds: float, sample_rate: int, exponent: float) -> Signal:
    return coloured(rng, round(seconds * sample_rate), exponent=exponent)


def _silence(rng: np.random.Generator, *, seconds: float, sample_rate: int) -> Signal:
    del rng
    return np.zeros(round(seconds * sample_rate))


def _speech_shaped(rng: np.random.Generator, *, seconds: float, sample_rate: int, syllables: bool) -> Signal:
    """Noise with the long-term spectrum of speech (roughly Byrne et al. 1994), and its syllables' envelope if asked."""
    t = _times(seconds, sample_rate)
    spectrum = np.fft.rfft(rng.standard_normal(t.size))
    hz = np.fft.rfftfreq(t.size, 1 / sample_rate)
    decibels = np.interp(hz, [0, 80, 200, 500, 1000, 2000, 4000, 8000], [-30, -12, 0, 0, -8, -14, -18, -24])
    shaped: Signal = np.fft.irfft(spectrum * 10 ** (decibels / 20), t.size)
    return np.asarray(shaped * (np.square(np.sin(np.pi * rng.uniform(3, 5) * t)) + 0.02)) if syllables else shaped


def _hum(rng: np.random.Generator, *, seconds: float, sample_rate: int, mains_hz: float) -> Signal:
    t = _times(seconds, sample_rate)
    hum = sum(np.sin(2 * np.pi * mains_hz * k * t + rng.uniform(0, 6)) / k for k in range(1, 12))
    return np.asarray(hum + 0.01 * rng.standard_normal(t.size))


def _tone(rng: np.random.Generator, *, seconds: float, sample_rate: int) -> Signal:
    return np.asarray(np.sin(2 * np.pi * rng.uniform(200, 3000) * _times(seconds, sample_rate)))


def _keypad(rng: np.random.Generator, *, seconds: float, sample_rate: int) -> Signal:
    """Digits of 100 ms, 100 ms apart."""
    t = _times(seconds, sample_rate)
    digit = (t / 0.2).astype(int)
    low, high = (rng.choice(row, digit[-1] + 1)[digit] for row in _KEYPAD_HZ)
    tones: Signal = np.sin(2 * np.pi * low * t) + np.sin(2 * np.pi * high * t)
    return tones * (t % 0.2 < 0.1)


def _ringing(rng: np.random.Generator, *, seconds: float, sample_rate: int) -> Signal:
    """One second of every two; the line hisses in between."""
    t = _times(seconds, sample_rate)
    tones: Signal = np.sum([np.sin(2 * np.pi * hz * t) for hz in _RINGING_HZ], axis=0)
    return tones * (t % 2 < 1) + 1e-3 * rng.standard_normal(t.size)


def _music(rng: np.random.Generator, *, seconds: float, sample_rate: int, notes_at_once: int, drums: bool) -> Signal:
    """Plucked notes of a scale, one or a chord each quarter of a second, with or without a drum on each."""
    out, step = np.zeros(round(seconds * sample_rate)), sample_rate // 4
    t = np.arange(4 * step) / sample_rate
    notes = [_pluck(hz, t) for hz in rng.uniform(110, 330) * _SCALE]
    for first in range(0, out.size, step):
        sound: Signal = np.sum([notes[i] for i in rng.choice(_SCALE.size, notes_at_once, replace=False)], axis=0)
        if drums:
            sound = sound + _drum(rng, t)
        out[first : first + t.size] += sound[: out.size - first]
    return out


def _pluck(hz: float, t: Signal) -> Signal:
    """A string's partials, the higher the sooner gone: sin(2π·hz·k·t) / k^1.5 · e^-(2 + k)t, k = 1 to 9."""
    turn, harmonic = np.exp((2j * np.pi * hz - 1) * t), np.exp(-2 * t) * np.minimum(1, t / 0.01)
    sound = np.zeros_like(t)
    for k in range(1, 10):  # each the one before, turned on: three times faster than as many sines
        harmonic = harmonic * turn
        sound += harmonic.imag / k**1.5
    return sound


def _drums(rng: np.random.Generator, *, seconds: float, sample_rate: int) -> Signal:
    out, step = np.zeros(round(seconds * sample_rate)), sample_rate // 4
    t = np.arange(step) / sample_rate
    for first in range(0, out.size, step):
        out[first : first + step] += _drum(rng, t)[: out.size - first]
    return out


def _drum(rng: np.random.Generator, t: Signal) -> Signal:
    """A bass drum's falling pitch or a snare's burst."""
    if rng.random() < 0.5:
        return 2 * np.sin(2 * np.pi * 8 * (1 - np.exp(-t * 12))) * np.exp(-t * 10)
    return rng.standard_normal(t.size) * np.exp(-t * 25)


def _times(seconds: float, sample_rate: int) -> Signal:
    return np.arange(round(seconds * sample_rate)) / sample_rate


SIGNALS: dict[str, Make] = {
    "digital silence": _silence,
    "white noise": partial(_noise, exponent=0),
    "pink noise": partial(_noise, exponent=-1),
    "brown noise": partial(_noise, exponent=-2),
    "noise shaped like speech": partial(_speech_shaped, syllables=False),
    "noise shaped like speech, in syllables": partial(_speech_shaped, syllables=True),
    "hum at 50 Hz": partial(_hum, mains_hz=50.0),
    "hum at 60 Hz": partial(_hum, mains_hz=60.0),
    "a tone": _tone,
    "keypad tones": _keypad,
    "ringing": _ringing,
    "arpeggios": partial(_music, notes_at_once=1, drums=False),
    "chords": partial(_music, notes_at_once=3, drums=False),
    "drums": _drums,
    "a band": partial(_music, notes_at_once=3, drums=True),
}
