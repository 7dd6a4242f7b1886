"""A waveform of any length -> windows of one length, and the logits of windows -> one logit.

Training and serving both trim with `trim` and then cut with `cut`: a model never meets a window that was made in
another way.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

Waveform = npt.NDArray[np.float32]
Pool = Callable[[npt.NDArray[np.float32], npt.NDArray[np.float64]], float]

SOFTNESS = 2.0  # logits; 0 is the lowest window alone, infinity the mean


TRIM_BELOW_DB = 35.0  # a pause whose noise peaks 35 dB below speech is cut, a soft consonant is not


def trim(waveform: Waveform, *, below_db: float | None = TRIM_BELOW_DB) -> tuple[Waveform, int]:
    """Leave out the silence around what is said, and the constant offset: what windows are cut from.

    The length of the silence around speech tells the classes of ASVspoof 2019 apart by itself (Müller et al. 2021,
    arXiv:2106.12914), and says nothing of a caller. So the part kept begins and ends with the first and the last
    sample within `below_db` of the loud ones, which the silence has no part in: whatever silence is added to a clip,
    its windows are the same, to the bit. So they are at another level.

    Parameters
    ----------
    waveform : float32 (n,), n > 0
    below_db : float, or None to leave the waveform as it is
        Below the clip's loud level: the mean power of its samples, each weighted by its power.

    Returns
    -------
    part : float32 (m,), 0 < m <= n
        Less its mean. Of a waveform that never changes, the whole.
    start : int
        The sample of `waveform` that it begins with.

    Examples
    --------
    >>> part, start = trim(np.array([0, 0, 0, 1, -1, 0, 1, -1, 0], np.float32))
    >>> part.tolist(), start
    ([1.0, -1.0, 0.0, 1.0, -1.0], 3)
    """
    if below_db is None:
        return waveform, 0
    outer, end = _loud(waveform, below_db=below_db)  # else added silence would shift the mean
    part = _centred(waveform[outer:end])
    start, end = _loud(part, below_db=below_db)
    return part if end - start == part.size else _centred(part[start:end]), outer + start


def _centred(waveform: Waveform) -> Waveform:
    centred: Waveform = waveform - np.float32(waveform.mean(dtype=np.float64))
    return centred


def _loud(waveform: Waveform, *, below_db: float) -> tuple[int, int]:
    """First of the loud samples, and the one after the last."""
    total = np.dot(waveform, waveform)
    if total == 0:
        return 0, waveform.size
    if not 1e-15 < total / waveform.size < 1e12:  # the squares of power would not be float32's to hold
        _, exponent = np.frexp(np.abs(waveform).max())
        return _loud(np.ldexp(waveform, -exponent), below_db=below_db)
    power = np.square(waveform)
    loud = power > np.dot(power, power) / total * np.float32(10 ** (-below_db / 10))
    return int(loud.argmax()), loud.tobytes().rfind(True) + 1  # `argmax` is slow from behind


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
