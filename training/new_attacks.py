"""What an error rate will be against *other* attacks, or for other speakers, than those that it was measured on.

The clips of one attack err together, and attacks differ more than their clips do: an interval over clips promises
what the next attack breaks. So a rate is taken to be one for each group (an attack, a speaker), its logit normal
about a common mean, and the interval is that of the predictive distribution of other groups' mean rate: it
has in it the clips that are few, the groups that are few, and how much groups differ.

Higgins, Thompson & Spiegelhalter, "A re-evaluation of random-effects meta-analysis", Journal of the Royal
Statistical Society A 172, 2009, section 4, for the predictive distribution; the binomial likelihood is integrated
exactly, on a grid, so that groups without an error need no correction.
"""

from collections import Counter
from collections.abc import Sequence

import numpy as np
from scipy.special import expit, log_expit

from training.confidence import CONFIDENCE, Interval
from training.trials import FloatArray

_MEANS = np.linspace(-9, 9, 73)  # of the logits of rates
_SPREADS = np.geomspace(0.05, 6, 24)  # their standard deviation
_SPREAD_SCALE = 2.0  # of its half-normal prior: rates of one kind of system spread over one or two decades
_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(31)
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
    posterior = _posterior(Counter(zip(errors, clips, strict=True)))
    drawn = rng.choice(posterior.size, _DRAWS, p=posterior.ravel())
    mean, spread = _MEANS[drawn // _SPREADS.size], _SPREADS[drawn % _SPREADS.size]
    groups = rng.standard_normal((len(errors), _DRAWS))
    rates = expit(mean + spread * groups).mean(axis=0)
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(rates, [tail, 1 - tail])
    return Interval(float(low), float(high))


def _posterior(groups: Counter[tuple[float, int]]) -> FloatArray:
    """The probability of each mean and spread, float64 (means, spreads): the median rate is uniform before."""
    logits = _MEANS[:, None, None] + _SPREADS[:, None] * _NODES  # (means, spreads, nodes)
    right, wrong = log_expit(-logits), log_expit(logits)
    density = log_expit(_MEANS)[:, None] + log_expit(-_MEANS)[:, None] - np.square(_SPREADS / _SPREAD_SCALE) / 2
    density = density + np.log(_SPREADS)  # the grid's steps are logarithmic
    for (errors, clips), times in groups.items():
        likelihood = np.exp(errors * wrong + (clips - errors) * right) @ _WEIGHTS
        density = density + times * np.log(np.maximum(likelihood, 1e-300))
    probability = np.exp(density - density.max())
    return np.asarray(probability / probability.sum())
