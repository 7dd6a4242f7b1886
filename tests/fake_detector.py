"""A detector without a model, which tells made speech from made spoofs by ear: for tests of what is done with scores.

It listens only where it is loud and only to the balance of high and low: bright is spoof. So level, pauses, polarity
and offset do not move it, unless a fault is planted.
"""

from collections.abc import Callable, Sequence
from types import SimpleNamespace

import numpy as np
import numpy.typing as npt

from model_store import windows
from model_store.detector import Score, Segment
from tests.artifacts import manifest

Waveform = npt.NDArray[np.float32]

RATE = 16_000
_FRAME = 320


def bright(waveform: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """What makes a spoof of made speech: its differences, as loud."""
    changed = np.diff(waveform, prepend=0.0)
    return changed * np.std(waveform) / np.std(changed)


def listen(waveform: Waveform) -> float:
    """The logarithm of low over high, of the loud frames; below 0 for what is bright, and for silence."""
    samples = waveform - waveform.mean()
    frames = np.resize(samples, (max(1, samples.size // _FRAME), _FRAME))
    power = np.square(frames).sum(axis=1)
    if power.max() < 1e-9:
        return -5.0
    spectrum = np.square(np.abs(np.fft.rfft(frames[power > 1e-3 * power.max()] * np.hanning(_FRAME)))).sum(axis=0)
    bin_hz = RATE / _FRAME
    low, high = (
        spectrum[round(100 / bin_hz) : round(900 / bin_hz)],
        spectrum[round(900 / bin_hz) : round(4000 / bin_hz)],
    )
    return 4 * float(1 + np.log(low.sum() / high.sum()))


class FakeDetector:
    """Scores windows of 1 s, half a second apart.

    Parameters
    ----------
    fault : function, optional
        Of a waveform; what it gives is added to each score.
    """

    def __init__(self, fault: Callable[[Waveform], float] | None = None, *, per_clip_in_batch: float = 0.0) -> None:
        self.manifest = manifest(1, {"model.keras": "0" * 64, "card.md": "0" * 64}, family="fake")
        self._fault = fault or (lambda waveform: 0.0)
        self._per_clip_in_batch = per_clip_in_batch

    def score(self, waveforms: Sequence[Waveform]) -> list[Score]:
        return [self._score(waveform, self._per_clip_in_batch * len(waveforms)) for waveform in waveforms]

    def _score(self, waveform: Waveform, added: float) -> Score:
        value = listen(waveform) + self._fault(waveform) + added
        shape = self.manifest.input
        segments = []
        for first in windows.starts(waveform.size, window_samples=shape.window_samples, hop_samples=shape.hop_samples):
            end = min(first + shape.window_samples, waveform.size)
            heard = listen(waveform[first:end])
            segments.append(Segment(first / RATE, end / RATE, heard, heard, 0.5))
        return SimpleNamespace(  # type: ignore[return-value]
            value=value,
            logit=value,
            reasons=(),
            segments=tuple(segments),
            verdict=lambda *, threshold: "bonafide" if value >= threshold else "spoof",
        )
