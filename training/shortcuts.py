"""Which features tell the classes apart by themselves, so that a model may learn them instead of speech.

A feature is taken for a detector: its equal error rate is that of the better direction, or of the distance from a
class's median, which finds a class whose clips were all brought to one level or length. 50 % says nothing. The
reading is chosen in hindsight, as a model would find it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import pandas as pd
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from training.confidence import Interval, eer_interval, eer_interval_over_speakers
from training.corpus import KEYS, Key
from training.features import Feature
from training.metrics import equal_error_rate
from training.trials import FloatArray, Scores, Trial

LIMIT = 0.40  # an EER whose whole interval lies below is a shortcut
GIVEN_AWAY = 0.05  # of a class's clips: one value that the other class never leaves gives at least these away
FEWEST_CONSTANT = 30  # clips, before their having one value is a finding
RESAMPLES = 1000  # of each interval
_TWO_SIDED_GAIN = 0.02  # of EER: a reading that is harder to say has to be worth it
_FOLDS = 5
_MOST_CLIPS = 30_000  # that all features together are judged on: more change nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class Separation:
    """How well a feature, or all of them, tell the classes of a partition apart."""

    eer: float  # a fraction, as are the ends of the interval
    interval: Interval
    over: str  # what the interval resamples: "speakers" or "clips"
    how: str  # what speaks for bonafide: a key of HOW

    @property
    def shortcut(self) -> bool:
        return self.interval.high < LIMIT


HOW = {
    "higher": "higher in bonafide",
    "lower": "lower in bonafide",
    "near bonafide": "bonafide keeps to its median",
    "near spoof": "spoof keeps to its median",
    "category": "some values are commoner in one class",
    "boosted trees": "in combination",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Constant:
    """A class in which every clip has one value, and the share of the other class that has another."""

    key: Key
    value: float | str
    given_away: float


def separation(clips: pd.DataFrame, feature: Feature, *, seed: int) -> Separation | None:
    """Judge one feature on one partition.

    Parameters
    ----------
    clips : DataFrame
        A row for each clip, with the columns `key`, `speaker`, `id` and the feature's. NaN where a clip has no
        such thing.
    seed : int
        Of the bootstrap.

    Returns
    -------
    Separation or None
        None where a class has no clip with the feature.
    """
    measured = clips[clips[feature.name].notna()]
    if set(measured["key"]) != set(KEYS):
        return None
    readings = _categories(measured, feature) if feature.categorical else _directions(measured, feature)
    rates = {how: equal_error_rate(_scores(measured, scores)).rate for how, scores in readings.items()}
    how = min(rates, key=lambda name: rates[name] + (_TWO_SIDED_GAIN if name.startswith("near") else 0))
    interval, over = _interval(measured, readings[how], seed=seed)
    return Separation(eer=rates[how], interval=interval, over=over, how=how)


def together(clips: pd.DataFrame, features: Sequence[Feature], *, seed: int) -> Separation | None:
    """Judge all features at once on one partition, by boosted trees that never hear a clip (scikit-learn).

    Cross-validated over speakers, in five parts: each clip is scored by trees that have not met its speaker.
    None where a class has fewer speakers than there are parts.
    """
    if len(clips) > _MOST_CLIPS:
        clips = clips.sample(_MOST_CLIPS, random_state=seed)
    speakers = clips.groupby("key")["speaker"].nunique()
    if set(speakers.index) != set(KEYS) or speakers.min() < _FOLDS:
        return None
    with threadpool_limits(1):  # on a busy machine, OpenMP's threads wait for each other ten times longer
        scores = cross_val_predict(
            HistGradientBoostingClassifier(max_leaf_nodes=8, min_samples_leaf=10, random_state=seed),
            np.stack([_numbers(clips[feature.name]) for feature in features], axis=1),
            clips["key"] == "bonafide",
            groups=clips["speaker"],
            cv=StratifiedGroupKFold(_FOLDS, shuffle=True, random_state=seed),
            method="decision_function",
        )
    interval, over = _interval(clips, scores, seed=seed)
    rate = equal_error_rate(_scores(clips, scores)).rate
    return Separation(eer=rate, interval=interval, over=over, how="boosted trees")


def constant(clips: pd.DataFrame, feature: Feature) -> Constant | None:
    """Find a class that has one value where the other has others too, which an EER may hide.

    If no bonafide clip has digital silence and a tenth of the spoofs do, that tenth is given away for certain,
    though the EER is 45 %.
    """
    for key in KEYS:
        of_class, of_other = (clips.loc[clips["key"].eq(key) == same, feature.name].dropna() for same in (True, False))
        if len(of_class) < FEWEST_CONSTANT or of_class.nunique() != 1 or of_other.empty:
            continue
        given_away = float((of_other != of_class.iloc[0]).mean())
        if given_away >= GIVEN_AWAY:
            return Constant(key=key, value=of_class.iloc[0], given_away=given_away)
    return None


def _directions(measured: pd.DataFrame, feature: Feature) -> dict[str, FloatArray]:
    """Ways of reading a quantity as a score, in which higher speaks for bonafide."""
    values = _numbers(measured[feature.name])
    bonafide, spoof = (float(np.median(values[measured["key"] == key])) for key in KEYS)
    return {
        "higher": values,
        "lower": -values,
        "near bonafide": -np.abs(values - bonafide),
        "near spoof": np.abs(values - spoof),
    }


def _categories(measured: pd.DataFrame, feature: Feature) -> dict[str, FloatArray]:
    """Each category's log-ratio of its frequencies among bonafide and spoof, half a clip added to each."""
    counts = pd.crosstab(measured[feature.name], measured["key"]) + 0.5
    shares = counts / counts.sum()
    ratio = np.log(shares["bonafide"]) - np.log(shares["spoof"])
    return {"category": measured[feature.name].map(ratio).to_numpy(np.float64)}


def _interval(clips: pd.DataFrame, scores: FloatArray, *, seed: int) -> tuple[Interval, str]:
    """Over speakers where there are enough, since the clips of one speaker are alike."""
    columns = zip(clips["speaker"], clips["id"], clips["key"], scores, strict=True)
    trials = [Trial(speaker, name, None, cast("Key", key), float(score)) for speaker, name, key, score in columns]
    over_speakers = eer_interval_over_speakers(trials, seed=seed, resamples=RESAMPLES)
    if over_speakers is not None:
        return over_speakers, "speakers"
    return eer_interval(Scores.of(trials), seed=seed, resamples=RESAMPLES), "clips"


def _scores(clips: pd.DataFrame, scores: FloatArray) -> Scores:
    bonafide = (clips["key"] == "bonafide").to_numpy()
    return Scores(bonafide=scores[bonafide], spoof=scores[~bonafide])


def _numbers(column: "pd.Series[float]") -> FloatArray:
    """As float64; where a column holds names, their place in the alphabet."""
    numeric = pd.api.types.is_numeric_dtype(column)
    return np.asarray(column if numeric else column.astype("category").cat.codes, np.float64)
