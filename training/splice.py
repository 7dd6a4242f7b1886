"""Passages of speech joined so that the joint gives little away: levels matched, cut at zero crossings, faded."""

from collections.abc import Sequence

import numpy as np

from model_store.detector import Waveform

FADE_SECONDS = 0.01
_SEARCH_SECONDS = 0.005  # how far a zero crossing may be


def join(waveforms: Sequence[Waveform], *, sample_rate: int) -> Waveform:
    """One waveform after another, each at the level of the first and faded into the next over 10 ms.

    Parameters
    ----------
    waveforms : sequence of float32 (n,), at least one, each longer than 20 ms

    Returns
    -------
    float32 (m,), shorter than their sum by a fade at each joint
    """
    fade = round(FADE_SECONDS * sample_rate)
    out = waveforms[0]
    for following in waveforms[1:]:
        matched = following * np.float32(_rms(waveforms[0]) / _rms(following))
        middle = _faded(out[-fade:], matched[:fade])
        out = np.concatenate([out[:-fade], middle, matched[fade:]])
    return out


def insert(carrier: Waveform, donor: Waveform, *, start: int, sample_rate: int) -> tuple[Waveform, int, int]:
    """A carrier with a passage replaced by the donor, at the carrier's level.

    Parameters
    ----------
    carrier, donor : float32 (n,) and (m,), m < n
    start : int
        The sample that the passage begins at, or the zero crossing nearest to it.

    Returns
    -------
    waveform : float32 (n,)
    first, last : int
        The passage, in samples, with the halves of its fades.
    """
    fade = round(FADE_SECONDS * sample_rate)
    reach = round(_SEARCH_SECONDS * sample_rate)
    if not reach + fade <= start <= carrier.size - donor.size - reach - fade:
        raise ValueError(
            f"A passage lies within its carrier, with room for fades. "
            f"Received: {donor.size} samples from {start} on, of {carrier.size}."
        )
    first = _crossing(carrier, start, reach=reach)
    begin, end = (_crossing(donor, place, reach=reach) for place in (reach, donor.size - reach))
    passage = donor[begin:end] * np.float32(_rms(carrier) / _rms(donor))
    last = first + passage.size
    out = carrier.copy()
    out[first:last] = passage
    out[first : first + fade] = _faded(carrier[first : first + fade], passage[:fade])
    out[last - fade : last] = _faded(passage[-fade:], carrier[last - fade : last])
    return out, first, last


def _faded(out: Waveform, into: Waveform) -> Waveform:
    """One passage into another at equal power: the two are strangers."""
    angle = np.linspace(0, np.pi / 2, out.size, dtype=np.float32)
    return np.asarray(out * np.cos(angle) + into * np.sin(angle), np.float32)


def _crossing(waveform: Waveform, near: int, *, reach: int) -> int:
    """The sample after a rise through zero that is nearest to `near`; `near` itself where there is none in reach."""
    first = max(near - reach, 1)
    part = waveform[first - 1 : near + reach]
    rises = first + np.flatnonzero((part[:-1] < 0) & (part[1:] >= 0))
    return int(rises[np.argmin(np.abs(rises - near))]) if rises.size else near


def _rms(waveform: Waveform) -> float:
    return float(np.sqrt(np.mean(np.square(waveform, dtype=np.float64)))) + 1e-9
