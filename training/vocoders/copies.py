"""A bonafide clip -> a spoof of it, that nothing but what the vocoder left tells from the original.

Rate, length, level, polarity, fades, dither, what lies below 60 Hz and, half of the time each, the spectrum's slope and
the floor of noise are the original's.
"""

import librosa
import numpy as np
import numpy.typing as npt

from training.vocoders.methods import Method

Waveform = npt.NDArray[np.float32]

WORKING_RATE = 16_000  # Hz, of every vocoder
_FADE_SECONDS = 0.005
_LOW_HZ = 50.0, 70.0  # below, the original; above, the copy
_FULL_SCALE = 0.999  # a peak above has been brought to full scale
_FFT = 512
_BAND_HZ = 500  # of the slope: too coarse to undo a harmonic or a formant
_MOST_DB = 12.0  # that the slope is changed by
_FLOOR = 1e-12


def copy(waveform: Waveform, method: Method, *, sample_rate: int, rng: np.random.Generator) -> npt.NDArray[np.int16]:
    """Make a clip again by a method.

    Parameters
    ----------
    waveform : float32 (n,)
        The original at its own rate.

    Returns
    -------
    int16 (n,), at the same rate

    Raises
    ------
    ValueError
        The method gave silence, or what is not a number.
    """
    wide = resample(waveform, sample_rate, WORKING_RATE)
    made = method(wide, sample_rate=WORKING_RATE, rng=rng)
    made = np.pad(made[: wide.size], (0, max(wide.size - made.size, 0)))
    if not np.isfinite(made).all() or not made.any():
        raise ValueError(f"A method makes sound. Received: silence or NaN, of {wide.size} samples.")
    made = match_level(match_polarity(made, wide), wide)
    if rng.random() < 0.5:
        made = match_slope(made, wide)
    if rng.random() < 0.5:
        made = match_floor(made, wide, rng=rng)
    made = keep_low(match_level(made, wide), wide, sample_rate=WORKING_RATE)
    made = resample(made, WORKING_RATE, sample_rate, samples=waveform.size)
    made = match_level(fade_alike(made, waveform, sample_rate=sample_rate), waveform)
    dither = rng.random(made.size) - rng.random(made.size)
    return np.asarray(np.clip(np.rint(made * 2**15 + dither), -(2**15), 2**15 - 1), np.int16)


def resample(waveform: Waveform, rate: int, to: int, *, samples: int | None = None) -> Waveform:
    """By the Fourier transform of the whole: up and down again is the same waveform, to the last bin.

    A polyphase filter would leave its edge in the copy a second time.
    """
    if rate == to:
        return waveform
    count = samples or round(waveform.size * to / rate)
    spectrum = np.fft.rfft(waveform)
    kept = np.zeros(count // 2 + 1, np.complex64)
    kept[: spectrum.size] = spectrum[: kept.size]
    return np.asarray(np.fft.irfft(kept, count) * (count / waveform.size), np.float32)


def match_level(made: Waveform, original: Waveform) -> Waveform:
    """To the original's level (RMS); to its peak if that is full scale; and never beyond full scale."""
    peak, full = np.abs(made).max(), np.abs(original).max()
    gain = np.sqrt(np.mean(np.square(original)) / (np.mean(np.square(made)) + _FLOOR))
    gain = full / peak if full > _FULL_SCALE else min(gain, _FULL_SCALE / peak)
    return np.asarray(made * gain, np.float32)


def match_polarity(made: Waveform, original: Waveform) -> Waveform:
    """Turned upside down if it leans to the other side: a vocoder's pulses all point one way, recordings' do not."""
    lean = np.mean(made**3, dtype=np.float64) * np.mean(original**3, dtype=np.float64)
    return -made if lean < 0 else made


def match_slope(made: Waveform, original: Waveform) -> Waveform:
    """The mean power of the original in bands of 500 Hz, by a smooth gain of 12 dB at most."""
    bands = WORKING_RATE // 2 // _BAND_HZ
    powers = [_band_powers(signal, bands) for signal in (original, made)]
    decibels = np.clip(10 * np.log10((powers[0] + _FLOOR) / (powers[1] + _FLOOR)), -_MOST_DB, _MOST_DB)
    spectrum = np.fft.rfft(made)
    gains = np.interp(np.arange(spectrum.size) / spectrum.size * bands, np.arange(bands) + 0.5, decibels)
    return np.asarray(np.fft.irfft(spectrum * 10 ** (gains / 20), made.size), np.float32)


def match_floor(made: Waveform, original: Waveform, *, rng: np.random.Generator) -> Waveform:
    """Add what noise the copy lacks in the tenth of the frames that are quietest in the original."""
    powers = [np.square(np.abs(librosa.stft(signal, n_fft=_FFT))) for signal in (original, made)]
    levels = powers[0].sum(axis=0)
    quiet = levels <= np.quantile(levels, 0.1)
    floors = [power[:, quiet].mean(axis=1, keepdims=True) for power in powers]
    noise = librosa.stft(rng.standard_normal(made.size).astype(np.float32), n_fft=_FFT)
    noise /= np.sqrt(np.mean(np.square(np.abs(noise))))
    lacking = np.sqrt(np.maximum(floors[0] - floors[1], 0))
    return np.asarray(made + librosa.istft(lacking * noise, length=made.size), np.float32)


def keep_low(made: Waveform, original: Waveform, *, sample_rate: int) -> Waveform:
    """Below 60 Hz the original: its hum, its rumble and its offset, which no vocoder carries."""
    hertz = np.fft.rfftfreq(made.size, 1 / sample_rate)
    share = np.clip((hertz - _LOW_HZ[0]) / (_LOW_HZ[1] - _LOW_HZ[0]), 0, 1)
    high, low = np.fft.rfft(made), np.fft.rfft(original)
    mixed = share * high + (1 - share) * low
    # Where they meet they need not be in phase: without this there would be a dip of 3 dB, which only copies have.
    power = share * np.square(np.abs(high)) + (1 - share) * np.square(np.abs(low))
    spectrum = mixed * np.sqrt(power) / np.maximum(np.abs(mixed), _FLOOR)
    return np.asarray(np.fft.irfft(spectrum, made.size), np.float32)


def fade_alike(made: Waveform, original: Waveform, *, sample_rate: int) -> Waveform:
    """Fade in and out over 5 ms, at the ends where the original does: its first half millisecond is much fainter."""
    fade, start = round(_FADE_SECONDS * sample_rate), sample_rate // 2000
    faded = made.copy()
    for of_original, of_copy in ((original, faded), (original[::-1], faded[::-1])):
        if np.abs(of_original[:start]).mean() < 0.15 * np.abs(of_original[fade : 4 * fade]).mean():
            of_copy[:fade] *= np.linspace(0, 1, fade, endpoint=False, dtype=np.float32)
    return faded


def _band_powers(signal: Waveform, bands: int) -> npt.NDArray[np.float32]:
    power = np.square(np.abs(np.fft.rfft(signal)))
    width = power.size // bands
    return np.asarray(power[: width * bands].reshape(bands, width).mean(axis=1))
