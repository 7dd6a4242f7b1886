"""Logits and keys of a dev set -> the calibration and the operating points of a manifest.

Both are fitted on attacks that training has not seen, where dev has any: thresholds chosen on the attacks of
training let through a third of the spoofs of an eval set. The error rates at a threshold are of attacks, and of
speakers, that had no part in choosing it.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
from sklearn.linear_model import LogisticRegression

from model_store.channel_class import CHANNEL_CLASSES, ChannelClass
from model_store.manifest import Calibration, OperatingPoint, OperatingPointName
from training.corpus import KEYS, Key
from training.new_attacks import predictive_interval
from training.trials import NOTHING, FloatArray, Trial

Lines = Mapping[ChannelClass, Calibration]
Group = tuple[Key, str]
Thresholds = dict[OperatingPointName, float]

LOW_FRICTION_FALSE_REJECTS = 0.02
HIGH_SECURITY_FALSE_ACCEPTS = 0.02

# How far a class's line may leave the shared one, as standard deviations of a normal prior: of the offset in nats, of
# the slope in nats for each unit of the logit. From one line for all to a line of its own for each, these cost least
# on attacks and speakers that were left out in turn.
_OFFSET_PRIOR = 0.5
_SLOPE_PRIOR = 0.05
_FREE = 1e3  # of the shared slope: as good as no prior, but finite where the classes do not overlap at all
_SPEAKER_FOLDS = 5


def unseen(trials: Sequence[Trial], *, training_attacks: set[str]) -> list[Trial]:
    """Bonafide trials and those of attacks that training has not seen; all trials if it has seen each."""
    kept = [t for t in trials if t.attack not in training_attacks]
    return kept if any(t.key == "spoof" for t in kept) else list(trials)


def fit_lines(trials: Sequence[Trial], *, fitted_on: str) -> dict[ChannelClass, Calibration]:
    """Logistic calibration: for each class of channel the line that makes of logits log-likelihood ratios.

    One shared line, and for each class a deviation from it that a normal prior holds near zero: a class that dev has
    little of gets little of its own, and one that it lacks gets the shared line (Gelman & Hill, "Data Analysis Using
    Regression and Multilevel/Hierarchical Models", 2007, chapter 13).

    Bonafide and spoof weigh the same in each class, so that the prior of the dev set does not enter (Brümmer & du
    Preez 2006), and so do the attacks among the spoofs, so that the one with the most clips does not decide. An
    utterance that was heard through several channels counts once in all. A key that n utterances have is believed to
    n + 1 in n + 2 (Platt 1999): classes that do not overlap at all would otherwise get a slope without bound. A
    detector that tells nothing would get a slope of 0; it is kept above, since a score has to rise with its logit.

    Parameters
    ----------
    trials : their scores are logits, and each has its `channel_class`
    """
    logits = np.array([t.score for t in trials])
    keys = np.array([t.key == "bonafide" for t in trials])
    of_class = np.array([[t.channel_class == name for name in CHANNEL_CLASSES] for t in trials], np.float64)
    features = np.column_stack(
        [_FREE * logits, _OFFSET_PRIOR * of_class, _SLOPE_PRIOR * of_class * logits[:, np.newaxis]]
    )
    # With C = 1 the prior of each weight is the standard normal, and the feature's factor the standard deviation.
    model = LogisticRegression(C=1.0, solver="newton-cholesky", max_iter=1_000)
    weights = _weights(trials)
    heard = [len({t.utterance for t in trials if t.key == key}) for key in KEYS]
    doubt = np.where(keys, *(1 / (count + 2) for count in heard))
    model.fit(
        np.vstack([features, features]),
        np.concatenate([keys, ~keys]),
        sample_weight=np.concatenate([weights * (1 - doubt), weights * doubt]),
    )
    shared, *deviations = model.coef_[0]
    offsets, slopes = np.split(np.array(deviations), 2)
    return {
        name: Calibration(
            slope=max(float(_FREE * shared + _SLOPE_PRIOR * slope), 1e-3),
            intercept=float(model.intercept_[0] + _OFFSET_PRIOR * offset),
            fitted_on=fitted_on,
        )
        for name, offset, slope in zip(CHANNEL_CLASSES, offsets, slopes, strict=True)
    }


def calibrated(trials: Sequence[Trial], lines: Lines) -> list[Trial]:
    """The trials with scores in the place of logits."""

    def score(trial: Trial) -> float:
        if trial.channel_class is None:
            raise ValueError(f"A logit is calibrated by its class of channel. Received: {trial.utterance} of none.")
        line = lines[trial.channel_class]
        return line.slope * trial.score + line.intercept

    return [replace(t, score=score(t)) for t in trials]


def thresholds(trials: Sequence[Trial]) -> Thresholds:
    """The thresholds of the operating points, on calibrated trials.

    ``balanced`` is where both errors are equally frequent. ``low_friction`` rejects at most 2 % of the bonafide clips,
    ``high_security`` accepts at most 2 % of the spoofs; neither crosses over to the other side of ``balanced``. Each
    attack and each speaker counts the same.
    """
    scores = np.array([t.score for t in trials])
    # As in a detection curve: each score that occurs, and the next number above, which rejects it.
    candidates = np.unique(np.concatenate([scores, np.nextafter(scores, np.inf)]))
    bonafide = np.array([t.key == "bonafide" for t in trials])
    group_sizes = Counter(map(_group, trials))
    share = np.array([1 / group_sizes[_group(t)] for t in trials])
    rejects = _share_below(candidates, scores[bonafide], share[bonafide])
    accepts = 1 - _share_below(candidates, scores[~bonafide], share[~bonafide])
    balanced = float(candidates[np.argmin(np.abs(accepts - rejects))])
    low = float(candidates[np.flatnonzero(rejects <= LOW_FRICTION_FALSE_REJECTS)[-1]])
    high = float(candidates[np.flatnonzero(accepts <= HIGH_SECURITY_FALSE_ACCEPTS)[0]])
    return {"low_friction": min(low, balanced), "balanced": balanced, "high_security": max(high, balanced)}


def operating_points(trials: Sequence[Trial], *, measured_on: str) -> dict[OperatingPointName, OperatingPoint]:
    """Thresholds, and the error rates of attacks and of speakers that were left out when they were chosen.

    For each attack in turn, lines and thresholds are fitted on all other trials, and the attack is measured at these;
    so are the bonafide clips, a fifth of the speakers at a time. What is published is fitted on all. A single attack
    cannot be left out, and is measured where it was fitted.

    Parameters
    ----------
    trials : their scores are logits, and each has its `channel_class`
    """
    errors: dict[OperatingPointName, Counter[Group]] = {}
    for left_out in _folds(trials):
        kept = [t for t in trials if _group(t) not in left_out]
        if len({t.key for t in kept}) < 2:
            kept = list(trials)
        lines = fit_lines(kept, fitted_on=measured_on)
        measured = calibrated([t for t in trials if _group(t) in left_out], lines)
        for name, threshold in thresholds(calibrated(kept, lines)).items():
            errors.setdefault(name, Counter()).update(map(_group, _wrong(measured, threshold=threshold)))

    heard = Counter(map(_group, trials))
    clips = Counter(group for group, _ in {(_group(t), t.utterance) for t in trials})
    points: dict[OperatingPointName, OperatingPoint] = {}
    for name, threshold in thresholds(calibrated(trials, fit_lines(trials, fitted_on=measured_on))).items():
        wrong = {group: errors[name][group] / heard[group] for group in heard}  # rates
        rates, intervals = {}, {}
        for key in KEYS:
            groups = [group for group in heard if group[0] == key]
            rates[key] = float(np.mean([wrong[group] for group in groups]))
            of_clips = [clips[group] for group in groups]
            intervals[key] = list(predictive_interval([wrong[group] * clips[group] for group in groups], of_clips))
        points[name] = OperatingPoint(
            threshold=threshold,
            false_accept_rate=rates["spoof"],
            false_accept_interval=intervals["spoof"],
            false_reject_rate=rates["bonafide"],
            false_reject_interval=intervals["bonafide"],
            measured_on=measured_on,
        )
    return points


def mean_error_rates(trials: Sequence[Trial], *, threshold: float) -> tuple[float, float]:
    """False accepts and false rejects at a threshold as operating points have them, a mean over groups each.

    Groups are attacks and speakers: where each has as many clips, these are the rates over clips.
    """
    heard = Counter(map(_group, trials))
    wrong = Counter(map(_group, _wrong(trials, threshold=threshold)))
    accepts, rejects = (
        float(np.mean([wrong[group] / heard[group] for group in heard if group[0] == key])) for key in KEYS[::-1]
    )
    return accepts, rejects


def _wrong(trials: Iterable[Trial], *, threshold: float) -> Iterator[Trial]:
    return (t for t in trials if (t.score >= threshold) != (t.key == "bonafide"))


def _group(trial: Trial) -> Group:
    """What errs together: a spoof's attack; a bonafide clip's speaker, or the clip where none is named."""
    if trial.key == "spoof":
        return "spoof", trial.attack or NOTHING
    return "bonafide", trial.utterance if trial.speaker == NOTHING else trial.speaker


def _weights(trials: Sequence[Trial]) -> FloatArray:
    """The weight of each trial in `fit_lines`, float64 (n,): utterances in all."""
    groups = Counter((t.channel_class, *_group(t)) for t in trials)
    groups_of_key = Counter((name, key) for name, key, _ in groups)
    trials_of_key = Counter((t.channel_class, t.key) for t in trials)
    weights = np.array(
        [
            min(trials_of_key[t.channel_class, key] for key in KEYS)  # none for one without the other
            / groups_of_key[t.channel_class, t.key]
            / groups[(t.channel_class, *_group(t))]
            for t in trials
        ]
    )
    return np.asarray(weights * len({t.utterance for t in trials}) / weights.sum())


def _share_below(candidates: FloatArray, scores: FloatArray, weights: FloatArray) -> FloatArray:
    """Of the weight of `scores`, the share below each candidate."""
    order = np.argsort(scores)
    cumulative = np.append(0.0, np.cumsum(weights[order]) / weights.sum())
    return np.asarray(cumulative[np.searchsorted(scores[order], candidates)])


def _folds(trials: Sequence[Trial]) -> list[set[Group]]:
    """What is left out in turn: each attack, and a fifth of the speakers at a time."""
    attacks = sorted({_group(t) for t in trials if t.key == "spoof"})
    speakers = sorted({_group(t) for t in trials if t.key == "bonafide"})
    fifths = [set(speakers[first::_SPEAKER_FOLDS]) for first in range(min(_SPEAKER_FOLDS, len(speakers)))]
    return [*({attack} for attack in attacks), *fifths]
