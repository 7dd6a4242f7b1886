"""A waveform of any length -> windows of one length, and the logits of windows -> one logit.

Training and serving both cut with `cut`: a model never meets a window that was made in another way.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

Waveform = npt.NDArray[np.float32]
Pool = Callable[[npt.NDArray[np.float32], npt.NDArray[np.float64]], float]

SOFTNESS = 2.0  # logits; 0 is the lowest window alone, infinity the mean


def starts(samples: int, *, window_samples: int, hop_samples: int) -> list[int]:
    """First sample of each window over a waveform of `samples` samples.

    Windows stand `hop_samples` apart; the last one is moved back so that it ends with the waveform. No sample
    is left out, whatever the length.

    Examples
    --------
    >>> starts(10, window_samples=4, hop_samples=3)
    [0, 3, 6]
    >>> starts(9, window_samples=4, hop_samples=3)
    [0, 3, 5]
    >>> starts(3, window_samples=4, hop_samples=3)
    [0]
    """
    last = max(samples - window_samples, 0)
    regular = list(range(0, last, hop_samples))
    return [*regular, last]


def cut(waveform: Waveform, *, window_samples: int, hop_samples: int) -> npt.NDArray[np.float32]:
    """Cut a waveform into windows.

    Parameters
    ----------
    waveform : float32 (n,)
        n > 0. Shorter than a window, it is repeated until it fills one, as AASIST does: unlike zeros, a
        repetition adds no silence, and silence tells the classes of ASVspoof 2019 apart by itself
        (Müller et al. 2021, arXiv:2106.12914).

    Returns
    -------
    float32 (k, window_samples), with one row for each of `starts`
    """
    if waveform.ndim != 1 or waveform.size == 0:
        raise ValueError(f"A waveform has the shape (n,), n > 0. Received: {waveform.shape}.")
    if waveform.size < window_samples:
        waveform = np.resize(waveform, window_samples)
    first = starts(waveform.size, window_samples=window_samples, hop_samples=hop_samples)
    return np.stack([waveform[start : start + window_samples] for start in first])


def pool(logits: npt.NDArray[np.float32], weights: npt.NDArray[np.float64]) -> float:
    """Pool the logits (k,) of a clip's windows into one, by their mean weighted with `weights` (k,).

    The weight of a window is the speech in it, in seconds, so that the pauses of a call do not dilute what its
    speech says. Where no window has any, all weigh the same.
    """
    if not weights.sum() > 0:
        weights = np.ones_like(weights)
    return float(np.average(logits.astype(np.float64), weights=weights))


def pool_soft_minimum(logits: npt.NDArray[np.float32], weights: npt.NDArray[np.float64]) -> float:
    """Pool the logits (k,) of a clip's windows by a soft minimum: `-SOFTNESS * log(mean(exp(-logits / SOFTNESS)))`.

    The mean is weighted as in `pool`. Windows that agree give what they agree on; a few that are far below the others
    pull the clip down, so that a spoofed passage is not outvoted by the speech around it. Never above `pool`.
    """
    if not weights.sum() > 0:
        weights = np.ones_like(weights)
    lowest = float(logits[weights > 0].min())
    far = np.where(weights > 0, logits - lowest, 0.0).astype(np.float64)
    return lowest - SOFTNESS * float(np.log(np.average(np.exp(-far / SOFTNESS), weights=weights)))


POOLINGS: dict[str, Pool] = {"speech_weighted_mean": pool, "speech_weighted_soft_minimum": pool_soft_minimum}
