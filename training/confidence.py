"""95 % confidence intervals: of a proportion, and of an equal error rate over clips or over speakers.

Each answers another question. Over clips: how far would other clips of *these* speakers move the rate. Over
speakers: how far would other speakers. The clips of one speaker err together, so the second is the wider one:
four times for an LFCC-GMM on ASVspoof 2019 LA. It is the one to quote. Neither covers attacks that the test
set does not hold.
"""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest

from training.corpus import KEYS, Key
from training.trials import NOTHING, FloatArray, Scores, Trial

CONFIDENCE = 0.95
RESAMPLES = 2000
MINIMUM_SPEAKERS = 10  # with fewer, a bootstrap over speakers is too narrow to be believed

IntArray = NDArray[np.int64]


class Interval(NamedTuple):
    """The ends of a 95 % confidence interval."""

    low: float
    high: float


def proportion_interval(errors: int, *, trials: int) -> Interval:
    """Wilson's score interval of `errors` among `trials`, which stays honest at zero errors.

    Wilson, "Probable inference, the law of succession, and statistical inference", JASA 1927; recommended by
    Brown, Cai & DasGupta, "Interval estimation for a binomial proportion", Statistical Science 2001.
    """
    low, high = binomtest(errors, trials).proportion_ci(CONFIDENCE, method="wilson")
    return Interval(float(low), float(high))


def eer_interval(scores: Scores, *, seed: int, resamples: int = RESAMPLES) -> Interval:
    """Percentile bootstrap of the EER over clips, each class resampled by itself to its own size.

    Of each resample only the counts on the way to its crossing are drawn: the resampled clips between two
    thresholds split at a third one binomially, so a bisection of some 17 binomials has the very distribution
    that drawing and sorting 71,000 clips has, in a hundredth of the time.

    Efron & Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 13.

    Parameters
    ----------
    scores : Scores
        Both classes.
    seed : int
        Of the resampling: the same seed, the same interval.
    resamples : int
        With 2000, another seed moves an end by a few hundredths of the interval's width.

    Returns
    -------
    Interval
        As fractions. Where the classes hardly overlap, nor do the resamples, and the bootstrap would claim
        certainty: the high end is never below that of no error in the smaller class (Clopper & Pearson,
        Biometrika 1934).
    """
    rng = np.random.default_rng(seed)
    grid = _grid(scores)

    def resampled(values: FloatArray) -> "_Resampled":
        below = np.searchsorted(np.sort(values), grid)

        def count(
            low: IntArray, middle: IntArray, high: IntArray, below_low: IntArray, below_high: IntArray
        ) -> IntArray:
            inside, lower = below[high] - below[low], below[middle] - below[low]
            return below_low + rng.binomial(below_high - below_low, lower / np.maximum(inside, 1))

        return _Resampled(np.full(resamples, values.size), count)

    eers = _eers(grid.size, bonafide=resampled(scores.bonafide), spoof=resampled(scores.spoof))
    return _interval(eers, fewest=min(scores.bonafide.size, scores.spoof.size))


def eer_interval_over_speakers(trials: Sequence[Trial], *, seed: int, resamples: int = RESAMPLES) -> Interval | None:
    """Percentile bootstrap of the EER over speakers: whoever is drawn brings all of his or her clips.

    Bolle, Ratha & Pankanti, "Error analysis of pattern recognition systems - the subsets bootstrap", Computer
    Vision and Image Understanding 93, 2004.

    Returns
    -------
    Interval or None
        As `eer_interval`, with speakers in the place of clips. None where a trial names no speaker, or either
        class has fewer than ten.
    """
    scores = Scores.of(trials)
    grid = _grid(scores)
    clips: dict[str, dict[Key, list[float]]] = {}
    for trial in trials:
        clips.setdefault(trial.speaker, {"bonafide": [], "spoof": []})[trial.key].append(trial.score)
    fewest = min(sum(bool(of_speaker[key]) for of_speaker in clips.values()) for key in KEYS)
    if NOTHING in clips or fewest < MINIMUM_SPEAKERS:
        return None
    rng = np.random.default_rng(seed)
    times_drawn = rng.multinomial(len(clips), np.full(len(clips), 1 / len(clips)), size=resamples)

    def resampled(key: Key) -> "_Resampled":
        sorted_clips = [np.sort(np.asarray(of_speaker[key], dtype=np.float64)) for of_speaker in clips.values()]

        def count(_low: IntArray, middle: IntArray, *_: IntArray) -> IntArray:
            below = [np.searchsorted(values, grid[middle]) for values in sorted_clips]
            return np.asarray(np.einsum("rs,sr->r", times_drawn, np.stack(below)))

        return _Resampled(times_drawn @ np.array([values.size for values in sorted_clips]), count)

    bonafide, spoof = resampled("bonafide"), resampled("spoof")
    both_classes = (bonafide.size > 0) & (spoof.size > 0)
    return _interval(_eers(grid.size, bonafide=bonafide, spoof=spoof)[both_classes], fewest=fewest)


class _CountBelow(Protocol):
    """Of each resample, the clips below threshold `middle`, given those below the thresholds around it."""

    def __call__(
        self, low: IntArray, middle: IntArray, high: IntArray, below_low: IntArray, below_high: IntArray, /
    ) -> IntArray: ...


class _Resampled(NamedTuple):
    """One class in each resample: how many clips, shape (resamples,), and how many lie below a threshold."""

    size: IntArray
    count_below: _CountBelow


def _grid(scores: Scores) -> FloatArray:
    """All thresholds that differ: each score, and one above them all; ascending."""
    return np.append(np.unique(np.concatenate([scores.bonafide, scores.spoof])), np.inf)


def _eers(grid_size: int, *, bonafide: _Resampled, spoof: _Resampled) -> FloatArray:
    """The EER of each resample, by bisection: as the threshold rises, so do false rejects - false accepts."""
    size = np.maximum([bonafide.size, spoof.size], 1)  # (2, resamples), as is every count below
    low, high = np.zeros_like(size[0]), np.full_like(size[0], grid_size - 1)
    below_low, below_high = np.zeros_like(size), size
    while np.any(high - low > 1):
        middle = (low + high) // 2
        below = np.stack(
            [
                bonafide.count_below(low, middle, high, below_low[0], below_high[0]),
                spoof.count_below(low, middle, high, below_low[1], below_high[1]),
            ]
        )
        before_crossing = (below / size).sum(axis=0) < 1  # false rejects < false accepts = 1 - spoofs below
        low, high = np.where(before_crossing, middle, low), np.where(before_crossing, high, middle)
        below_low = np.where(before_crossing, below, below_low)
        below_high = np.where(before_crossing, below_high, below)
    (reject_low, spoof_low), (reject_high, spoof_high) = below_low / size, below_high / size
    nearer_low = np.abs(reject_low + spoof_low - 1) <= np.abs(reject_high + spoof_high - 1)
    return np.asarray(np.where(nearer_low, reject_low + 1 - spoof_low, reject_high + 1 - spoof_high) / 2)


def _interval(eers: FloatArray, *, fewest: int) -> Interval:
    """Of resamples in which the smaller class has `fewest` clips, or speakers, that are independent."""
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(eers, [tail, 1 - tail])
    without_errors = 1 - tail ** (1 / fewest)
    return Interval(float(low), max(float(high), without_errors))
