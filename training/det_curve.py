"""All error rates of a detector -> the few points of them that a manifest carries and the console draws."""

from bisect import bisect_left
from collections.abc import Mapping, Sequence

import numpy as np
from scipy.stats import norm

from model_store.manifest import DetCurve, OperatingPointName
from training.metrics import detection_curve
from training.trials import FloatArray, Scores

MOST_POINTS = 80
TOLERANCE = 0.005  # of an error rate
_DECIMALS = 4


def det_curve(scores: Scores, thresholds: Mapping[OperatingPointName, float]) -> DetCurve:
    """The detection curve, thinned: both error rates over clips as the threshold rises.

    It goes through points of the whole curve, joined by lines on normal deviate scales (Martin et al., "The DET curve
    in assessment of detection task performance", Eurospeech 1997). The whole curve is within `TOLERANCE` of them; where
    that takes more than `MOST_POINTS`, the tolerance grows by a quarter until it does not. No rate is beyond what its
    class can show, half a clip from 0 and 1, nor beyond what four decimals can.

    Parameters
    ----------
    thresholds : name -> a threshold on the score, whose point is always one of the curve's
    """
    curve = detection_curve(scores)
    accept = _within_reach(curve.false_accept_rate, scores.spoof.size)
    reject = _within_reach(curve.false_reject_rate, scores.bonafide.size)
    at = {name: int(np.searchsorted(curve.threshold, threshold)) for name, threshold in thresholds.items()}
    stops = sorted({*at.values(), accept.size - 1})
    tolerance = TOLERANCE - 10**-_DECIMALS  # for rounding
    while len(kept := _thinned(accept, reject, stops, tolerance)) > MOST_POINTS:
        tolerance *= 1.25
    return DetCurve(
        false_accept_rate=accept[kept].round(_DECIMALS).tolist(),
        false_reject_rate=reject[kept].round(_DECIMALS).tolist(),
        operating_points={name: kept.index(place) for name, place in at.items()},
    )


def _thinned(accept: FloatArray, reject: FloatArray, stops: Sequence[int], tolerance: float) -> list[int]:
    """Places of a curve's points, the first and `stops` among them: each is as far from the last as a line may go."""
    kept = [0]
    for stop in stops:
        while kept[-1] < stop:
            kept.append(_furthest(accept[kept[-1] : stop + 1], reject[kept[-1] : stop + 1], tolerance) + kept[-1])
    return kept


def _furthest(accept: FloatArray, reject: FloatArray, tolerance: float) -> int:
    """The place of a point that a line from the first one may go to; the next one, if none is further."""

    def near(place: int) -> bool:
        return _distance(accept[: place + 1], reject[: place + 1]) <= tolerance

    last = accept.size - 1
    good, ahead = 1, 2
    while ahead <= last and near(ahead):
        good, ahead = ahead, 2 * ahead
    if ahead > last and near(last):
        return last
    return good + bisect_left(range(good + 1, min(ahead, last)), True, key=lambda place: not near(place))


def _distance(accept: FloatArray, reject: FloatArray) -> float:
    """How far points of a curve are from the line between the first and the last: the greatest difference of a rate.

    It is taken along lines of slope 1 on the scales: a step of the curve crosses one in a single place, as a slope
    does, and the line of equal errors is one of them.
    """
    x, y = norm.ppf(accept), norm.ppf(reject)
    along = y - x  # rises from point to point
    differences = [norm.cdf(np.interp(along, along[[0, -1]], of[[0, -1]])) - norm.cdf(of) for of in (x, y)]
    return float(np.abs(differences).max())


def _within_reach(rates: FloatArray, clips: int) -> FloatArray:
    least = max(0.5 / clips, 10**-_DECIMALS)
    return rates.clip(least, 1 - least)
