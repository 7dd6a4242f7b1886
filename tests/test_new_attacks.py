"""The interval for other attacks: its promise kept on made attacks, whose rates are known."""

import numpy as np
import pytest
from scipy.integrate import quad_vec
from scipy.special import expit, log_expit, logit

from training.confidence import proportion_interval
from training.new_attacks import predictive_interval


@pytest.mark.parametrize(
    ("groups", "clips", "mean", "spread"), [(10, 28, -2.0, 1.2), (6, 40, -3.0, 1.5), (25, 20, -4.0, 0.7)]
)
def test_other_attacks_fall_within_in_95_of_100_cases(groups: int, clips: int, mean: float, spread: float) -> None:
    rng = np.random.default_rng(0)
    within = narrow = 0
    for trial in range(200):
        measured, other = expit(rng.normal(mean, spread, (2, groups)))
        errors = rng.binomial(clips, measured)
        low, high = predictive_interval(errors.tolist(), [clips] * groups, seed=trial)
        within += low <= other.mean() <= high
        over_clips = proportion_interval(int(errors.sum()), trials=groups * clips)
        narrow += over_clips.low <= other.mean() <= over_clips.high
    assert within >= 0.91 * 200  # 95 % but for 3 standard errors of 200 cases
    assert narrow < within - 8  # what an interval over clips would have promised


def by_adaptive_quadrature(errors: list[int], clips: int) -> list[float]:
    """The interval by another route: each integral to a tolerance, means and spreads on one dense grid."""
    means, spreads = np.linspace(-9, 9, 181)[:, None], np.geomspace(0.05, 6, 40)
    density = log_expit(means) + log_expit(-means) - np.square(spreads / 2) / 2 + np.log(spreads)
    for wrong in errors:
        peak = logit((wrong + 0.5) / (clips + 1))

        def log_likelihood(rate: float, wrong: int = wrong) -> float:
            return float(wrong * log_expit(rate) + (clips - wrong) * log_expit(-rate))

        def integrand(rate: float, peak: float = peak) -> np.ndarray:
            normal = np.exp(-np.square((rate - means) / spreads) / 2) / spreads
            return np.asarray(normal * np.exp(log_likelihood(rate) - log_likelihood(peak)))

        integral, _ = quad_vec(integrand, -40, 40, epsabs=1e-10, points=[peak], norm="max", limit=20_000)
        density = density + np.log(np.maximum(integral, 1e-300))
    probability = np.exp(density - density.max()).ravel()
    rng = np.random.default_rng(1)
    drawn = rng.choice(probability.size, 20_000, p=probability / probability.sum())
    others = means.ravel()[drawn // 40] + spreads[drawn % 40] * rng.standard_normal((len(errors), drawn.size))
    return [float(end) for end in np.quantile(expit(others).mean(axis=0), [0.025, 0.975])]


@pytest.mark.parametrize("clips", [30, 1_500, 4_900, 40_000])
def test_groups_of_any_size_have_the_interval_that_adaptive_quadrature_gives(clips: int) -> None:
    errors = np.random.default_rng(2).binomial(clips, expit(np.random.default_rng(3).normal(-2, 1.2, 13))).tolist()
    expected = by_adaptive_quadrature(errors, clips)
    assert predictive_interval(errors, [clips] * 13) == pytest.approx(expected, rel=0.06)  # what 4,000 draws allow


def test_many_groups_narrow_the_interval_beyond_the_steps_of_a_first_look() -> None:
    """1,500 speakers of ten clips: the mean's standard error is 0.03 logits."""
    errors = np.random.default_rng(4).binomial(10, expit(np.random.default_rng(5).normal(-2.5, 0.5, 1_500)))
    low, high = predictive_interval(errors.tolist(), [10] * 1_500)
    others = expit(np.random.default_rng(6).normal(-2.5, 0.5, 10_000))
    standard_error = np.sqrt(((errors / 10).var() + others.var()) / 1_500)  # of the measured mean, and of the others'
    assert (low + high) / 2 == pytest.approx(errors.mean() / 10, rel=0.02)
    assert (high - low) / 2 == pytest.approx(1.96 * standard_error, rel=0.1)
