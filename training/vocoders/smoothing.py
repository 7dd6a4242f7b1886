"""Spectrograms as acoustic models leave them, from those of recordings."""

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter

Spectrogram = npt.NDArray[np.float32]

_SHARE = 0.5
_FRAMES = 0.5, 2.0  # standard deviations of the Gaussian, from and to
_BANDS = 0.0, 1.5


def smooth(mel: Spectrogram, rng: np.random.Generator) -> Spectrogram:
    """Half of the time smoothed over frames and bands, the other half as it is: float32 (frames, bands).

    Text-to-speech predicts means (J. Shen et al., "Natural TTS synthesis by conditioning WaveNet on mel spectrogram
    predictions", 2018, arXiv:1712.05884), and what a vocoder makes of them is what a detector meets.
    """
    if rng.random() >= _SHARE:
        return mel
    return np.asarray(gaussian_filter(mel, (rng.uniform(*_FRAMES), rng.uniform(*_BANDS))), np.float32)
