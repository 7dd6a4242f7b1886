"""What a detector says of clips that it has not learned from -> the calibration and the operating points it gets."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model_store import manifest as m
from model_store.detector import Detector
from training import calibrate
from training.corpus import KEYS, Partition, read_partition
from training.det_curve import det_curve
from training.score import score_utterances
from training.summary import summarise
from training.trials import Scores, Trial

# What dev and eval are heard through. The first are fitted on: what a bank's line carries. GSM and Opus at a low rate
# leave bonafide speech so much less of itself that a line fitted on them too would let spoofs through mu-law.
FITTED = ("original", "telephone", "narrowband")
CHANNELS = (*FITTED, "gsm", "opus")

Heard = dict[str, list[Trial]]  # by channel


@dataclass(frozen=True, slots=True)
class Judged:
    """What a model said of a partition, and the attacks that it had learned from."""

    words: str  # corpus and partition
    heard: Heard
    learned: set[str]


def hear(detector: Detector, corpus: Path, partition: Partition) -> Heard:
    """The logits of a partition by the channel that its clips went through, while `detector` has the draft's lines."""
    utterances = read_partition(corpus, partition)
    return {channel: score_utterances(detector, utterances, channel=channel) for channel in CHANNELS}


def fit_output(output: m.Output, judged: Sequence[Judged]) -> m.Output:
    """An output with its calibration and its operating points.

    They are fitted on bonafide clips, and on the spoofs of attacks that the model which said it had not learned from;
    on all, if there are no such attacks.
    """
    found = [
        (of.words, trial, trial.attack not in of.learned)
        for of in judged
        for channel in FITTED
        for trial in of.heard[channel]
    ]
    new = any(unseen and trial.key == "spoof" for _, trial, unseen in found)
    kept = [(words, trial) for words, trial, unseen in found if unseen or not new]
    trials = [trial for _, trial in kept]
    spoofs, bonafide = (len({t.utterance for t in trials if t.key == key}) for key in KEYS[::-1])
    attacks = len({t.attack for t in trials if t.attack})
    heard = f"{' and '.join(dict.fromkeys(words for words, _ in kept))}, {' and '.join(FITTED)}"
    relation = "not in training" if new else "also in training"
    description = f"{heard}: {bonafide} bonafide clips, {spoofs} spoofs of {attacks} attacks {relation}"
    lines = calibrate.fit_lines(trials, fitted_on=description)
    points = calibrate.operating_points(trials, measured_on=description)
    return output.model_copy(update={"calibration": lines, "operating_points": points})


def figures_of(logits: list[Trial], output: m.Output) -> dict[str, Any]:
    """What the manifest keeps of a partition: the summary, the DET curve, and the errors at each operating point.

    These are means over attacks and over speakers, as the operating point's own are, and whether they lie within the
    intervals that it claims. The curve is over clips, as the EER is.
    """
    trials = calibrate.calibrated(logits, output.calibration)
    figures = summarise(trials)
    thresholds = {name: point.threshold for name, point in output.operating_points.items()}
    figures["det_curve"] = det_curve(Scores.of(trials), thresholds).model_dump()
    figures["operating_points"] = {}
    for name, point in output.operating_points.items():
        accepts, rejects = calibrate.mean_error_rates(trials, threshold=point.threshold)
        figures["operating_points"][name] = {
            "false_accept_percent": 100 * accepts,
            "false_accept_within": _within(accepts, point.false_accept_interval),
            "false_reject_percent": 100 * rejects,
            "false_reject_within": _within(rejects, point.false_reject_interval),
        }
    return figures


def pooled(heard: Iterable[Heard]) -> Heard:
    """Several partitions as one."""
    together: Heard = {channel: [] for channel in CHANNELS}
    for of in heard:
        for channel, trials in of.items():
            together[channel] += trials
    return together


def _within(rate: float, interval: list[float]) -> bool:
    low, high = interval
    return low <= rate <= high
