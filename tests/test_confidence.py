"""Intervals: closed forms, a second route to the bootstrap, and the coverage that "95 %" promises."""

import numpy as np
import pytest
from scipy.stats import norm

from training.confidence import Interval, eer_interval, eer_interval_over_speakers, proportion_interval
from training.metrics import equal_error_rate
from training.trials import Scores, Trial


def gaussians(*, bonafide: int, spoof: int, distance: float, seed: int) -> Scores:
    rng = np.random.default_rng(seed)
    return Scores(bonafide=rng.normal(distance, size=bonafide), spoof=rng.normal(size=spoof))


def test_wilson_has_its_closed_form_at_no_errors() -> None:
    z = norm.ppf(0.975)
    low, high = proportion_interval(0, trials=10)
    assert low == 0
    assert high == pytest.approx(z**2 / (10 + z**2))


def test_the_bisection_has_the_distribution_of_drawing_and_sorting() -> None:
    exact = gaussians(bonafide=60, spoof=80, distance=1.5, seed=1)
    scores = Scores(bonafide=exact.bonafide.round(1), spoof=exact.spoof.round(1))  # with ties
    rng = np.random.default_rng(2)
    drawn = [
        equal_error_rate(Scores(bonafide=rng.choice(scores.bonafide, 60), spoof=rng.choice(scores.spoof, 80))).rate
        for _ in range(5000)
    ]
    expected = np.quantile(drawn, [0.025, 0.975])
    assert eer_interval(scores, seed=3, resamples=20_000) == pytest.approx(expected, abs=0.005)
    assert expected[1] - expected[0] > 0.1  # so that the tolerance means something


def test_95_of_100_intervals_hold_the_true_rate() -> None:
    true_rate = norm.cdf(-1)
    held = 0
    for seed in range(200):
        scores = gaussians(bonafide=150, spoof=300, distance=2, seed=seed)
        low, high = eer_interval(scores, seed=seed, resamples=500)
        held += low <= true_rate <= high
    assert 0.91 <= held / 200 <= 0.99  # binomial, 200 at 0.95: a standard deviation of 0.015


def test_a_seed_gives_one_interval() -> None:
    scores = gaussians(bonafide=50, spoof=50, distance=1, seed=0)
    assert eer_interval(scores, seed=1) == eer_interval(scores, seed=1)
    assert eer_interval(scores, seed=1) != eer_interval(scores, seed=2)


def test_no_error_is_not_certainty() -> None:
    scores = Scores(bonafide=np.arange(30) + 100, spoof=np.arange(50))
    low, high = eer_interval(scores, seed=0)
    assert low == 0
    assert high == pytest.approx(1 - 0.025 ** (1 / 30))  # Clopper & Pearson for 0 of 30


def by_speaker(scores: Scores, *, speakers: int, copies: int) -> list[Trial]:
    return [
        Trial(f"S{place % speakers}", f"{key}-{place}-{copy}", None, key, float(value))
        for key, values in (("bonafide", scores.bonafide), ("spoof", scores.spoof))
        for place, value in enumerate(values)
        for copy in range(copies)
    ]


def width(interval: Interval | None) -> float:
    assert interval is not None
    return interval.high - interval.low


def test_no_error_of_any_clip_is_not_certainty_about_speakers() -> None:
    apart = Scores(bonafide=np.arange(100.0, 110), spoof=np.arange(20.0))  # of 10 and of 20 speakers
    interval = eer_interval_over_speakers(by_speaker(apart, speakers=20, copies=50), seed=0)
    assert interval == (0, pytest.approx(1 - 0.025 ** (1 / 10)))


def test_more_clips_of_the_same_speakers_say_no_more_about_speakers() -> None:
    scores = gaussians(bonafide=100, spoof=100, distance=1.5, seed=5)
    once, ninefold = (by_speaker(scores, speakers=100, copies=copies) for copies in (1, 9))
    over_speakers = eer_interval_over_speakers(once, seed=0)
    assert eer_interval_over_speakers(ninefold, seed=0) == over_speakers
    # The planted fault: over clips, nine copies of each look like nine times the evidence.
    assert width(eer_interval(Scores.of(ninefold), seed=0)) < 0.5 * width(over_speakers)
    # With a clip of each class for each speaker, both bootstraps draw nearly alike.
    assert width(eer_interval(scores, seed=0)) == pytest.approx(width(over_speakers), rel=0.25)


def test_speakers_are_resampled_whole_and_weighted_by_their_clips() -> None:
    """The second route: repeat the clips of each drawn speaker, and sort."""
    scores = gaussians(bonafide=120, spoof=90, distance=1, seed=6)
    trials = by_speaker(scores, speakers=17, copies=1)
    names = sorted({trial.speaker for trial in trials})
    rng = np.random.default_rng(7)
    drawn = []
    for _ in range(1500):
        chosen = rng.choice(names, len(names))
        drawn.append(equal_error_rate(Scores.of(t for name in chosen for t in trials if t.speaker == name)).rate)
    interval = eer_interval_over_speakers(trials, seed=8, resamples=10_000)
    assert interval == pytest.approx(np.quantile(drawn, [0.025, 0.975]), abs=0.012)


def test_few_or_nameless_speakers_give_no_interval() -> None:
    scores = gaussians(bonafide=40, spoof=40, distance=1, seed=0)
    assert eer_interval_over_speakers(by_speaker(scores, speakers=10, copies=1), seed=0) is not None
    assert eer_interval_over_speakers(by_speaker(scores, speakers=9, copies=1), seed=0) is None
    nameless = [*by_speaker(scores, speakers=10, copies=1), Trial("-", "another", None, "bonafide", 1.0)]
    assert eer_interval_over_speakers(nameless, seed=0) is None
