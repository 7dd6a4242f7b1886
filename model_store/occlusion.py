"""Which regions of time and frequency moved a clip's score: each is silenced in turn, and the clip is scored again.

This is occlusion (Zeiler & Fergus 2014, arXiv:1311.2901) of the waveform: a region is taken out of its short-time
spectrum, and what is left is made a waveform again. The model is only ever asked for logits, so any runtime will do.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from model_store import windows
from model_store.detector import Prepared, Score
from model_store.manifest import Manifest

Waveform = npt.NDArray[np.float32]

MOST_SECONDS = 20.0  # of a clip: what is explained costs some 20 windows for each second
ATTENUATION_DB = 30.0
_CELL_SECONDS = 0.5
_BANDS = 8  # equally wide on the mel scale
_FRAME_SECONDS, _FRAMES_A_FRAME = 0.032, 4  # of the short-time spectrum, and how many frames begin within one


@dataclass(frozen=True, slots=True)
class Variant:
    """One window of a clip, with one region silenced."""

    place: tuple[int, int, int]  # band, cell and window
    prepared: Prepared  # that window alone: the logit of its score is the window's


class Occlusion:
    """A clip, and the grid of regions that are silenced in it.

    Parameters
    ----------
    waveform : float32 (n,), n > 0, at the manifest's rate
    clip : what `Detector.prepare` made of it
    score : what `Detector.score_prepared` said of that
    start_seconds : float, optional
        Where in a clip of more than `MOST_SECONDS` the regions begin. By default, they are around its lowest window.

    Attributes
    ----------
    times_seconds : float64 (m + 1,)
        The edges of the regions, in the clip as it came.
    bands_hz : float64 (n + 1,)
    """

    def __init__(
        self,
        waveform: Waveform,
        clip: Prepared,
        score: Score,
        manifest: Manifest,
        *,
        start_seconds: float | None = None,
    ) -> None:
        self._clip, self._score, self._manifest = clip, score, manifest
        self._part = windows.trim(waveform, below_db=manifest.input.trim_below_db)[0]
        rate = manifest.input.sample_rate
        self._offset = clip.start / rate
        length = clip.samples / rate
        span = min(MOST_SECONDS, length)
        if start_seconds is None:
            lowest = min(score.segments, key=lambda segment: segment.score)
            start_seconds = (lowest.start_seconds + lowest.end_seconds - span) / 2
        begin = min(max(start_seconds - self._offset, 0.0), length - span)
        edges = np.linspace(begin, begin + span, max(1, round(span / _CELL_SECONDS)) + 1)
        self.times_seconds = self._offset + edges
        self.bands_hz = _mel_edges(rate / 2, bands=_BANDS)
        self._edges = np.round(edges * rate).astype(int)  # samples of the part

    def variants(self) -> Iterator[Variant]:
        """Each region silenced, in each window that it reaches into."""
        shape = self._manifest.input
        first = windows.starts(self._part.size, window_samples=shape.window_samples, hop_samples=shape.hop_samples)
        kept = 10 ** (-ATTENUATION_DB / 20)
        cells = zip(self._edges[:-1], self._edges[1:], strict=True)
        for cell, (begin, end) in enumerate(cells):
            for band, piece in enumerate(self._components(begin, end)):
                changed = windows.cut(
                    self._part - np.float32(1 - kept) * piece,
                    window_samples=shape.window_samples,
                    hop_samples=shape.hop_samples,
                )
                for window, start in enumerate(first):
                    if start < end and begin < start + shape.window_samples:
                        alone = replace(
                            self._clip,
                            samples=min(self._clip.samples, shape.window_samples),
                            windows=changed[window : window + 1],
                        )
                        yield Variant((band, cell, window), alone)

    def effects(self, logits: Mapping[tuple[int, int, int], float]) -> npt.NDArray[np.float64]:
        """What each region did to the score: the clip's score less what it is without the region, (n, m).

        Below 0, a region spoke for spoof; above, for bonafide. Regions lean on each other: effects do not add up to
        the score.

        Parameters
        ----------
        logits : of all `variants`, by their places
        """
        usual = np.array([segment.logit for segment in self._score.segments], np.float32)
        weights = np.array([segment.speech_seconds for segment in self._score.segments])
        without = np.tile(usual, (self.bands_hz.size - 1, self.times_seconds.size - 1, 1))
        for place, logit in logits.items():
            without[place] = logit
        pool = windows.POOLINGS[self._manifest.output.pooling]
        pooled = np.apply_along_axis(pool, 2, without, weights)
        slope = self._manifest.output.calibration[self._score.channel_class].slope
        found: npt.NDArray[np.float64] = slope * (self._score.logit - pooled)
        return found

    def _components(self, begin: int, end: int) -> list[Waveform]:
        """What is between two samples of the part: a waveform as long as the part for each band."""
        rate = self._manifest.input.sample_rate
        frame = round(_FRAME_SECONDS * rate)
        hop = frame // _FRAMES_A_FRAME
        taper = np.sqrt(np.hanning(frame + 1)[:-1] / (_FRAMES_A_FRAME / 2)).astype(np.float32)
        padded = np.pad(self._part, frame)
        # Of the frames that overlap the passage, those whose centre lies within it.
        starts = np.arange(0, padded.size - frame + 1, hop)
        centres = starts - frame // 2
        last = end if end < self._part.size else padded.size
        starts = starts[(centres >= (begin if begin > 0 else -frame)) & (centres < last)]
        spectra = np.fft.rfft(padded[starts[:, None] + np.arange(frame)] * taper)
        which = np.digitize(np.fft.rfftfreq(frame, 1 / rate), self.bands_hz[1:-1])
        found = []
        for band in range(self.bands_hz.size - 1):
            frames = np.fft.irfft(np.where(which == band, spectra, 0), frame).astype(np.float32) * taper
            whole = np.zeros_like(padded)
            for start, samples in zip(starts, frames, strict=True):
                whole[start : start + frame] += samples
            found.append(whole[frame : frame + self._part.size])
        return found


def _mel_edges(highest_hz: float, *, bands: int) -> npt.NDArray[np.float64]:
    """Edges, in Hz, of bands equally wide on the mel scale (O'Shaughnessy 1987): float64 (bands + 1,)."""
    mels = np.linspace(0, np.log1p(highest_hz / 700), bands + 1)
    edges: npt.NDArray[np.float64] = 700 * np.expm1(mels)
    return edges
