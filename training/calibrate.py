"""Logits and keys of a dev set -> the calibration and the operating points of a manifest.

Both are fitted on attacks that training has not seen, where dev has any: thresholds chosen on the attacks of
training let through a third of the spoofs of an eval set.
"""

from collections.abc import Sequence

import numpy as np
from sklearn.linear_model import LogisticRegression

from model_store.manifest import Calibration, OperatingPoint, OperatingPointName
from training.metrics import equal_error_rate, error_rates
from training.trials import Scores, Trial

LOW_FRICTION_FALSE_REJECTS = 0.02
HIGH_SECURITY_FALSE_ACCEPTS = 0.02


def unseen(trials: Sequence[Trial], *, training_attacks: set[str]) -> list[Trial]:
    """Bonafide trials and those of attacks that training has not seen; all trials if it has seen each."""
    kept = [t for t in trials if t.attack not in training_attacks]
    return kept if any(t.key == "spoof" for t in kept) else list(trials)


def fit_line(trials: Sequence[Trial], *, fitted_on: str) -> Calibration:
    """Logistic calibration: the line that makes of logits log-likelihood ratios, natural logarithm.

    The classes weigh the same, so that the prior of the dev set does not enter (Brümmer & du Preez 2006). A
    detector that tells nothing would get a slope of 0; it is kept above, since a score has to rise with its logit.
    """
    logits = np.array([[t.score] for t in trials])
    keys = np.array([t.key == "bonafide" for t in trials])
    # Barely regularised: enough for a finite slope where the classes do not overlap at all.
    model = LogisticRegression(C=1e3, class_weight="balanced").fit(logits, keys)
    return Calibration(
        slope=max(float(model.coef_[0, 0]), 1e-3), intercept=float(model.intercept_[0]), fitted_on=fitted_on
    )


def operating_points(scores: Scores, *, measured_on: str) -> dict[OperatingPointName, OperatingPoint]:
    """Thresholds on calibrated scores, with the error rates measured at them.

    ``balanced`` is where both errors are equally frequent. ``low_friction`` rejects 2 % of the bonafide clips,
    ``high_security`` accepts 2 % of the spoofs; neither crosses over to the other side of ``balanced``.
    """
    balanced = equal_error_rate(scores).threshold
    low = float(np.quantile(scores.bonafide, LOW_FRICTION_FALSE_REJECTS, method="lower"))
    # The next number above a spoof's score, since a score at the threshold is accepted.
    high = float(np.nextafter(np.quantile(scores.spoof, 1 - HIGH_SECURITY_FALSE_ACCEPTS, method="higher"), np.inf))
    thresholds: dict[OperatingPointName, float] = {
        "low_friction": min(low, balanced),
        "balanced": balanced,
        "high_security": max(high, balanced),
    }
    points: dict[OperatingPointName, OperatingPoint] = {}
    for name, threshold in thresholds.items():
        rates = error_rates(scores, threshold=threshold)
        points[name] = OperatingPoint(
            threshold=threshold,
            false_accept_rate=rates.false_accept_rate,
            false_reject_rate=rates.false_reject_rate,
            measured_on=measured_on,
        )
    return points
