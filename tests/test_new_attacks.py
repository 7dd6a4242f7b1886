"""The interval for other attacks: its promise kept on made attacks, whose rates are known."""

import numpy as np
import pytest
from scipy.special import expit

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
