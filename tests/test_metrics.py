"""Metrics against hand-computed cases, closed forms and the organisers' algorithm."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from training.metrics import (
    ASVSPOOF5_COSTS,
    DecisionCosts,
    actual_dcf,
    balanced_subset,
    calibration_curve,
    classification,
    cllr,
    detection_curve,
    equal_error_rate,
    error_rates,
    min_cllr,
    min_dcf,
    reliability_bins,
)
from training.trials import FloatArray, Scores

SMALL = Scores(bonafide=[1, 3, 4, 5], spoof=[0, 1.5, 2, 3.5])

some_scores = st.lists(st.integers(-5, 5), min_size=1, max_size=12)  # few values, so that ties are many


def gaussian_quantiles(count: int, *, mean: float) -> FloatArray:
    """A Gaussian sample without chance."""
    return norm.ppf((np.arange(count) + 0.5) / count) + mean


def organisers_eer(bonafide: FloatArray, spoof: FloatArray) -> float:
    """The EER of ASVspoof's tool, by its definition: reject one clip after the other, from the lowest score."""
    order = np.argsort(np.concatenate([bonafide, spoof]), kind="stable")
    is_bonafide = np.concatenate([np.ones(bonafide.size), np.zeros(spoof.size)])[order]
    rejected_bonafide = np.concatenate([[0], np.cumsum(is_bonafide)]) / bonafide.size
    accepted_spoof = 1 - np.concatenate([[0], np.cumsum(1 - is_bonafide)]) / spoof.size
    nearest = np.argmin(np.abs(rejected_bonafide - accepted_spoof))
    return float(rejected_bonafide[nearest] + accepted_spoof[nearest]) / 2


def test_eer_of_eight_clips_by_hand() -> None:
    # At 3, one of four bonafide clips (1) lies below and one of four spoofs (3.5) does not.
    assert equal_error_rate(SMALL).rate == 0.25
    assert equal_error_rate(SMALL).threshold == 3


def test_eer_of_two_gaussians_is_known() -> None:
    scores = Scores(bonafide=gaussian_quantiles(4000, mean=2), spoof=gaussian_quantiles(9000, mean=0))
    eer = equal_error_rate(scores)
    assert eer.rate == pytest.approx(norm.cdf(-1), abs=2e-4)
    assert eer.threshold == pytest.approx(1, abs=2e-3)


def test_higher_speaks_for_bonafide() -> None:
    """A detector that is right has a small EER, and the same scores upside down, or with labels swapped, a large."""
    bonafide, spoof = gaussian_quantiles(500, mean=2), gaussian_quantiles(700, mean=0)
    rate = equal_error_rate(Scores(bonafide=bonafide, spoof=spoof)).rate
    assert rate < 0.2
    assert equal_error_rate(Scores(bonafide=-bonafide, spoof=-spoof)).rate == pytest.approx(1 - rate, abs=2e-3)
    assert equal_error_rate(Scores(bonafide=spoof, spoof=bonafide)).rate == pytest.approx(1 - rate, abs=2e-3)


def test_classes_apart_and_classes_alike() -> None:
    apart = equal_error_rate(Scores(bonafide=[2, 3], spoof=[0, 1]))
    assert (apart.rate, apart.threshold) == (0, 2)
    alike = Scores(bonafide=[1, 1, 1], spoof=[1, 1])
    assert equal_error_rate(alike).rate == 0.5
    assert organisers_eer(alike.bonafide, alike.spoof) == 1  # why ties are not stepped through


def test_eer_is_the_organisers_where_scores_differ() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        bonafide, spoof = rng.normal(1, size=rng.integers(1, 40)), rng.normal(0, size=rng.integers(1, 40))
        expected = organisers_eer(bonafide, spoof)
        assert equal_error_rate(Scores(bonafide=bonafide, spoof=spoof)).rate == pytest.approx(expected)


@settings(deadline=None, max_examples=50)
@given(bonafide=some_scores, spoof=some_scores)
def test_the_curve_and_its_eer_are_what_thresholds_do(bonafide: list[int], spoof: list[int]) -> None:
    scores = Scores(bonafide=bonafide, spoof=spoof)
    curve = detection_curve(scores)
    for place, threshold in enumerate(curve.threshold):
        rates = error_rates(scores, threshold=threshold)
        assert rates.false_accept_rate == pytest.approx(curve.false_accept_rate[place])
        assert rates.false_reject_rate == pytest.approx(curve.false_reject_rate[place])
    eer = equal_error_rate(scores)
    at_eer = error_rates(scores, threshold=eer.threshold)
    assert eer.rate == pytest.approx((at_eer.false_accept_rate + at_eer.false_reject_rate) / 2)


def test_a_score_at_the_threshold_is_bonafide() -> None:
    rates = error_rates(SMALL, threshold=3.5)
    assert (rates.false_accepts, rates.false_rejects) == (1, 2)
    above = error_rates(SMALL, threshold=np.nextafter(3.5, 4))
    assert (above.false_accepts, above.false_rejects) == (0, 2)
    assert (rates.spoof, rates.bonafide) == (4, 4)
    assert rates.false_accept_rate == 0.25
    assert rates.false_accept_interval.low < 0.25 < rates.false_accept_interval.high
    assert above.false_accept_interval.low == 0


def test_classification_of_seven_clips_by_hand() -> None:
    figures = classification(Scores(bonafide=[1, 2, -1], spoof=[-1, -2, 0, 0.5]), threshold=0)
    assert figures.confusion == [[2, 1], [2, 2]]
    assert figures.accuracy_percent == pytest.approx(100 * 4 / 7)
    assert figures.bonafide.clips == 3
    assert figures.bonafide.precision_percent == pytest.approx(100 * 2 / 4)
    assert figures.bonafide.recall_percent == pytest.approx(100 * 2 / 3)
    assert figures.bonafide.f1_percent == pytest.approx(100 * 4 / 7)
    assert figures.spoof.clips == 4
    assert figures.spoof.precision_percent == pytest.approx(100 * 2 / 3)
    assert figures.spoof.recall_percent == pytest.approx(100 * 2 / 4)
    assert figures.spoof.f1_percent == pytest.approx(100 * 4 / 7)


def test_a_verdict_that_no_clip_got_has_no_precision() -> None:
    figures = classification(SMALL, threshold=6)
    assert figures.bonafide.precision_percent is None
    assert figures.bonafide.recall_percent == 0
    assert figures.spoof.precision_percent == 50


def test_a_balanced_subset_keeps_the_smaller_class_and_samples_the_larger() -> None:
    scores = Scores(bonafide=np.arange(20), spoof=np.arange(1000) + 100)
    subset = balanced_subset(scores, seed=1)
    assert sorted(subset.bonafide) == list(range(20))
    assert len(set(subset.spoof)) == 20
    assert set(subset.spoof) <= set(scores.spoof)
    assert subset.spoof.tolist() == balanced_subset(scores, seed=1).spoof.tolist()
    assert set(subset.spoof) != set(balanced_subset(scores, seed=2).spoof)
    mirrored = balanced_subset(Scores(bonafide=scores.spoof, spoof=scores.bonafide), seed=1)
    assert sorted(mirrored.spoof) == list(range(20))


def test_cllr_of_scores_that_say_nothing_is_one_bit() -> None:
    nothing = Scores(bonafide=np.zeros(3), spoof=np.zeros(5))
    assert cllr(nothing) == pytest.approx(1)
    assert min_cllr(nothing) == pytest.approx(1)


def test_cllr_of_calibrated_scores_is_the_entropy_that_remains() -> None:
    # Three of four bonafide clips score log 3, and one of four spoofs: log 3 is then their likelihood ratio, and
    # the posterior at equal priors 3/4.
    high, low = np.log(3), -np.log(3)
    calibrated = Scores(bonafide=[high] * 75 + [low] * 25, spoof=[high] * 50 + [low] * 150)
    entropy = -(0.75 * np.log2(0.75) + 0.25 * np.log2(0.25))
    assert cllr(calibrated) == pytest.approx(entropy)
    assert min_cllr(calibrated) == pytest.approx(entropy)
    shifted = Scores(bonafide=calibrated.bonafide + 2, spoof=calibrated.spoof + 2)
    assert cllr(shifted) > entropy + 0.1
    assert min_cllr(shifted) == pytest.approx(entropy)
    assert cllr(Scores(bonafide=-calibrated.bonafide, spoof=-calibrated.spoof)) > 1
    assert cllr(Scores(bonafide=[1000.0], spoof=[1000.0])) == pytest.approx(500 / np.log(2))  # no overflow


def test_min_cllr_is_zero_where_a_threshold_separates_the_classes() -> None:
    assert min_cllr(Scores(bonafide=[5.0, 6.0], spoof=[4.0, -1.0, 2.0])) == pytest.approx(0, abs=1e-12)


@settings(deadline=None, max_examples=50)
@given(bonafide=some_scores, spoof=some_scores)
def test_recalibration_never_costs(bonafide: list[int], spoof: list[int]) -> None:
    scores = Scores(bonafide=bonafide, spoof=spoof)
    assert min_cllr(scores) >= -1e-12
    assert min_cllr(scores) <= min(1, cllr(scores)) + 1e-12


def llr_quantiles(count: int, *, separation: float) -> Scores:
    """Gaussian log-likelihood ratios, which by their definition are calibrated, without chance."""
    spread = separation * gaussian_quantiles(count, mean=0)
    return Scores(bonafide=spread + separation**2 / 2, spoof=spread - separation**2 / 2)


def test_a_detection_cost_is_its_definition() -> None:
    costs = DecisionCosts(spoof_prior=0.2, false_accept_cost=2, false_reject_cost=1)  # 0.4 and 0.8
    assert costs.threshold == pytest.approx(np.log(0.4 / 0.8))
    assert actual_dcf(SMALL, costs) == 1  # the threshold, -0.69, accepts all
    # Of the thresholds, 3 accepts one spoof of four and rejects one bonafide clip of four.
    assert min_dcf(SMALL, costs) == pytest.approx(min(0.4 * 0.25 + 0.8 * 0.25, 0.4 * 0.75) / 0.4)


def test_deaf_verdicts_cost_1_and_misleading_scores_more() -> None:
    deaf = Scores(bonafide=np.zeros(5), spoof=np.zeros(5))
    assert (actual_dcf(deaf), min_dcf(deaf)) == (1, 1)  # all are accepted, which is the cheaper of the two
    assert actual_dcf(Scores(bonafide=[-9, -8], spoof=[9, 8])) > 1
    assert min_dcf(Scores(bonafide=[-9, -8], spoof=[9, 8])) == 1


def test_calibrated_scores_cost_their_minimum_and_shifted_ones_more() -> None:
    scores = llr_quantiles(2_000, separation=2)
    least = min_dcf(scores)
    assert actual_dcf(scores) == pytest.approx(least, rel=0.01)
    shifted = Scores(bonafide=scores.bonafide - 2, spoof=scores.spoof - 2)
    assert min_dcf(shifted) == pytest.approx(least)
    assert actual_dcf(shifted) > 1.2 * least
    accepts, rejects = norm.cdf((-1 - ASVSPOOF5_COSTS.threshold / 2, ASVSPOOF5_COSTS.threshold / 2 - 1))
    assert least == pytest.approx((0.5 * accepts + 0.95 * rejects) / 0.5, rel=0.01)


def test_calibrated_scores_lie_on_the_diagonal_and_boastful_ones_do_not() -> None:
    scores = llr_quantiles(2_000, separation=2)
    claimed, observed = calibration_curve(scores)
    assert observed == pytest.approx(claimed, abs=0.06)
    assert all(low < middle < high for low, high, middle in reliability_bins(scores))
    boastful = Scores(bonafide=3 * scores.bonafide, spoof=3 * scores.spoof)
    claimed, observed = calibration_curve(boastful)
    assert np.abs(observed - claimed).max() > 0.2
    outside = [not low < middle < high for low, high, middle in reliability_bins(boastful)]
    assert sum(outside) >= 5


def test_the_interval_of_a_bin_is_jeffreys_of_both_rates_into_it() -> None:
    """30 of 100 bonafide and 80 of 100 spoofs score 0: both ends by a million draws of its definition."""
    scores = Scores(bonafide=np.repeat([0, 1], [30, 70]), spoof=np.repeat([0, 1], [80, 20]))
    (low, high, middle), _ = reliability_bins(scores)
    assert (low, high, middle) == (pytest.approx(0.212, abs=0.005), pytest.approx(0.336, abs=0.005), 0.5)


def test_bins_of_equal_scores_are_one() -> None:
    assert len(reliability_bins(Scores(bonafide=[1, 1, 2], spoof=[1, 1, 1]))) <= 2
    ((low, high, middle),) = reliability_bins(Scores(bonafide=[0.0], spoof=[0.0]))
    assert low < 0.5 < high
    assert middle == 0.5
