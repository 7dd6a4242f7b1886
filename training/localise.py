"""How well a detector finds clips of which a passage is spoofed, and the passage in them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from model_store import windows
from model_store.detector import Detector, Score, Segment
from training.confidence import eer_interval, eer_interval_over_speakers, proportion_interval
from training.corpus import KEYS, Key, Utterance
from training.metrics import equal_error_rate
from training.recordings import decode
from training.summary import percent
from training.trials import Scores, Trial

FRAME_SECONDS = 0.1
_AT_A_TIME = 32

POOLINGS: dict[str, windows.Pool] = {
    **windows.POOLINGS,
    "lowest": lambda logits, weights: float(logits[weights > 0].min() if (weights > 0).any() else logits.min()),
}


@dataclass(frozen=True, slots=True)
class Passage:
    """What a made clip is, and where, in seconds, another clip was put into it."""

    kind: str
    start: float
    end: float

    @classmethod
    def of(cls, row: Mapping[str, str]) -> Self:
        """From a row of `partial.csv`."""
        return cls(row["kind"], float(row["start_seconds"]), float(row["end_seconds"]))

    def overlap(self, segment: Segment) -> float:
        """Seconds of the passage within a segment."""
        return max(0.0, min(self.end, segment.end_seconds) - max(self.start, segment.start_seconds))

    def found_by(self, segment: Segment) -> bool:
        """Whether a segment holds half of the passage, or the passage half of the segment."""
        shorter = min(self.end - self.start, segment.end_seconds - segment.start_seconds)
        return self.overlap(segment) >= shorter / 2

    def distance(self, segment: Segment) -> float:
        """Seconds from a segment's centre to the passage; 0 within it."""
        centre = (segment.start_seconds + segment.end_seconds) / 2
        return max(0.0, self.start - centre, centre - self.end)


def measure(
    detector: Detector, utterances: Sequence[Utterance], passages: Mapping[str, Passage], *, seed: int
) -> dict[str, Any]:
    """Score a set that `training.partial` made.

    Returns
    -------
    dict, ready for JSON
        `clips` by kind; `called_bonafide_percent` at each operating point of partial and control clips; `detection`:
        for each of `POOLINGS`, the EER of partial against control clips, and of whole clips, which a pooling must not
        harm; `localisation` of the passage by the segment with the lowest score, and by a segment drawn blindly.
    """
    clips: list[tuple[Passage, Utterance, Score]] = []
    for first in range(0, len(utterances), _AT_A_TIME):
        recordings = decode(utterances[first : first + _AT_A_TIME], sample_rate=detector.manifest.input.sample_rate)
        for recording, score in zip(recordings, detector.score([r.waveform for r in recordings]), strict=True):
            clips.append((passages[recording.utterance.id], recording.utterance, score))
    kinds = {
        f"{kind} {key}": [(u, score) for passage, u, score in clips if (passage.kind, u.key) == (kind, key)]
        for kind, key in (("partial", "spoof"), ("control", "bonafide"), ("whole", "bonafide"), ("whole", "spoof"))
    }
    points = detector.manifest.output.operating_points
    return {
        "clips": {name: len(of_kind) for name, of_kind in kinds.items()},
        "called_bonafide_percent": {
            point: {name: _called_bonafide(of_kind, points[point].threshold) for name, of_kind in kinds.items()}
            for point in points
        },
        "detection": {
            name: {
                "partial": _eer(pool, kinds["control bonafide"] + kinds["partial spoof"], seed=seed),
                "whole": _eer(pool, kinds["whole bonafide"] + kinds["whole spoof"], seed=seed),
            }
            for name, pool in POOLINGS.items()
        },
        "localisation": _localisation([(p, s) for p, _, s in clips if p.kind == "partial"]),
    }


def timeline(score: Score) -> npt.NDArray[np.float64]:
    """The score of each frame of 0.1 s: the mean of the segments that hold its centre. float64 (frames,).

    Before the first segment, where a detector does not listen, that of the first.
    """
    centres = np.arange(FRAME_SECONDS / 2, score.segments[-1].end_seconds, FRAME_SECONDS)
    heard = np.maximum(centres, score.segments[0].start_seconds)
    inside = np.array([(s.start_seconds <= heard) & (heard < s.end_seconds) for s in score.segments], np.float64)
    values = np.array([s.score for s in score.segments])
    return np.asarray(values @ inside / inside.sum(axis=0))


def _localisation(clips: Sequence[tuple[Passage, Score]]) -> dict[str, Any]:
    lowest = [(passage, min(score.segments, key=lambda s: s.score)) for passage, score in clips]
    found = sum(passage.found_by(segment) for passage, segment in lowest)
    blind = np.mean([np.mean([p.found_by(s) for s in score.segments]) for p, score in clips])
    frames: dict[Key, list[float]] = {"bonafide": [], "spoof": []}
    for passage, score in clips:
        for index, value in enumerate(timeline(score)):
            within = passage.start <= (index + 0.5) * FRAME_SECONDS < passage.end
            frames["spoof" if within else "bonafide"].append(float(value))
    scores = Scores(bonafide=np.array(frames["bonafide"]), spoof=np.array(frames["spoof"]))
    return {
        "found_percent": 100 * found / len(clips),
        "found_interval_percent": percent(proportion_interval(found, trials=len(clips))),
        "found_blindly_percent": 100 * float(blind),
        "mean_distance_seconds": float(np.mean([passage.distance(segment) for passage, segment in lowest])),
        "mean_distance_blindly_seconds": float(
            np.mean([np.mean([p.distance(s) for s in score.segments]) for p, score in clips])
        ),
        "frame_eer_percent": 100 * equal_error_rate(scores).rate,
    }


def _eer(pool: windows.Pool, clips: Sequence[tuple[Utterance, Score]], *, seed: int) -> dict[str, Any]:
    """The EER of a pooling, and its interval over speakers, who have several clips each; over clips if they are few."""
    trials = [Trial(u.speaker, u.id, u.attack, u.key, pool(*_windows(score))) for u, score in clips]
    if {trial.key for trial in trials} != set(KEYS):
        return {"eer_percent": None, "eer_interval_percent": None}
    scores = Scores.of(trials)
    interval = eer_interval_over_speakers(trials, seed=seed) or eer_interval(scores, seed=seed)
    return {"eer_percent": 100 * equal_error_rate(scores).rate, "eer_interval_percent": percent(interval)}


def _windows(score: Score) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float64]]:
    """A clip's window logits, and the seconds of speech in each."""
    logits = np.array([segment.logit for segment in score.segments], np.float32)
    return logits, np.array([segment.speech_seconds for segment in score.segments])


def _called_bonafide(clips: Sequence[tuple[Utterance, Score]], threshold: float) -> float | None:
    said = [score.verdict(threshold=threshold) for _, score in clips]
    return 100 * said.count("bonafide") / len(said) if said else None
