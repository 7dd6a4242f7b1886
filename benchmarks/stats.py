"""Figures from rounds."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class Spread:
    """A figure over rounds: its median, and the lowest and highest of them."""

    median: float
    lowest: float
    highest: float

    def __format__(self, spec: str) -> str:
        return f"{self.median:{spec}} ({self.lowest:{spec}} to {self.highest:{spec}})"


def spread(values: Sequence[float]) -> Spread:
    """The median and the range of some figures.

    Raises
    ------
    ValueError
        There are none.
    """
    if not values:
        raise ValueError("A median is of at least one figure. Received: none.")
    return Spread(float(np.median(values)), min(values), max(values))


def ratios(ours: Sequence[float], theirs: Sequence[float]) -> list[float]:
    """Ours to theirs, round by round: what disturbed a round disturbed both of its halves."""
    return [mine / other for mine, other in zip(ours, theirs, strict=True)]


def percentile_ms(latencies: Sequence[float], percent: float) -> float:
    """A percentile of latencies in seconds, in milliseconds."""
    return 1e3 * float(np.percentile(latencies, percent))


def growth(lengths: Sequence[float], costs: Sequence[float]) -> float:
    """The exponent of cost ~ length ** exponent, by least squares on the logarithms: 1 is linear, 2 quadratic."""
    return float(np.polyfit(np.log(lengths), np.log(costs), 1)[0])
