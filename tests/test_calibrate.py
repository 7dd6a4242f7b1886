import numpy as np
import pytest

from training import calibrate
from training.metrics import cllr, error_rates, min_cllr
from training.trials import Scores, Trial


def trials(*, separation: float, seed: int = 0, count: int = 4_000) -> list[Trial]:
    """Gaussian log-likelihood ratios, which by their definition are calibrated, under a wrong scale and shift."""
    rng = np.random.default_rng(seed)
    made = []
    for key, sign in (("bonafide", 1), ("spoof", -1)):
        # N(±d²/2, d²) is its own log-likelihood ratio.
        llr = rng.normal(sign * separation**2 / 2, separation, count)
        attack = None if key == "bonafide" else "A01"
        made += [Trial("speaker", f"{key}{i}", attack, key, 0.25 * value + 3) for i, value in enumerate(llr)]
    return made


def test_the_line_that_was_bent_is_found_again() -> None:
    line = calibrate.fit_line(trials(separation=2), fitted_on="a made set")
    assert line.slope == pytest.approx(4, rel=0.1)
    assert line.intercept == pytest.approx(-12, rel=0.1)


def test_calibrated_scores_cost_no_more_than_they_must_and_others_do() -> None:
    line = calibrate.fit_line(trials(separation=2), fitted_on="a made set")
    other = Scores.of(trials(separation=2, seed=1))
    calibrated = Scores(
        bonafide=line.slope * other.bonafide + line.intercept, spoof=line.slope * other.spoof + line.intercept
    )
    assert cllr(calibrated) == pytest.approx(min_cllr(calibrated), rel=0.05)
    assert cllr(other) > 2 * min_cllr(other)


def test_the_prior_of_the_set_does_not_enter() -> None:
    everything = trials(separation=2)
    bonafide, spoof = everything[:4_000], everything[4_000:]
    even = calibrate.fit_line(everything, fitted_on="")
    uneven = calibrate.fit_line(bonafide[:400] + spoof, fitted_on="")
    assert uneven.intercept == pytest.approx(even.intercept, rel=0.1)


def test_a_score_rises_with_its_logit_even_where_dev_says_nothing() -> None:
    upside_down = [Trial(t.speaker, t.utterance, t.attack, t.key, -t.score) for t in trials(separation=1)]
    assert calibrate.fit_line(upside_down, fitted_on="").slope > 0


def test_operating_points_do_what_their_names_say() -> None:
    scores = Scores.of(trials(separation=3))
    points = calibrate.operating_points(scores, measured_on="a made set")
    low, balanced, high = (points[name] for name in ("low_friction", "balanced", "high_security"))
    assert low.threshold < balanced.threshold < high.threshold
    assert low.false_reject_rate == pytest.approx(0.02, abs=0.001)
    assert high.false_accept_rate == pytest.approx(0.02, abs=0.001)
    assert balanced.false_accept_rate == pytest.approx(balanced.false_reject_rate, abs=0.001)
    for point in points.values():
        rates = error_rates(scores, threshold=point.threshold)
        assert (point.false_accept_rate, point.false_reject_rate) == (rates.false_accept_rate, rates.false_reject_rate)


def test_points_of_a_detector_that_makes_no_errors_stay_in_order() -> None:
    scores = Scores(bonafide=np.array([5.0, 6.0, 7.0]), spoof=np.array([-7.0, -6.0, -5.0]))
    points = calibrate.operating_points(scores, measured_on="a made set")
    thresholds = [points[name].threshold for name in ("low_friction", "balanced", "high_security")]
    assert thresholds == sorted(thresholds)


def test_attacks_of_training_are_left_out_unless_there_are_no_others() -> None:
    seen = [Trial("s", "1", "A01", "spoof", 0.0)]
    unseen = [Trial("s", "2", "A02", "spoof", 0.0)]
    human = [Trial("s", "3", None, "bonafide", 0.0)]
    assert calibrate.unseen(seen + unseen + human, training_attacks={"A01"}) == unseen + human
    assert calibrate.unseen(seen + human, training_attacks={"A01"}) == seen + human
