"""Neural vocoders: a waveform -> its log mel spectrogram -> a waveform by a generator that has learned to undo it."""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from training.vocoders import compiled
from training.vocoders.mel import HOP, log_mel
from training.vocoders.smoothing import smooth

Waveform = npt.NDArray[np.float32]

_LEVEL = 0.1  # RMS of what the generators hear and make


def at_level(waveform: Waveform) -> Waveform:
    """At the level that the generators know; silence stays silence."""
    return np.asarray(waveform * (_LEVEL / (np.sqrt(np.mean(np.square(waveform))) + 1e-9)), np.float32)


def resynthesise(
    waveform: Waveform,
    *,
    sample_rate: int,
    rng: np.random.Generator,
    model: Path,
    frames: int = 1,
    smoothed: bool = False,
) -> Waveform:
    """A method, of the generator that is saved at `model`.

    Parameters
    ----------
    rng
        Draws the place of the first frame and, if `smoothed`, whether and how much the spectrogram is.
    frames : int
        Spectrograms are a multiple of so many long, so that few lengths have to be compiled for.
    """
    before = 2 * HOP + int(rng.integers(HOP))
    after = 2 * HOP + -(before + waveform.size + 2 * HOP) % (frames * HOP)
    padded = np.pad(at_level(waveform), (before, after), mode="reflect")
    mel = log_mel(padded, sample_rate=sample_rate)
    if smoothed:
        mel = smooth(mel, rng)
    made = _load(model)(mel[np.newaxis])[0]
    return np.asarray(made[before : before + waveform.size], np.float32)


@cache
def _load(path: Path) -> Callable[[Any], Waveform]:
    return compiled.forward(keras.saving.load_model(path, compile=False))
