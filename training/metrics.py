"""What a detector's scores are worth: error rates, EER, precision and recall, Cllr.

One convention throughout: higher speaks for bonafide, and a clip is called bonafide where score >= threshold.
A *false accept* is a spoof that was called bonafide, a *false reject* a bonafide clip that was called spoof.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy.special import expit
from sklearn.isotonic import IsotonicRegression
from sklearn.metrics import accuracy_score, confusion_matrix, precision_recall_fscore_support

from training.confidence import Interval, proportion_interval
from training.corpus import KEYS
from training.trials import FloatArray, Scores


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectionCurve:
    """Both error rates at each threshold that makes a difference, ascending; float64, each of shape (n,)."""

    threshold: FloatArray
    false_accept_rate: FloatArray
    false_reject_rate: FloatArray


@dataclass(frozen=True, slots=True, kw_only=True)
class EqualErrorRate:
    """The EER as a fraction, and the threshold that gives it."""

    rate: float
    threshold: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorRates:
    """What a threshold does to the two classes, with Wilson's 95 % intervals over clips."""

    threshold: float
    false_accepts: int
    spoof: int
    false_accept_rate: float
    false_accept_interval: Interval
    false_rejects: int
    bonafide: int
    false_reject_rate: float
    false_reject_interval: Interval


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassFigures:
    """One class as a search has it; in percent. The precision of a verdict that no clip got is None."""

    clips: int
    precision_percent: float | None
    recall_percent: float
    f1_percent: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Classification:
    """What the verdicts at a threshold are worth. `confusion` counts clips by truth and verdict, bonafide first."""

    accuracy_percent: float
    confusion: list[list[int]]
    bonafide: ClassFigures
    spoof: ClassFigures


def detection_curve(scores: Scores) -> DetectionCurve:
    """Both error rates at each threshold: every score that occurs, and infinity, which rejects all.

    Equal scores fall on one side together, so the curve has no point that no threshold can reach. (The
    organisers' tool steps through ties one by one: a detector that gives all clips one score has an EER of
    100 % there, and of 50 % here.)
    """
    threshold = np.append(np.unique(np.concatenate([scores.bonafide, scores.spoof])), np.inf)
    return DetectionCurve(
        threshold=threshold,
        false_accept_rate=1 - np.searchsorted(np.sort(scores.spoof), threshold) / scores.spoof.size,
        false_reject_rate=np.searchsorted(np.sort(scores.bonafide), threshold) / scores.bonafide.size,
    )


def equal_error_rate(scores: Scores) -> EqualErrorRate:
    """The rate at which false accepts and false rejects are equally frequent.

    As in the organisers' tool, the curve is not interpolated: the EER is the mean of the two rates where they
    lie closest, at the lowest threshold that brings them there.
    """
    curve = detection_curve(scores)
    nearest = int(np.argmin(np.abs(curve.false_accept_rate - curve.false_reject_rate)))
    rate = (curve.false_accept_rate[nearest] + curve.false_reject_rate[nearest]) / 2
    return EqualErrorRate(rate=float(rate), threshold=float(curve.threshold[nearest]))


def error_rates(scores: Scores, *, threshold: float) -> ErrorRates:
    """How often the decision "bonafide where score >= threshold" is wrong about each class."""
    false_accepts = int(np.count_nonzero(scores.spoof >= threshold))
    false_rejects = int(np.count_nonzero(scores.bonafide < threshold))
    return ErrorRates(
        threshold=threshold,
        false_accepts=false_accepts,
        spoof=scores.spoof.size,
        false_accept_rate=false_accepts / scores.spoof.size,
        false_accept_interval=proportion_interval(false_accepts, trials=scores.spoof.size),
        false_rejects=false_rejects,
        bonafide=scores.bonafide.size,
        false_reject_rate=false_rejects / scores.bonafide.size,
        false_reject_interval=proportion_interval(false_rejects, trials=scores.bonafide.size),
    )


def classification(scores: Scores, *, threshold: float) -> Classification:
    """Accuracy, confusion, and each class's precision, recall and F1.

    All but recall depend on the mixture of the classes: give `balanced_subset` too.
    """
    truth = np.repeat(KEYS, [scores.bonafide.size, scores.spoof.size])
    verdicts = np.where(np.concatenate([scores.bonafide, scores.spoof]) >= threshold, *KEYS)
    table = precision_recall_fscore_support(truth, verdicts, labels=KEYS, zero_division=np.nan)
    bonafide, spoof = (
        ClassFigures(
            clips=int(clips),
            precision_percent=None if np.isnan(precision) else 100 * float(precision),
            recall_percent=100 * float(recall),
            f1_percent=100 * float(f1),
        )
        for precision, recall, f1, clips in zip(*table, strict=True)
    )
    return Classification(
        accuracy_percent=100 * float(accuracy_score(truth, verdicts)),
        confusion=confusion_matrix(truth, verdicts, labels=KEYS).tolist(),
        bonafide=bonafide,
        spoof=spoof,
    )


def balanced_subset(scores: Scores, *, seed: int) -> Scores:
    """All scores of the smaller class and as many, drawn at random without replacement, of the larger one."""
    rng = np.random.default_rng(seed)
    size = min(scores.bonafide.size, scores.spoof.size)
    return Scores(
        bonafide=rng.choice(scores.bonafide, size, replace=False),
        spoof=rng.choice(scores.spoof, size, replace=False),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionCosts:
    """How common spoofs are, and what each error costs: what turns two error rates into one number."""

    spoof_prior: float
    false_accept_cost: float
    false_reject_cost: float

    @property
    def threshold(self) -> float:
        """The log-likelihood ratio at which either verdict costs the same: Bayes' threshold."""
        return float(
            np.log(self.false_accept_cost * self.spoof_prior) - np.log(self.false_reject_cost * (1 - self.spoof_prior))
        )

    def normalised(self, false_accept_rate: FloatArray, false_reject_rate: FloatArray) -> FloatArray:
        """The cost of error rates, over that of the better of accepting all and rejecting all."""
        accept = self.false_accept_cost * self.spoof_prior
        reject = self.false_reject_cost * (1 - self.spoof_prior)
        return np.asarray((accept * false_accept_rate + reject * false_reject_rate) / min(accept, reject))


# Wang et al., "ASVspoof 5: Crowdsourced Speech Data, Deepfakes, and Adversarial Attacks at Scale", 2024
# (arXiv:2408.08739), track 1.
ASVSPOOF5_COSTS = DecisionCosts(spoof_prior=0.05, false_accept_cost=10, false_reject_cost=1)


def actual_dcf(scores: Scores, costs: DecisionCosts = ASVSPOOF5_COSTS) -> float:
    """Normalised detection cost of deciding at Bayes' threshold, as if the scores were log-likelihood ratios.

    1 is what a verdict costs that does not listen; a score that is miscalibrated may cost more.
    """
    rates = error_rates(scores, threshold=costs.threshold)
    return float(costs.normalised(np.array(rates.false_accept_rate), np.array(rates.false_reject_rate)))


def min_dcf(scores: Scores, costs: DecisionCosts = ASVSPOOF5_COSTS) -> float:
    """Normalised detection cost at the threshold that makes it least, in hindsight; at most 1."""
    curve = detection_curve(scores)
    return float(costs.normalised(curve.false_accept_rate, curve.false_reject_rate).min())


def cllr(scores: Scores) -> float:
    """Cost, in bits, of taking the scores for natural log-likelihood ratios: 1 says nothing, more misleads.

    Brümmer & du Preez, "Application-independent evaluation of speaker detection", Computer Speech & Language
    20, 2006.
    """
    bonafide_bits = np.logaddexp(0, -scores.bonafide).mean() / np.log(2)
    spoof_bits = np.logaddexp(0, scores.spoof).mean() / np.log(2)
    return float(bonafide_bits + spoof_bits) / 2


def min_cllr(scores: Scores) -> float:
    """The Cllr, in bits, that the best monotone recalibration would leave: discrimination alone.

    `cllr - min_cllr` is what miscalibration costs. By pool-adjacent-violators, in hindsight, as in the paper
    that `cllr` names; each class weighs half.
    """
    _, is_bonafide, weights, posterior = _pooled(scores)
    posterior_of_truth = np.where(is_bonafide == 1, posterior, 1 - posterior)
    return float(-(weights * np.log2(posterior_of_truth)).sum())


def calibration_curve(scores: Scores) -> tuple[FloatArray, FloatArray]:
    """The posterior of bonafide that each score claims, ascending, and what was observed; both float64 (n,).

    Both at equal priors; the observed one by pool-adjacent-violators, as in `min_cllr`.
    """
    values, _, _, posterior = _pooled(scores)
    order = np.argsort(values)
    return expit(values[order]), posterior[order]


def reliability_bins(scores: Scores, *, bins: int = 10) -> list[tuple[float, float, float]]:
    """Of as many bins of equal size: a 95 % interval of the share of bonafide at equal priors, and the mean claim.

    The interval is over clips: Jeffreys' of either class's rate into the bin, by 4,000 draws.
    """
    values = np.concatenate([scores.bonafide, scores.spoof])
    lower = np.unique(np.quantile(values, np.arange(bins) / bins, method="lower"))  # scores that occur: no bin is empty
    rng = np.random.default_rng(0)
    found = []
    for low, high in pairwise([*lower, np.inf]):
        inside = values[(values >= low) & (values < high)]
        shares = []
        for of_class in (scores.bonafide, scores.spoof):
            count = np.count_nonzero((of_class >= low) & (of_class < high))
            shares.append(rng.beta(count + 0.5, of_class.size - count + 0.5, 4_000))
        ends = np.quantile(shares[0] / (shares[0] + shares[1]), [0.025, 0.975])
        found.append((float(ends[0]), float(ends[1]), float(expit(inside).mean())))
    return found


def _pooled(scores: Scores) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Scores, whether bonafide, weights of half to each class, and the posterior that fits best and never falls."""
    sizes = [scores.bonafide.size, scores.spoof.size]
    values = np.concatenate([scores.bonafide, scores.spoof])
    is_bonafide = np.repeat([1.0, 0.0], sizes)
    weights = np.repeat([0.5 / size for size in sizes], sizes)
    posterior = IsotonicRegression(y_min=0, y_max=1).fit_transform(values, is_bonafide, sample_weight=weights)
    return values, is_bonafide, weights, np.asarray(posterior)
