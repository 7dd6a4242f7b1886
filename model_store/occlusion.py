"""Which regions of time and frequency moved a clip's score: each is silenced in turn, and the clip is scored again.

This is occlusion (Zeiler & Fergus 2014, arXiv:1311.2901) of the waveform: a region is taken out of its short-time
spectrum, and what is left is made a waveform again. The model is only ever asked for logits, so any runtime will do.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise

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
        shape = manifest.input
        part = windows.trim(waveform, below_db=shape.trim_below_db)[0]
        offset, length = clip.start / shape.sample_rate, clip.samples / shape.sample_rate
        span = min(MOST_SECONDS, length)
        if start_seconds is None:
            lowest = min(score.segments, key=lambda segment: segment.score)
            start_seconds = (lowest.start_seconds + lowest.end_seconds - span) / 2
        begin = min(max(start_seconds - offset, 0.0), length - span)
        edges = np.linspace(begin, begin + span, max(1, round(span / _CELL_SECONDS)) + 1)
        self.times_seconds = offset + edges
        self.bands_hz = _mel_edges(shape.sample_rate / 2, bands=_BANDS)
        self._clip, self._score, self._manifest = clip, score, manifest
        samples = np.round(edges * shape.sample_rate).astype(int)
        starts = windows.starts(part.size, window_samples=shape.window_samples, hop_samples=shape.hop_samples)
        reached = {
            window: start
            for window, start in enumerate(starts)
            if start < samples[-1] and samples[0] < start + shape.window_samples
        }
        first = min(reached.values())
        self._part = part[first : max(reached.values()) + shape.window_samples]  # of the whole, those windows
        self._starts = {window: start - first for window, start in reached.items()}
        self._edges = samples - first

    def variants(self) -> Iterator[Variant]:
        """Each region silenced, in each window that it reaches into."""
        length = self._manifest.input.window_samples
        taken = np.float32(1 - 10 ** (-ATTENUATION_DB / 20))
        for cell, (begin, end) in enumerate(pairwise(self._edges.tolist())):
            at, pieces = self._pieces(begin, end)
            for band, piece in enumerate(pieces):
                changed = self._part.copy()
                changed[at : at + piece.size] -= taken * piece
                if changed.size < length:
                    changed = np.resize(changed, length)  # as `windows.cut` fills one
                for window, start in self._starts.items():
                    if start < end and begin < start + length:
                        alone = replace(
                            self._clip,
                            samples=min(self._clip.samples, length),
                            windows=changed[None, start : start + length].copy(),  # of the whole, no more is kept
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

    def _pieces(self, begin: int, end: int) -> tuple[int, npt.NDArray[np.float32]]:
        """What the part has between two of its samples, by bands: where it begins, and float32 (bands, samples).

        Pieces of neighbours overlap by half a frame; all of them together are the part.
        """
        rate, size = self._manifest.input.sample_rate, self._part.size
        frame = round(_FRAME_SECONDS * rate)
        hop = frame // _FRAMES_A_FRAME
        starts = np.arange(hop - frame, size, hop)
        centres = starts + frame // 2
        # Frames belong where their centre is, and those at the ends of the part, to the first or last region there.
        mine = ((centres >= begin) | (begin == 0)) & ((centres < end) | (end == size))
        starts = starts[mine]
        taper = np.sqrt(np.hanning(frame + 1)[:-1] / (_FRAMES_A_FRAME / 2)).astype(np.float32)
        padded = np.pad(self._part[max(0, starts[0]) : starts[-1] + frame], frame)
        samples = padded[frame + starts[:, None] - max(0, starts[0]) + np.arange(frame)]
        spectra = np.fft.rfft(samples * taper)
        which = np.digitize(np.fft.rfftfreq(frame, 1 / rate), self.bands_hz[1:-1])
        bands = np.arange(self.bands_hz.size - 1)
        masks = (which == bands[:, None])[:, None, :]
        frames = np.fft.irfft(spectra * masks, frame).astype(np.float32) * taper  # (bands, frames, samples)
        found = np.zeros((bands.size, starts[-1] - starts[0] + frame), np.float32)
        for place, start in enumerate(starts - starts[0]):
            found[:, start : start + frame] += frames[:, place]
        at = max(0, int(starts[0]))
        return at, found[:, at - starts[0] : size - starts[0]]


def _mel_edges(highest_hz: float, *, bands: int) -> npt.NDArray[np.float64]:
    """Edges, in Hz, of bands equally wide on the mel scale (O'Shaughnessy 1987): float64 (bands + 1,)."""
    mels = np.linspace(0, np.log1p(highest_hz / 700), bands + 1)
    edges: npt.NDArray[np.float64] = 700 * np.expm1(mels)
    return edges
