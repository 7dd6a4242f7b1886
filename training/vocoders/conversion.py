"""Another voice by a filter that varies in time: excitation and phases stay those of the person who spoke.

References: D. Matrouf, J.-F. Bonastre, C. Fredouille, "Effect of speech transformation on impostor acceptance", ICASSP
2006 (spectra filtered to another speaker's envelope, frames added up); K. Kobayashi, T. Toda, "sprocket: open-source
voice conversion software", Odyssey 2018 (the difference of two envelopes as a filter).
"""

import librosa
import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter1d

Waveform = npt.NDArray[np.float32]
Envelope = npt.NDArray[np.float32]

_MOST_NATS = 2.1  # that a bin is changed by: 18 dB
_LEAST = 1e-5


def filtered(waveform: Waveform, *, sample_rate: int, rng: np.random.Generator) -> Waveform:
    """Formants moved by 5 to 18 %, up or down; half of the time by envelopes that are means over frames."""
    return refilter(
        waveform,
        size=int(rng.choice([320, 512, 1024])) * sample_rate // 16_000,
        overlap=int(rng.choice([2, 4])),
        factor=float(rng.uniform(1.05, 1.18)) ** float(rng.choice([-1, 1])),
        coefficients=int(rng.integers(16, 40)),
        mean_frames=float(rng.uniform(1, 3)) if rng.random() < 0.5 else 0.0,
    )


def refilter(
    waveform: Waveform, *, size: int, overlap: int, factor: float, coefficients: int, mean_frames: float
) -> Waveform:
    """Multiply spectra by what brings their envelopes to those that they are stretched to, by `factor`.

    Parameters
    ----------
    waveform : float32 (n,)
    size, overlap : int
        Samples of a window, and windows over each sample.
    coefficients : int
        Of the cepstrum, that are the envelope.
    mean_frames : float
        Standard deviation of the Gaussian over frames that the new envelopes are smoothed by, as models that predict
        means smooth them; 0 leaves them.

    Returns
    -------
    float32 (n,)
    """
    hop = size // overlap
    spectra = librosa.stft(waveform, n_fft=size, hop_length=hop)
    old = envelopes(np.abs(spectra), coefficients)
    places = np.arange(len(old))
    new = np.stack([np.interp(places / factor, places, frame) for frame in old.T], axis=1)
    if mean_frames:
        new = gaussian_filter1d(new, mean_frames, axis=1)
    changed = spectra * np.exp(np.clip(new - old, -_MOST_NATS, _MOST_NATS))
    return np.asarray(librosa.istft(changed, hop_length=hop, length=waveform.size), np.float32)


def envelopes(magnitudes: npt.NDArray[np.float32], coefficients: int) -> Envelope:
    """What the first coefficients of the cepstrum say of log magnitudes: (bins, frames) -> the same shape, in nats."""
    cepstra = np.fft.irfft(np.log(magnitudes + _LEAST), axis=0)
    cepstra[coefficients : len(cepstra) - coefficients + 1] = 0
    return np.asarray(np.fft.rfft(cepstra, axis=0).real, np.float32)
