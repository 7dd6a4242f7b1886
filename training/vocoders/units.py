"""What unit selection leaves: joins between pieces of real speech that were not spoken one after the other.

References: A. Hunt, A. Black, "Unit selection in a concatenative speech synthesis system", ICASSP 1996; W. Verhelst,
M. Roelands, "WSOLA", ICASSP 1993 (a join is put where the waveforms agree).
"""

from itertools import pairwise

import numpy as np
import numpy.typing as npt

Waveform = npt.NDArray[np.float32]

_FRAME_SECONDS = 0.01
_BANDS = 24
_UNIT_FRAMES = 4, 14  # shortest and longest; of a short clip a third
_APART_FRAMES = 8  # at least, between a unit and what takes its place; of a short clip a sixth
_FEWEST_FRAMES = 13  # of which each unit has another that may take its place


def concatenated(waveform: Waveform, *, sample_rate: int, rng: np.random.Generator) -> Waveform:
    """Put in the place of a clip's units (40 to 140 ms) the ones of the clip that sound most like them.

    The clip is its own inventory: the 40 to 80 % of its units that have the best likeness are replaced. A half of the
    copies is joined well: each unit is moved by up to 5 ms to where it agrees with what it follows. Joins fade over
    1 to 8 ms.
    """
    hop = round(_FRAME_SECONDS * sample_rate)
    frames = waveform.size // hop
    if frames < _FEWEST_FRAMES:
        raise ValueError(
            f"Units come from {_FEWEST_FRAMES * _FRAME_SECONDS:.2f} s or more. Received: {waveform.size} samples."
        )
    share, fade = rng.uniform(0.4, 0.8), round(rng.uniform(0.001, 0.008) * sample_rate)
    search = hop // 2 if rng.random() < 0.5 else 0
    shortest, longest = _UNIT_FRAMES[0], min(_UNIT_FRAMES[1], frames // 3)
    starts = np.cumsum([0, *rng.integers(shortest, longest, size=frames // shortest, endpoint=True)])
    starts = np.append(starts[starts < frames - shortest], frames)
    spectra = _log_bands(waveform, hop)
    likes = [_most_alike(spectra, first, end - first) for first, end in pairwise(starts)]
    limit = np.quantile([distance for _, distance in likes], share)

    before = hop + fade
    padded = np.pad(waveform, before, mode="reflect").astype(np.float64)
    made = np.zeros(waveform.size + fade)
    for (first, end), (like, distance) in zip(pairwise(starts * hop), likes, strict=True):
        stop = waveform.size if end == frames * hop else end
        source = before + (like * hop if distance <= limit else first)
        if search and distance <= limit:
            source += _best_shift(padded, made[first : first + fade], source, search)
        unit = padded[source : source + stop - first + fade]
        rise = np.linspace(0, 1, fade, endpoint=False)
        unit = np.concatenate([unit[:fade] * (rise if first else 1), unit[fade:-fade], unit[-fade:] * (1 - rise)])
        made[first : first + unit.size] += unit
    return np.asarray(made[: waveform.size], np.float32)


def _log_bands(waveform: Waveform, hop: int) -> npt.NDArray[np.float64]:
    """Logarithmic power of each frame in bands, float64 (frames, bands)."""
    count = waveform.size // hop
    frames = waveform[: count * hop].reshape(count, hop).astype(np.float64)
    power = np.square(np.abs(np.fft.rfft(frames * np.hanning(hop), 2 * hop)))[:, :hop]
    edges = np.unique(np.rint(hop * np.linspace(0, 1, _BANDS + 1) ** 1.6).astype(int))
    return np.asarray(np.log(np.add.reduceat(power, edges[:-1], axis=1) + 1e-7))


def _most_alike(spectra: npt.NDArray[np.float64], frame: int, count: int) -> tuple[int, float]:
    """The frame at which `count` frames are most like those from `frame`, not counting those close by; and how unlike.

    Nats, the mean of frames and bands.
    """
    runs = np.lib.stride_tricks.sliding_window_view(spectra, count, axis=0)  # (starts, bands, count)
    distances = np.abs(runs - runs[frame]).mean(axis=(1, 2))
    apart = min(_APART_FRAMES, len(spectra) // 6)
    distances[max(frame - apart, 0) : frame + apart + 1] = np.inf
    best = int(np.argmin(distances))
    return best, float(distances[best])


def _best_shift(padded: npt.NDArray[np.float64], tail: npt.NDArray[np.float64], source: int, search: int) -> int:
    """By how many samples, `search` at most either way, a unit agrees best with the tail that it is joined to."""
    around = padded[source - search : source + search + tail.size]
    if around.size < 2 * search + tail.size or not tail.any():
        return 0
    agreement = np.correlate(around, tail, mode="valid")
    energy = np.convolve(np.square(around), np.ones(tail.size), mode="valid")
    return int(np.argmax(agreement / np.sqrt(energy + 1e-9))) - search
