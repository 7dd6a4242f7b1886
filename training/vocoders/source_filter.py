"""A voice as a source and a filter: linear prediction with pulses and noise, with a coarse residual, and sinusoids.

References: B. Atal, S. Hanauer, "Speech analysis and synthesis by linear prediction of the speech wave", JASA 50
(1971); P. Kroon et al., "Regular-pulse excitation", IEEE Trans. ASSP 34 (1986); X. Serra, J. Smith, "Spectral modeling
synthesis", Computer Music Journal 14 (1990).
"""

import librosa
import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter1d
from scipy.signal import lfilter

from training.vocoders.world import track_pitch

Waveform = npt.NDArray[np.float32]
Array = npt.NDArray[np.float64]

_EMPHASIS = 0.9
_PERIOD_MS = 5.0


def lpc(waveform: Waveform, *, sample_rate: int, rng: np.random.Generator) -> Waveform:
    """The vocoder of the seventies: pulses where voiced, noise elsewhere, a filter of 10 to 24 poles."""
    hop = int(rng.choice([5, 10, 20])) * sample_rate // 1000
    filters, residual = _whiten(waveform, hop=hop, order=int(rng.integers(10, 25)))
    source = _pulses(waveform, sample_rate=sample_rate, rng=rng)[: residual.size]
    reach = 0.01 * sample_rate  # more than a period, or single pulses would be levelled
    power, wanted = (gaussian_filter1d(np.square(signal), reach) for signal in (source, residual))
    return _colour(source * np.sqrt(wanted / (power + 1e-20)), filters, hop=hop)[: waveform.size]


def lpc_codec(waveform: Waveform, *, sample_rate: int, rng: np.random.Generator) -> Waveform:
    """A low-rate speech codec: a filter of 10 to 18 poles, of whose residual all, half or a third is kept, coarsely.

    The samples in between are zero, as in the regular pulses of GSM; the strongest of the grids is kept.
    """
    hop = int(rng.choice([5, 10])) * sample_rate // 1000
    step, levels = int(rng.integers(1, 4)), int(rng.integers(1, 4))
    filters, residual = _whiten(waveform, hop=hop, order=int(rng.integers(10, 19)))
    frames = residual.reshape(-1, hop)
    pulses = np.concatenate([regular_pulses(frame, step=step, levels=levels) for frame in frames])
    return _colour(pulses, filters, hop=hop)[: waveform.size]


def sinusoidal(waveform: Waveform, *, sample_rate: int, rng: np.random.Generator) -> Waveform:
    """Harmonics of the pitch up to 2 to 6 kHz, whose phases start at random, and noise above and where unvoiced."""
    f0, times = track_pitch(waveform, sample_rate=sample_rate, period_ms=_PERIOD_MS)
    hop, size = round(_PERIOD_MS * sample_rate / 1000), 512 * sample_rate // 16_000
    spectrum = np.abs(librosa.stft(waveform, n_fft=size, hop_length=hop))[:, : f0.size]
    f0, times = f0[: spectrum.shape[1]], times[: spectrum.shape[1]]
    voiced, edge_hz = f0 > 0, rng.uniform(2000, 6000)
    at = np.arange(waveform.size) / sample_rate
    melody = (
        np.interp(at, times, np.interp(times, times[voiced], f0[voiced])) if voiced.any() else np.full(at.size, 100)
    )
    turn = np.exp(2j * np.pi * np.cumsum(melody) / sample_rate)
    voice, harmonic = np.zeros(waveform.size), np.ones(waveform.size, np.complex128)
    frames = np.arange(f0.size)
    for number in range(1, int(edge_hz / max(f0[voiced].min(), 40)) + 1 if voiced.any() else 1):
        harmonic *= turn  # each the one before, turned on by the fundamental
        hertz = number * f0
        bins = np.minimum(np.rint(hertz * size / sample_rate).astype(int), spectrum.shape[0] - 1)
        gain = np.where(voiced & (hertz < edge_hz), spectrum[bins, frames], 0) * 4 / size  # of a Hann window
        voice += np.interp(at, times, gain) * (harmonic * np.exp(2j * np.pi * rng.random())).imag
    hertz = librosa.fft_frequencies(sr=sample_rate, n_fft=size)[:, np.newaxis]
    noise = librosa.stft(rng.standard_normal(waveform.size), n_fft=size, hop_length=hop)[:, : f0.size]
    shaped = spectrum * noise / np.sqrt(np.mean(np.square(np.abs(noise)))) * (~voiced | (hertz >= edge_hz))
    return np.asarray(voice + librosa.istft(shaped, hop_length=hop, length=waveform.size), np.float32)


def predictors(frames: Array, *, order: int) -> Array:
    """Coefficients (frames, order + 1), the first 1, of the filters that whiten frames, (frames, samples).

    Autocorrelation and the recursion of Levinson and Durbin, over all frames at once.
    """
    size = 2 ** int(np.ceil(np.log2(2 * frames.shape[1])))
    correlation = np.fft.irfft(np.square(np.abs(np.fft.rfft(frames, size))))[:, : order + 1]
    correlation[:, 0] = correlation[:, 0] * (1 + 1e-5) + 1e-12  # so that digital silence has an answer
    filters = np.zeros((frames.shape[0], order + 1))
    filters[:, 0] = 1
    error = correlation[:, 0].copy()
    for m in range(1, order + 1):
        reflection = -np.einsum("fi,fi->f", filters[:, :m], correlation[:, m:0:-1]) / error
        filters[:, 1 : m + 1] += reflection[:, np.newaxis] * filters[:, m - 1 :: -1][:, :m]
        error *= 1 - np.square(reflection)
    return filters


def regular_pulses(residual: Array, *, step: int, levels: int) -> Array:
    """Keep every `step`-th sample of a frame's residual, (n,), in so many `levels` of either sign; zeros between.

    The highest level is twice the kept samples' RMS.
    """
    first = max(range(step), key=lambda start: float(np.square(residual[start::step]).sum()))
    kept = residual[first::step]
    unit = 2 * np.sqrt(np.mean(np.square(kept))) / levels
    pulses = np.zeros_like(residual)
    pulses[first::step] = np.clip(np.rint(kept / unit), -levels, levels) * unit if unit > 0 else 0
    return pulses


def _whiten(waveform: Waveform, *, hop: int, order: int) -> tuple[Array, Array]:
    """The filter of each frame of `hop` samples, (frames, order + 1), and the residual, (frames * hop,)."""
    emphasised = lfilter([1, -_EMPHASIS], [1], waveform.astype(np.float64))
    count = -(-waveform.size // hop)
    padded = np.pad(emphasised, (hop, (count + 1) * hop - waveform.size))
    frames = np.lib.stride_tricks.sliding_window_view(padded, 3 * hop)[::hop]
    filters = predictors(frames * np.hanning(3 * hop), order=order)
    residual, past = np.empty((count, hop)), np.zeros(order)
    for number, (frame, taps) in enumerate(zip(frames, filters, strict=True)):
        residual[number], past = lfilter(taps, [1], frame[hop : 2 * hop], zi=past)
    return filters, residual.ravel()


def _colour(source: Array, filters: Array, *, hop: int) -> Waveform:
    """Undo `_whiten`: a source through the frames' filters, float32 (frames * hop,)."""
    out, past = np.empty((len(filters), hop)), np.zeros(filters.shape[1] - 1)
    for number, taps in enumerate(filters):
        out[number], past = lfilter([1], taps, source[number * hop : (number + 1) * hop], zi=past)
    return np.asarray(lfilter([1], [1, -_EMPHASIS], out.ravel()), np.float32)


def _pulses(waveform: Waveform, *, sample_rate: int, rng: np.random.Generator) -> Array:
    """A pulse for each period of the voice, with some noise, and noise alone elsewhere: float64 (n,) and a bit more."""
    f0, times = track_pitch(waveform, sample_rate=sample_rate, period_ms=_PERIOD_MS)
    at = np.arange(waveform.size + sample_rate) / sample_rate  # more than frames can ask for
    pitch = f0[np.minimum(np.searchsorted(times, at), f0.size - 1)]
    source = rng.standard_normal(at.size)
    voiced = pitch > 0
    beats = np.diff(np.floor(np.cumsum(pitch / sample_rate)), prepend=0) > 0
    source[voiced] *= rng.uniform(0, 0.3)
    source[beats & voiced] += np.sqrt(sample_rate / pitch[beats & voiced])  # as much power as the noise has
    return source
