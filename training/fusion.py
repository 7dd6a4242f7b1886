"""Several branches' logits -> one: how much each has to say."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize

from training.config import Config
from training.corpus import Utterance

_PRIOR = 1.0  # how strongly the branches' weights are held together: a dev set is small, its attacks are few


def weigh(
    config: Config, logits: npt.NDArray[np.float64], utterances: Sequence[Utterance], *, training_attacks: set[str]
) -> list[float]:
    """Weights of a sum of logits: those that `config.fusion` gives, those of a mean, or fitted.

    Fitted by logistic regression on attacks that training has not seen, where there are any.

    Every attack weighs the same, and so do both classes. No weight is negative: a branch that is right less often than
    the others is heard less, never contradicted. The weights are drawn to each other (ridge), so that of two branches
    that say the same neither wins by chance.

    Parameters
    ----------
    logits : (clips, branches)

    Returns
    -------
    A weight for each branch.
    """
    if isinstance(config.fusion, dict):
        return [config.fusion[name] for name in config.branches]
    branches = logits.shape[1]
    if config.fusion == "mean":
        return [1 / branches] * branches
    attacks = np.array([u.attack or "" for u in utterances])
    new = np.array([attack not in training_attacks for attack in attacks])  # bonafide has none
    if not (attacks[new] != "").any():
        new[:] = True
    logits, attacks = logits[new], attacks[new]
    bonafide = attacks == ""
    names, of_clip, sizes = np.unique(attacks, return_inverse=True, return_counts=True)
    shares = 1 / sizes[of_clip]
    shares[~bonafide] /= max(len(names) - 1, 1)
    signs = np.where(bonafide, 1.0, -1.0)

    def cost(parameters: npt.NDArray[np.float64]) -> float:
        weights, offset = parameters[:-1], parameters[-1]
        margin = signs * (logits @ weights + offset)
        return float(shares @ np.logaddexp(0, -margin) + _PRIOR * np.var(weights))

    found = minimize(
        cost, np.append(np.full(branches, 1 / branches), 0.0), bounds=[(0, None)] * branches + [(None, None)]
    )
    weights = found.x[:-1]
    return [float(weight) for weight in weights] if weights.sum() > 0 else [1 / branches] * branches
