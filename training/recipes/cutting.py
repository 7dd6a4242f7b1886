"""Recordings cut and joined: silence off the ends, long ones in pieces, short ones of one speaker one after another."""

from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt

Waveform = npt.NDArray[np.float32]

FADE_SECONDS = 0.005

_FRAME_SECONDS = 0.02
_SILENCE_DB = -40  # below the loudest frame
_KEPT_SECONDS = 0.05  # of what is quiet, at each end
_SHORTEST_SECONDS = 1.0
_PIECE_SECONDS = 6.0
_JOINED_SECONDS = (1.2, 3.4)
_GAP_SECONDS = (0.06, 0.15)


def trim(waveform: Waveform, *, sample_rate: int) -> Waveform:
    """Without the silence at both ends: frames of 20 ms more than 40 dB below the loudest; 50 ms of it stay.

    Parameters
    ----------
    waveform : float32 (n,)

    Returns
    -------
    float32 (m,), empty where all is silent
    """
    frame_samples = max(1, round(_FRAME_SECONDS * sample_rate))
    levels = _frame_powers(waveform, frame_samples)
    if not levels.size or not levels.max():
        return waveform[:0]
    loud = np.flatnonzero(levels > levels.max() * 10 ** (_SILENCE_DB / 10))
    kept = round(_KEPT_SECONDS * sample_rate)
    return waveform[max(0, loud[0] * frame_samples - kept) : (loud[-1] + 1) * frame_samples + kept]


def fade(waveform: Waveform, *, sample_rate: int) -> Waveform:
    """With 5 ms of fade at both ends, float32 (n,)."""
    samples = min(round(FADE_SECONDS * sample_rate), waveform.size // 2)
    gains = np.ones(waveform.size, np.float32)
    gains[:samples] = np.linspace(0, 1, samples, endpoint=False)
    gains[waveform.size - samples :] = np.linspace(1, 0, samples)
    return waveform * gains


def as_clips(
    recordings: Iterable[tuple[str, Waveform]], rng: np.random.Generator, *, sample_rate: int
) -> Iterator[tuple[str, Waveform]]:
    """Clips of at least 1 s of one speaker's recordings, each with the name of the first that is in it.

    What lasts 1 s or longer is a clip, in pieces of 6 s. What is shorter is joined to the next that are, with gaps of
    60 to 150 ms at the level of the quietest 20 ms around them, to reach a length drawn from 1.2 to 3.4 s.
    """
    started, parts, wanted = "", list[Waveform](), 0.0
    piece = round(_PIECE_SECONDS * sample_rate)
    for name, recording in recordings:
        waveform = trim(recording, sample_rate=sample_rate)
        if waveform.size >= _SHORTEST_SECONDS * sample_rate:
            cuts = [waveform[start : start + piece] for start in range(0, waveform.size, piece)]
            yield from ((name, cut) for cut in cuts if cut.size >= _SHORTEST_SECONDS * sample_rate)
        elif waveform.size:
            if not parts:
                started, wanted = name, rng.uniform(*_JOINED_SECONDS) * sample_rate
            else:
                parts.append(_gap(parts[-1], waveform, rng, sample_rate=sample_rate))
            parts.append(fade(waveform, sample_rate=sample_rate))
            if sum(part.size for part in parts) >= wanted:
                yield started, np.concatenate(parts)
                parts = []


def _gap(before: Waveform, after: Waveform, rng: np.random.Generator, *, sample_rate: int) -> Waveform:
    """Noise as faint as the quietest frame of either side: what is silent to the last bit would give a join away."""
    samples = round(rng.uniform(*_GAP_SECONDS) * sample_rate)
    frame_samples = round(_FRAME_SECONDS * sample_rate)
    powers = np.concatenate([_frame_powers(side, frame_samples) for side in (before, after)])
    level = np.sqrt(powers.min()) if powers.size else 0.0
    return rng.normal(scale=level, size=samples).astype(np.float32)


def _frame_powers(waveform: Waveform, frame_samples: int) -> npt.NDArray[np.float64]:
    whole = waveform[: waveform.size // frame_samples * frame_samples].reshape(-1, frame_samples)
    return np.asarray(np.mean(np.square(whole, dtype=np.float64), axis=1))
