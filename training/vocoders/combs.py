"""What a neural vocoder leaves at the rate of its frames, by itself: faint lines at the multiples of that rate.

Between the frames of a spectrogram such a vocoder puts the same small pattern again and again, by the strides of its
layers: J. Pons et al., "Upsampling artifacts in neural audio synthesis", 2020 (arXiv:2010.14356). Copies by networks
teach that for the rates that these have; this teaches it for those of others.
"""

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter1d

Waveform = npt.NDArray[np.float32]

# Samples between frames, and samples a second: usual settings of published vocoders and codecs. None at 50 or 100 Hz,
# where mains hum has its lines too.
FRAMES = (
    (256, 22_050), (256, 24_000), (300, 24_000), (200, 16_000), (512, 24_000), (320, 24_000), (128, 22_050),
    (128, 24_000), (256, 16_000), (600, 24_000), (128, 16_000),
)  # fmt: skip
_DOWN_DB = 20.0, 48.0  # of a line below the speech around its frequency, if all were alike
_UNEVEN_DB = 8.0  # standard deviation of lines from one another
_STRIDES = 8, 64  # of the layers, multiplied: usual ones
_STRIDE_DB = 9.0  # that multiples of each may stand out by
_EDGES_HZ = 1_000.0, 3_000.0  # half of the combs end or begin somewhere there
_AROUND_HZ = 100.0  # over which the speech's spectrum is smoothed
_AROUND_SECONDS = 0.02  # over which its level is
_PERIOD = 1 << 13  # points of the pattern


def combed(waveform: Waveform, *, sample_rate: int, rng: np.random.Generator) -> Waveform:
    """The clip, with lines that follow its spectrum and, more or less, its level."""
    samples, rate = FRAMES[int(rng.integers(len(FRAMES)))]
    hertz = np.fft.rfftfreq(waveform.size, 1 / sample_rate)
    width = hertz[1] if hertz.size > 1 else 1.0
    power = gaussian_filter1d(np.square(np.abs(np.fft.rfft(waveform))), _AROUND_HZ / width)
    lines = np.arange(1, int(hertz[-1] * samples / rate) + 1) * rate / samples
    # A line's root mean square is that of the speech in a band as wide as lines are apart.
    speech = np.sqrt(2 * np.interp(lines, hertz, power) * (rate / samples / width)) / waveform.size
    decibels = -rng.uniform(*_DOWN_DB) + _UNEVEN_DB * rng.standard_normal(lines.size)
    for stride in _STRIDES:
        decibels[stride - 1 :: stride] += rng.uniform(0, _STRIDE_DB)
    if rng.random() < 0.5:
        below = lines < rng.uniform(*_EDGES_HZ)
        decibels[below if rng.random() < 0.5 else ~below] = -np.inf
    period = np.zeros(_PERIOD // 2 + 1, np.complex128)
    period[1 : lines.size + 1] = speech * 10 ** (decibels / 20) * np.exp(2j * np.pi * rng.random(lines.size))
    at = np.arange(waveform.size) * (rate / samples / sample_rate * _PERIOD)
    comb = np.interp(at, np.arange(_PERIOD), np.fft.irfft(period) * _PERIOD / np.sqrt(2), period=_PERIOD)
    level = np.sqrt(gaussian_filter1d(np.square(waveform, dtype=np.float64), _AROUND_SECONDS * sample_rate) + 1e-12)
    follow = (level / np.sqrt(np.mean(np.square(level)))) ** rng.uniform(0, 1)
    return np.asarray(waveform + comb * follow / np.sqrt(np.mean(np.square(follow))), np.float32)
