"""The tandem detection cost (t-DCF): a detector in front of automatic speaker verification (ASV).

Kinnunen et al., "t-DCF: a detection cost function for the tandem assessment of spoofing countermeasures and
automatic speaker verification", Odyssey 2018.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from training.metrics import detection_curve, equal_error_rate
from training.trials import FloatArray, ScoreFileError, Scores, parse_score, parsed_lines, refuse

KINDS = ("target", "nontarget", "spoof")


@dataclass(frozen=True, slots=True, kw_only=True)
class AsvScores:
    """What the ASV system gave the claimed speaker, another one, and a spoof; float64, each of shape (n,)."""

    target: FloatArray
    nontarget: FloatArray
    spoof: FloatArray


@dataclass(frozen=True, slots=True, kw_only=True)
class CostModel:
    """Priors of the three kinds of trial, and what each error costs. The defaults are ASVspoof 2019's.

    Todisco et al., "ASVspoof 2019: future horizons in spoofed and fake audio detection", Interspeech 2019.
    """

    prior_target: float = 0.9405
    prior_nontarget: float = 0.0095
    prior_spoof: float = 0.05
    asv_miss: float = 1.0
    asv_false_accept: float = 10.0
    detector_miss: float = 1.0
    detector_false_accept: float = 10.0


ASVSPOOF_2019 = CostModel()


def read_asv_scores(path: Path) -> AsvScores:
    """Read the organisers' ASV scores, plain or gzipped: ``bonafide|ATTACK target|nontarget|spoof SCORE``.

    Raises
    ------
    ScoreFileError
        On another number of columns, an unknown kind of trial, a score that is not a finite number, or a file
        in which one of the three kinds is missing.
    """
    by_kind: dict[str, list[float]] = {kind: [] for kind in KINDS}
    for _, (kind, score) in parsed_lines(path, _parse):
        by_kind[kind].append(score)
    for kind, scores in by_kind.items():
        if not scores:
            raise ScoreFileError(f"{path}: ASV scores have {', '.join(KINDS)} trials. Received: no {kind} one.")
    return AsvScores(**{kind: np.array(scores) for kind, scores in by_kind.items()})


def min_tdcf(scores: Scores, asv: AsvScores, *, costs: CostModel = ASVSPOOF_2019) -> float:
    """Minimum normalised t-DCF: the share of a useless detector's cost that remains behind this one.

    The ASV system's threshold stands at its own EER over target and nontarget trials; the detector's is the
    best one in hindsight. 0 is a perfect detector, 1 one that might as well not be there.

    Raises
    ------
    ValueError
        Where the ASV system errs so much, or stops spoofs so well, that an error of the detector is free.
    """
    threshold = equal_error_rate(Scores(bonafide=asv.target, spoof=asv.nontarget)).threshold
    asv_miss_rate = float(np.mean(asv.target < threshold))
    asv_false_accept_rate = float(np.mean(asv.nontarget >= threshold))
    asv_spoof_accept_rate = float(np.mean(asv.spoof >= threshold))
    miss = (  # less what the ASV system's own errors about the same clips would have cost
        costs.prior_target * (costs.detector_miss - costs.asv_miss * asv_miss_rate)
        - costs.prior_nontarget * costs.asv_false_accept * asv_false_accept_rate
    )
    false_accept = costs.prior_spoof * costs.detector_false_accept * asv_spoof_accept_rate
    if min(miss, false_accept) <= 0:
        raise ValueError(
            "The normalised t-DCF needs an ASV system behind which both errors of a detector cost something. "
            f"Received: {miss:.4g} per miss and {false_accept:.4g} per false accept."
        )
    curve = detection_curve(scores)
    cost = miss * curve.false_reject_rate + false_accept * curve.false_accept_rate
    return float(cost.min() / min(miss, false_accept))


def _parse(columns: list[str]) -> tuple[str, float]:
    match columns:
        case [origin, kind, score] if kind in KINDS and (origin == "bonafide") == (kind != "spoof"):
            return kind, parse_score(score)
    return refuse(
        "An ASV trial is `bonafide target SCORE`, `bonafide nontarget SCORE` or `ATTACK spoof SCORE`",
        " ".join(columns),
    )
