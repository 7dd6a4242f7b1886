"""A call over a packet network: packets lost in bursts, and what a receiver plays in their place."""

import numpy as np
import numpy.typing as npt

Waveform = npt.NDArray[np.float32]
Lost = npt.NDArray[np.bool_]

PACKET_SECONDS = 0.020
_SHORTEST_PERIOD_SECONDS, _LONGEST_PERIOD_SECONDS = 0.005, 0.015  # of a voice of 200 to 66 Hz
_MATCHED_SECONDS = 0.020
_HELD_SECONDS, _FADED_SECONDS = 0.010, 0.060


def lost_packets(count: int, rng: np.random.Generator, *, rate: float, mean_burst: float) -> Lost:
    """Which packets are lost, bool (count,): Gilbert's two states (Bell System Technical Journal 39, 1960).

    Parameters
    ----------
    rate : float
        Of packets lost in the long run, 0 or more and less than 1.
    mean_burst : float
        Packets lost in a row on average, 1 or more. A burst of one is what chance alone gives at a low rate.
    """
    if not 0 <= rate < 1 or mean_burst < max(1, rate / (1 - rate)):
        raise ValueError(
            "A loss rate is in [0, 1), and a mean burst at least 1 packet and rate / (1 - rate). "
            f"Received: {rate}, {mean_burst}."
        )
    stay, enter = 1 - 1 / mean_burst, rate / (1 - rate) / mean_burst
    lost = np.zeros(count, bool)
    losing = rng.random() < rate
    for packet, draw in enumerate(rng.random(count)):
        lost[packet] = losing
        losing = draw < (stay if losing else enter)
    return lost


def lose(waveform: Waveform, lost: Lost, *, sample_rate: int, conceal: bool = True) -> Waveform:
    """Play a waveform without its lost packets of 20 ms.

    Parameters
    ----------
    waveform : float32 (n,), left as it is
    lost : bool (packets,)
        From the first sample on; what lies beyond them arrives.
    conceal : bool
        Whether the receiver repeats the voice's last period, fading from 10 ms on to silence at 60 ms, in the manner
        of ITU-T G.711 Appendix I (1999); or plays silence.

    Returns
    -------
    float32 (n,), aligned with `waveform`
    """
    played = waveform.copy()
    size = round(PACKET_SECONDS * sample_rate)
    edges = np.flatnonzero(np.diff(lost, prepend=False, append=False)) * size
    for first, end in np.minimum(edges, waveform.size).reshape(-1, 2):
        if conceal:
            _conceal(played, int(first), int(end), sample_rate=sample_rate)
        else:
            played[first:end] = 0
    return played


def _conceal(played: Waveform, first: int, end: int, *, sample_rate: int) -> None:
    """Replace ``played[first:end]``, and blend a quarter of a period on both sides of it."""
    period = _period(played[:first], sample_rate=sample_rate)
    if period is None:  # too early in the call: nothing to repeat
        played[first:end] = 0
        return
    quarter = period // 4
    rising = np.linspace(0, 1, quarter, dtype=np.float32)
    before = played[first - period - quarter : first - period]
    played[first - quarter : first] += (before - played[first - quarter : first]) * rising
    after = played[end : end + quarter]
    seconds = np.arange(end - first + after.size, dtype=np.float32) / sample_rate
    gain = np.clip((_FADED_SECONDS - seconds) / (_FADED_SECONDS - _HELD_SECONDS), 0, 1)
    made = np.resize(played[first - period : first], seconds.size) * gain
    played[first:end] = made[: end - first]
    rising = rising[: after.size]
    after *= rising
    after += made[end - first :] * (1 - rising)


def _period(past: Waveform, *, sample_rate: int) -> int | None:
    """The voice's period in samples: the lag at which the last 20 ms are most like what was before them."""
    shortest = round(_SHORTEST_PERIOD_SECONDS * sample_rate)
    longest = round(_LONGEST_PERIOD_SECONDS * sample_rate)
    matched = round(_MATCHED_SECONDS * sample_rate)
    if past.size < matched + longest:
        return None
    last = past[-matched:]
    candidates = past[-matched - longest : -shortest]  # its windows end `longest` to `shortest` samples ago
    products = np.correlate(candidates, last)
    energies = np.convolve(candidates**2, np.ones(matched, np.float32), mode="valid")
    return longest - int(np.argmax(products / np.sqrt(energies + 1e-9)))
