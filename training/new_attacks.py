"""What an error rate will be against *other* attacks, or for other speakers, than those that it was measured on.

The clips of one attack err together, and attacks differ more than their clips do: an interval over clips promises
what the next attack breaks. So a rate is taken to be one for each group (an attack, a speaker), its logit normal
about a common mean, and the interval is that of the predictive distribution of other groups' mean rate: it
has in it the clips that are few, the groups that are few, and how much groups differ.

Higgins, Thompson & Spiegelhalter, "A re-evaluation of random-effects meta-analysis", Journal of the Royal
Statistical Society A 172, 2009, section 4, for the predictive distribution; the binomial likelihood is integrated
by the trapezoidal rule, so that groups without an error need no correction. Its step is as wide as the narrowest
integrand can be, where the rule errs by less than 1e-7 of the integral (Trefethen & Weideman, SIAM Review 56, 2014).
"""

from collections import Counter
from collections.abc import Sequence

import numpy as np
from scipy.special import expit, log_expit

from training.confidence import CONFIDENCE, Interval
from training.trials import FloatArray

_MEANS = np.linspace(-9, 9, 61)  # of the logits of rates
_SPREADS = np.geomspace(0.05, 6, 25)  # their standard deviation
_SPREAD_SCALE = 2.0  # of its half-normal prior: rates of one kind of system spread over one or two decades
_END = 24  # of the logits that are integrated over, either way: a rate of 4e-11 is none
_UNLIKELY = 1e-6  # of the most likely value's probability: what is below has no part in the finer grid
_DRAWS = 4_000


def predictive_interval(errors: Sequence[float], clips: Sequence[int], *, seed: int = 0) -> Interval:
    """95 % predictive interval of the mean error rate of as many other groups.

    Parameters
    ----------
    errors, clips
        Of each group, an attack or a speaker: how many of its clips were called wrong, and how many it has. The
        errors may be fractions of clips, where each was heard several times.
    seed : int
        Of the draws from the predictive distribution.

    Returns
    -------
    Interval
        Of the unweighted mean of the groups' rates, as fractions.
    """
    rng = np.random.default_rng(seed)
    means, spreads, probability = _posterior(Counter(zip(errors, clips, strict=True)))
    drawn = rng.choice(probability.size, _DRAWS, p=probability.ravel())
    mean, spread = means[drawn // spreads.size], spreads[drawn % spreads.size]
    groups = rng.standard_normal((len(errors), _DRAWS))
    rates = expit(mean + spread * groups).mean(axis=0)
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(rates, [tail, 1 - tail])
    return Interval(float(low), float(high))


def _posterior(groups: Counter[tuple[float, int]]) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Means, spreads, and the probability of each pair, float64 (means, spreads).

    On grids around what is likely: many groups tell more than the steps of the whole range.
    """
    means = _around(_MEANS, _probability(_MEANS, _SPREADS, groups).sum(axis=1))
    log_spreads = _around(np.log(_SPREADS), _probability(means, _SPREADS, groups).sum(axis=0))
    spreads = np.exp(log_spreads)
    return means, spreads, _probability(means, spreads, groups)


def _around(grid: FloatArray, probability: FloatArray) -> FloatArray:
    """As many points, over what is likely and a step on either side."""
    likely = np.flatnonzero(probability > _UNLIKELY * probability.max())
    first, last = max(likely[0] - 1, 0), min(likely[-1] + 1, grid.size - 1)
    return np.linspace(grid[first], grid[last], grid.size)


def _probability(means: FloatArray, spreads: FloatArray, groups: Counter[tuple[float, int]]) -> FloatArray:
    """Of each pair on evenly spaced means and logarithms of spreads: the median rate is uniform before."""
    errors, clips = np.array(list(groups), dtype=np.float64).T[:, :, None]
    step = (_SPREADS[0] ** -2 + clips.max() / 4) ** -0.5  # a likelihood's precision is at most clips / 4
    logits = np.arange(-_END, _END, step)
    log_likelihood = errors * log_expit(logits) + (clips - errors) * log_expit(-logits)  # (groups, logits)
    likelihood = np.exp(log_likelihood - log_likelihood.max(axis=1, keepdims=True))
    logits, likelihood = logits[likelihood.any(axis=0)], likelihood[:, likelihood.any(axis=0)]
    times = np.array(list(groups.values()), dtype=np.float64)

    density = log_expit(means)[:, None] + log_expit(-means)[:, None] - np.square(spreads / _SPREAD_SCALE) / 2
    density = density + np.log(spreads)  # the grid's steps are logarithmic
    for column, spread in enumerate(spreads):
        normal = np.exp(-np.square((logits - means[:, None]) / spread) / 2) / spread  # (means, logits)
        with np.errstate(divide="ignore"):  # a group that this mean and spread rule out
            density[:, column] += np.log(normal @ likelihood.T) @ times
    probability = np.exp(density - density.max())
    return np.asarray(probability / probability.sum())
