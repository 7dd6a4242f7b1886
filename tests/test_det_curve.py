"""The curve that a manifest carries, against the whole one."""

import json
from collections.abc import Mapping
from itertools import pairwise

import numpy as np
import pytest
from pydantic import ValidationError
from scipy.spatial import KDTree
from scipy.stats import norm

from model_store.manifest import DetCurve, Manifest, OperatingPointName
from tests.artifacts import manifest
from training.det_curve import MOST_POINTS, TOLERANCE, det_curve
from training.metrics import detection_curve, equal_error_rate, error_rates
from training.trials import FloatArray, Scores

POINTS: Mapping[OperatingPointName, float] = {"low_friction": -1.0, "balanced": 0.7, "high_security": 2.0}


def drawn(curve: DetCurve) -> FloatArray:
    """Points of the lines between a curve's points, near each other: float64, shape (n, 2)."""
    corners = norm.ppf(np.column_stack([curve.false_accept_rate, curve.false_reject_rate]))
    lines = [np.linspace(start, end, 2 + int(5_000 * np.abs(end - start).max())) for start, end in pairwise(corners)]
    return np.asarray(norm.cdf(np.concatenate(lines)))


def furthest(scores: Scores, curve: DetCurve) -> float:
    """The greatest distance of a point of the whole curve from the lines, in the rate that differs more."""
    whole = detection_curve(scores)
    reach = [max(0.5 / clips, 1e-4) for clips in (scores.spoof.size, scores.bonafide.size)]
    rates = np.column_stack([whole.false_accept_rate, whole.false_reject_rate])
    points = np.column_stack([rates[:, i].clip(least, 1 - least) for i, least in enumerate(reach)])
    away, _ = KDTree(drawn(curve)).query(points, p=np.inf)
    return float(away.max())


def made(bonafide: int, spoof: int, *, apart: float, seed: int = 0) -> Scores:
    rng = np.random.default_rng(seed)
    return Scores(bonafide=rng.normal(apart, 1, bonafide), spoof=rng.normal(0, 1.3, spoof))


@pytest.mark.parametrize(
    ("bonafide", "spoof", "apart"),
    [(1, 1, 1.0), (50, 52, 2.0), (427, 579, 1.2), (150, 200, 0.0), (300, 3_000, 2.5), (700, 900, 9.0)],
)
def test_few_points_are_the_whole_curve(bonafide: int, spoof: int, apart: float) -> None:
    scores = made(bonafide, spoof, apart=apart)
    curve = det_curve(scores, POINTS)
    assert len(curve.false_accept_rate) <= MOST_POINTS
    assert furthest(scores, curve) <= TOLERANCE


def test_a_point_less_would_be_seen() -> None:
    scores = made(427, 579, apart=1.2)
    curve = det_curve(scores, {})
    ends = {name: [rates[0], rates[-1]] for name, rates in curve.model_dump(exclude={"operating_points"}).items()}
    assert furthest(scores, DetCurve(**ends, operating_points={})) > 5 * TOLERANCE
    steps = Scores(bonafide=np.arange(100) * 2.0, spoof=np.arange(100) * 2.0 + 1)  # 200 steps of 1 %
    assert len(det_curve(steps, {}).false_accept_rate) <= MOST_POINTS


def test_gaussian_scores_are_a_straight_line() -> None:
    quantiles = norm.ppf((np.arange(20_000) + 0.5) / 20_000)
    curve = det_curve(Scores(bonafide=quantiles + 2, spoof=quantiles), {})
    assert len(curve.false_accept_rate) <= 6
    lines = norm.ppf(drawn(curve))
    middle = lines[(lines > -3).all(axis=1)]
    assert middle.sum(axis=1) == pytest.approx(-2, abs=0.06)  # probit(false accepts) + probit(false rejects)


def test_an_operating_point_is_a_point_of_it_and_so_is_the_eer_of_its_lines() -> None:
    scores = made(427, 579, apart=1.2)
    curve = det_curve(scores, POINTS)
    for name, threshold in POINTS.items():
        rates, place = error_rates(scores, threshold=threshold), curve.operating_points[name]
        assert curve.false_accept_rate[place] == pytest.approx(rates.false_accept_rate, abs=5e-5)
        assert curve.false_reject_rate[place] == pytest.approx(rates.false_reject_rate, abs=5e-5)
    lines = drawn(curve)
    crossing = lines[np.abs(lines[:, 0] - lines[:, 1]).argmin()]
    assert crossing == pytest.approx(equal_error_rate(scores).rate, abs=TOLERANCE)


def test_its_ends_are_half_a_clip_from_what_cannot_be_shown() -> None:
    curve = det_curve(made(50, 200, apart=2.0), {"balanced": 99.0})
    assert (curve.false_accept_rate[0], curve.false_accept_rate[-1]) == (0.9975, 0.0025)
    assert (curve.false_reject_rate[0], curve.false_reject_rate[-1]) == (0.01, 0.99)
    assert curve.operating_points == {"balanced": len(curve.false_accept_rate) - 1}  # above all scores: rejects all
    many = det_curve(made(50, 60_000, apart=2.0), {})
    assert many.false_accept_rate[-1] == 1e-4


GOOD = {"false_accept_rate": [0.9, 0.2, 0.1], "false_reject_rate": [0.1, 0.1, 0.8], "operating_points": {"balanced": 1}}


@pytest.mark.parametrize(
    ("fault", "rule"),
    [
        ({"false_accept_rate": [0.9, 0.1, 0.2]}, "As a threshold rises"),
        ({"false_reject_rate": [0.1, 0.3, 0.2]}, "As a threshold rises"),
        ({"false_reject_rate": [0.1, 0.8]}, "A threshold has two error rates. Received: 3 and 2"),
        ({"false_accept_rate": [1.0, 0.2, 0.1]}, "less than 1"),
        ({"operating_points": {"balanced": 3}}, "An operating point is one of 3"),
        ({"threshold": [1.0]}, "Extra inputs"),
    ],
)
def test_a_manifest_has_a_curve_that_can_be_drawn_or_none(fault: dict[str, object], rule: str) -> None:
    whole = manifest(1, {"model.keras": "0" * 64, "card.md": "0" * 64}).model_dump(mode="json")
    for curve in ({}, {"det_curve": GOOD}):
        whole["metrics"] = {"made": {"dev": {"original": {"eer_percent": 15.0, **curve}}}}
        assert Manifest.model_validate_json(json.dumps(whole)).metrics == whole["metrics"]
    whole["metrics"]["made"]["dev"]["original"]["det_curve"] = GOOD | fault
    with pytest.raises(ValidationError, match=rule):
        Manifest.model_validate_json(json.dumps(whole))
