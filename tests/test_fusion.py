from typing import Any

import numpy as np
import pytest

from training.config import BranchConfig, Config
from training.corpus import Utterance
from training.fusion import weigh

RNG = np.random.default_rng(0)
CLIPS = [Utterance("S", f"b{n}", None, "bonafide") for n in range(200)]
CLIPS += [Utterance("S", f"s{n}", "A01" if n < 100 else "A02", "spoof") for n in range(200)]
SIGNS = np.repeat([1.0, -1.0], 200)


def weights(logits: np.ndarray, *, training_attacks: set[str] | None = None, fusion: Any = "fitted") -> list[float]:
    branches = {f"branch{n}": BranchConfig() for n in range(logits.shape[1])}
    return weigh(Config(branches=branches, fusion=fusion), logits, CLIPS, training_attacks=training_attacks or set())


def noisy(scale: float) -> np.ndarray:
    return SIGNS + scale * RNG.standard_normal(400)


def test_the_better_branch_is_heard_more_and_a_useless_one_hardly() -> None:
    good, poor, useless = weights(np.stack([noisy(0.7), noisy(2.0), 5 * RNG.standard_normal(400)], axis=1))
    assert good > poor > 0
    assert useless < 0.1 * good


def test_branches_that_say_the_same_weigh_the_same() -> None:
    logits = noisy(1.0)
    first, second = weights(np.stack([logits, logits], axis=1))
    assert abs(first - second) < 1e-3


def test_no_branch_is_contradicted() -> None:
    assert weights(np.stack([noisy(1.0), -noisy(1.0)], axis=1))[1] < 1e-6


def test_attacks_of_training_do_not_count_where_there_are_others() -> None:
    knows_only_the_old = np.where(np.arange(400) < 300, noisy(0.3), RNG.standard_normal(400))
    both = np.stack([knows_only_the_old, noisy(1.0)], axis=1)
    old, new = weights(both, training_attacks={"A01"})
    assert new > old
    all_known = weights(both, training_attacks={"A01", "A02"})
    assert all_known[0] > old


def test_sums_that_tell_nothing_are_means() -> None:
    assert weights(np.stack([-noisy(0.1)] * 2, axis=1)) == [0.5, 0.5]


def test_branches_may_weigh_alike_whatever_they_know() -> None:
    both = np.stack([noisy(0.1), noisy(5.0)], axis=1)
    assert weights(both, fusion="mean") == [0.5, 0.5]


def test_weights_that_are_given_are_what_they_are() -> None:
    both = np.stack([noisy(0.1), noisy(1.0)], axis=1)
    assert weights(both, fusion={"branch1": 2, "branch0": 0.5}) == [0.5, 2]


@pytest.mark.parametrize("given", [{}, {"branch0": 1}, {"branch0": 1, "branch1": 1, "other": 1}])
def test_weights_are_of_all_branches(given: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="Weights are of all branches, branch0, branch1. Received: of "):
        weights(np.zeros((400, 2)), fusion=given)
