"""WORLD: a voice as pitch, envelope and aperiodicity, taken apart, changed and put together again.

Reference: M. Morise, F. Yokomori, K. Ozawa, "WORLD: a vocoder-based high-quality speech synthesis system for real-time
applications", IEICE Trans. Inf. & Syst. E99-D (2016). Pitch is DIO's, refined by StoneMask: Harvest takes ten times
as long.
"""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pyworld
from scipy.ndimage import gaussian_filter1d

Waveform = npt.NDArray[np.float32]
Array = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Voice:
    """What WORLD hears in a waveform, in frames of `period_ms`."""

    f0: Array  # Hz, (frames,), 0 where unvoiced
    envelope: Array  # power, (frames, bins)
    aperiodicity: Array  # 0 to 1, (frames, bins)
    period_ms: float


def analyse(waveform: Waveform, *, sample_rate: int, period_ms: float = 5.0) -> Voice:
    """Take a waveform, float32 (n,), apart."""
    samples = waveform.astype(np.float64)
    f0, times = track_pitch(waveform, sample_rate=sample_rate, period_ms=period_ms)
    envelope = pyworld.cheaptrick(samples, f0, times, sample_rate)
    return Voice(f0, envelope, pyworld.d4c(samples, f0, times, sample_rate), period_ms)


def track_pitch(waveform: Waveform, *, sample_rate: int, period_ms: float) -> tuple[Array, Array]:
    """Pitch in Hz, 0 where unvoiced, and the frames' times in seconds: both float64 (frames,)."""
    samples = waveform.astype(np.float64)
    coarse, times = pyworld.dio(samples, sample_rate, frame_period=period_ms)
    return pyworld.stonemask(samples, coarse, times, sample_rate), times


def synthesise(voice: Voice, *, sample_rate: int) -> Waveform:
    """Put a voice together again: float32, as long as its frames."""
    f0, envelope, aperiodicity = map(np.ascontiguousarray, (voice.f0, voice.envelope, voice.aperiodicity))
    return np.asarray(pyworld.synthesize(f0, envelope, aperiodicity, sample_rate, voice.period_ms), np.float32)


def plain(waveform: Waveform, *, sample_rate: int, rng: np.random.Generator) -> Waveform:
    """Take apart and put together, in frames of 5 or 10 ms."""
    return synthesise(analyse(waveform, sample_rate=sample_rate, period_ms=_period(rng)), sample_rate=sample_rate)


def repitched(waveform: Waveform, *, sample_rate: int, rng: np.random.Generator) -> Waveform:
    """Another melody: higher or lower by 1 to 5 semitones, of another range, or smoothed as a model predicts it."""
    voice = analyse(waveform, sample_rate=sample_rate, period_ms=_period(rng))
    f0 = change_pitch(
        voice.f0,
        semitones=rng.choice([-1, 1]) * rng.uniform(1, 5),
        span=rng.choice([0.0, rng.uniform(0.2, 0.8), 1.0, rng.uniform(1.2, 1.6)]),
        smooth_frames=rng.choice([0.0, rng.uniform(2, 12)]),
    )
    return synthesise(replace(voice, f0=f0), sample_rate=sample_rate)


def reshaped(waveform: Waveform, *, sample_rate: int, rng: np.random.Generator) -> Waveform:
    """Another throat: formants moved by 5 to 20 %, half of the time with the pitch."""
    voice = analyse(waveform, sample_rate=sample_rate, period_ms=_period(rng))
    factor = rng.uniform(1.05, 1.2) ** rng.choice([-1, 1])
    semitones = rng.choice([0.0, 12 * np.log2(factor)])
    return synthesise(
        replace(
            voice,
            f0=change_pitch(voice.f0, semitones=semitones, span=1.0, smooth_frames=0.0),
            envelope=warp(voice.envelope, factor=factor),
            aperiodicity=warp(voice.aperiodicity, factor=factor),
        ),
        sample_rate=sample_rate,
    )


def statistical(waveform: Waveform, *, sample_rate: int, rng: np.random.Generator) -> Waveform:
    """As parametric synthesis has it: few cepstral coefficients, smoothed in time, and a coarse aperiodicity."""
    voice = analyse(waveform, sample_rate=sample_rate, period_ms=5.0)
    size = 2 * (voice.envelope.shape[1] - 1)
    coded = pyworld.code_spectral_envelope(voice.envelope, sample_rate, int(rng.integers(20, 50)))
    coded = gaussian_filter1d(coded, rng.uniform(0.5, 4), axis=0)
    return synthesise(
        replace(
            voice,
            f0=change_pitch(voice.f0, semitones=0.0, span=rng.uniform(0.6, 1.0), smooth_frames=rng.uniform(1, 6)),
            envelope=pyworld.decode_spectral_envelope(np.ascontiguousarray(coded), sample_rate, size),
            aperiodicity=_coarse(voice, sample_rate=sample_rate, rng=rng),
        ),
        sample_rate=sample_rate,
    )


def change_pitch(f0: Array, *, semitones: float, span: float, smooth_frames: float) -> Array:
    """Move, stretch (`span` times its range, about its mean) and smooth a melody, all on a logarithmic scale.

    Where unvoiced it stays 0.
    """
    voiced = f0 > 0
    if not voiced.any():
        return f0
    frames = np.arange(f0.size)
    melody = np.interp(frames, frames[voiced], np.log(f0[voiced]))
    if smooth_frames > 0:
        melody = gaussian_filter1d(melody, smooth_frames)
    mean = melody[voiced].mean()
    changed = np.exp(mean + span * (melody - mean) + semitones * np.log(2) / 12)
    return np.where(voiced, np.clip(changed, 40, 800), 0.0)


def warp(spectra: Array, *, factor: float) -> Array:
    """Stretch the frequency axis of spectra, (frames, bins), so that what was at f comes to lie at `factor` times f."""
    at = np.minimum(np.arange(spectra.shape[1]) / factor, spectra.shape[1] - 1.001)
    below = at.astype(int)
    share = at - below
    return np.asarray(spectra[:, below] ** (1 - share) * spectra[:, below + 1] ** share)


def _coarse(voice: Voice, *, sample_rate: int, rng: np.random.Generator) -> Array:
    """An aperiodicity of one value for each band of 3 kHz, none at all (a buzz), or one that is off."""
    kind = rng.integers(3)
    if kind == 0:
        size = 2 * (voice.aperiodicity.shape[1] - 1)
        coded = pyworld.code_aperiodicity(voice.aperiodicity, sample_rate)
        return np.asarray(pyworld.decode_aperiodicity(coded, sample_rate, size))
    if kind == 1:
        return np.where(voice.f0[:, np.newaxis] > 0, 1e-3, voice.aperiodicity)
    return np.asarray(voice.aperiodicity ** rng.uniform(0.4, 2.5))


def _period(rng: np.random.Generator) -> float:
    return float(rng.choice([5.0, 10.0]))
