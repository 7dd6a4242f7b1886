"""How far scores and verdicts move when clips are changed, and how they differ between kinds of clips."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from model_store.detector import Score, Verdict
from training.confidence import eer_interval, proportion_interval
from training.corpus import KEYS, Key
from training.metrics import equal_error_rate
from training.summary import percent
from training.trials import Scores

_RESAMPLES = 500

Points = Mapping[str, float]  # operating point: threshold


@dataclass(frozen=True, slots=True)
class Answer:
    """What a detector said of a clip: a score, and a verdict at each operating point; None where it is not compared."""

    value: float
    verdicts: Mapping[str, Verdict | None]

    @classmethod
    def of(cls, score: Score, points: Points) -> "Answer":
        verdicts: dict[str, Verdict | None] = {
            name: score.verdict(threshold=threshold) for name, threshold in points.items()
        }
        return cls(score.value, verdicts)


def agreed(one: Answer, other: Answer) -> Answer:
    """What two clips together should get: the mean of their scores, and the verdicts that they share."""
    verdicts = {name: verdict if other.verdicts[name] == verdict else None for name, verdict in one.verdicts.items()}
    return Answer((one.value + other.value) / 2, verdicts)


def movement(
    before: Sequence[Answer], after: Sequence[Answer], keys: Sequence[Key], *, points: Iterable[str], seed: int
) -> dict[str, Any]:
    """How far the answers to the same clips moved, ready for JSON.

    Returns
    -------
    dict
        `clips`, `mean_change` (of the score, without its sign) and `mean_shift` (with it), `eer_percent` of the clips
        as they are now, with its interval (None where a class is missing), and for each of `points` how many verdicts
        changed, among how many, to what.
    """
    moved = np.array([b.value - a.value for a, b in zip(before, after, strict=True)])
    return {
        "clips": len(after),
        "mean_change": float(np.abs(moved).mean()),
        "mean_shift": float(moved.mean()),
        **eer(after, keys, seed=seed),
        "points": {name: _verdicts(before, after, name) for name in points},
    }


def errors(answers: Sequence[Answer], keys: Sequence[Key], *, point: str) -> dict[Key, dict[str, Any] | None]:
    """For each class: verdicts of the other class, inconclusive ones, and the mean score; None without clips."""
    return {
        key: _errors([answer for answer, k in zip(answers, keys, strict=True) if k == key], key, point=point)
        for key in KEYS
    }


def eer(answers: Sequence[Answer], keys: Sequence[Key], *, seed: int) -> dict[str, Any]:
    """The EER in percent and its interval over clips; None where a class is missing."""
    if set(keys) != set(KEYS):
        return {"eer_percent": None, "eer_interval_percent": None}
    values = {key: np.array([a.value for a, k in zip(answers, keys, strict=True) if k == key]) for key in KEYS}
    scores = Scores(bonafide=values["bonafide"], spoof=values["spoof"])
    interval = eer_interval(scores, seed=seed, resamples=_RESAMPLES)
    return {"eer_percent": 100 * equal_error_rate(scores).rate, "eer_interval_percent": percent(interval)}


def _errors(answers: Sequence[Answer], key: Key, *, point: str) -> dict[str, Any] | None:
    if not answers:
        return None
    said = [answer.verdicts[point] for answer in answers]
    wrong = sum(verdict not in {key, "inconclusive"} for verdict in said)
    return {
        "clips": len(said),
        "errors": wrong,
        "error_percent": 100 * wrong / len(said),
        "error_interval_percent": percent(proportion_interval(wrong, trials=len(said))),
        "inconclusive_percent": 100 * said.count("inconclusive") / len(said),
        "mean_score": float(np.mean([answer.value for answer in answers])),
    }


def _verdicts(before: Sequence[Answer], after: Sequence[Answer], point: str) -> dict[str, Any]:
    pairs = [(a.verdicts[point], b.verdicts[point]) for a, b in zip(before, after, strict=True)]
    compared = [(a, b) for a, b in pairs if a is not None]
    changed = [b for a, b in compared if a != b]
    share = 100 / max(len(compared), 1)
    return {
        "compared": len(compared),
        "changed": len(changed),
        "changed_percent": share * len(changed),
        "changed_interval_percent": percent(proportion_interval(len(changed), trials=max(len(compared), 1))),
        **{f"to_{to}_percent": share * changed.count(to) for to in ("bonafide", "spoof", "inconclusive")},
    }
