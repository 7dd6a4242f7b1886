"""How much speech there is in a waveform, and in what condition: what decides whether a score means anything.

A detector trained on speech gives *some* number for silence, hiss, a dial tone or music on hold. Those are not
spoofs and must never be called bonafide, so the verdict asks here first.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

Waveform = npt.NDArray[np.float32]

_FRAME_SECONDS = 0.032  # side by side: they need not overlap to be counted
_PITCH_HZ = (70.0, 400.0)
_PERIODICITY = 0.45  # of the normalised autocorrelation; white noise stays below 0.35
_TONAL_BINS = 0.03  # of the spectrum's bins: a pair of dialling tones fits in them
_TONAL_SHARE = 0.97  # of a frame's energy
_CAPPED_SHARE = 0.08  # of a frame's energy, shared out as the cap of a few bins: any gives the same answer
_TONAL_SHARE_OF_CLIP = 0.75  # of its loud frames
FLOOR_DBFS = -85.0  # below, a frame or a clip is silence: near the rounding noise of 16 bits
_BELOW_PEAK_DB = 35.0  # of level within a clip that speech may span
_MODULATION_DB = 1.5  # standard deviation of the level; hum and hiss stay below 1
_PASSAGE_FRAMES = 128  # 4 s, in which voiced frames are compared by level
_EQUAL_DB = 1.0
_FEW_FRAMES = 4  # so many may be equally loud by chance
_EQUAL_SHARE = 2 / 3  # of the voiced frames of a passage: keyed tones have more, speech in 3 of 1,799 clips
_REACH_FRAMES = 4  # consonants this near (128 ms) to a voiced frame count as speech
_RUMBLE_HZ = 100.0
_TELEPHONE_HZ = 4_000.0  # half of its sample rate: nothing it carried lies above
_PIECE_FRAMES = 4_096  # measured at a time, 131 s: the memory of spectra does not follow the length


@dataclass(frozen=True, slots=True)
class Condition:
    """What `measure` finds."""

    speech: npt.NDArray[np.bool_]  # (frames,), a frame each 32 ms
    bandwidth_hz: float  # 99.9 % of the energy lies below
    above_4khz_db: float  # energy, of the whole; -inf where there is none
    level_dbfs: float  # of the whole waveform, RMS; -inf for digital silence
    speech_seconds: float  # no more than there are of the waveform, whose last frame may end beyond it

    def speech_between(self, start_seconds: float, end_seconds: float) -> float:
        """Seconds of speech in a passage."""
        first, last = round(start_seconds / _FRAME_SECONDS), round(end_seconds / _FRAME_SECONDS)
        return float(self.speech[first:last].sum()) * _FRAME_SECONDS


def measure(waveform: Waveform, *, sample_rate: int) -> Condition:
    """Find speech by what only speech has together: periodicity, harmonics and a changing level.

    A frame counts when it is loud enough for its clip and near a voiced frame: one whose autocorrelation, after
    pre-emphasis, has a peak at a pitch of 70 to 400 Hz, and whose energy is not in a few tones. A clip whose level
    never changes has no speech, and a passage whose voiced frames are as loud as each other has none either: tones
    that a network keys, whose noise fills the pauses.

    Parameters
    ----------
    waveform : float32 (n,), n > 0
    sample_rate : int
        Hz.
    """
    length = _frame_samples(sample_rate)
    piece_samples = _PIECE_FRAMES * length
    pieces = [
        _frames(waveform[first : first + piece_samples], length) for first in range(0, waveform.size, piece_samples)
    ]
    squares = np.concatenate([np.vecdot(frames, frames) for frames in pieces])
    power = float(squares.sum(dtype=np.float64)) / waveform.size
    levels = 10 * np.log10(squares / np.float32(length) + np.float32(1e-12))  # dBFS
    loud = levels > max(FLOOR_DBFS, _percentile_95(levels) - _BELOW_PEAK_DB)

    energy = np.zeros(length // 2 + 1)
    voiced, tonal = [], []  # of the loud frames: nobody asks what others are
    for frames, asked in zip(pieces, np.split(loud, range(_PIECE_FRAMES, loud.size, _PIECE_FRAMES)), strict=True):
        spectra = _power(frames)
        energy += np.ones(len(spectra), np.float32) @ spectra  # a third of a sum's time
        voiced.append(_voiced(spectra[asked], sample_rate=sample_rate))
        tonal.append(_tonal(spectra[asked]))
    tones = np.concatenate(tonal)

    speech = np.zeros_like(loud)
    if loud.any() and levels[loud].std() > _MODULATION_DB and tones.mean() < _TONAL_SHARE_OF_CLIP:
        speech[loud] = pitched = np.concatenate(voiced)
        keyed = _keyed(levels, speech)
        speech[loud] = pitched & ~tones
        speech &= ~keyed
        near = np.convolve(speech, np.ones(2 * _REACH_FRAMES + 1))[_REACH_FRAMES:-_REACH_FRAMES]
        speech = loud & (near > 0.5)
    return Condition(
        speech=speech,
        bandwidth_hz=_bandwidth(energy, sample_rate=sample_rate),
        above_4khz_db=_above_telephone(energy, sample_rate=sample_rate),
        level_dbfs=float(10 * np.log10(power)) if power > 0 else -np.inf,
        speech_seconds=min(float(speech.sum()) * _FRAME_SECONDS, waveform.size / sample_rate),
    )


def _frames(waveform: Waveform, length: int) -> npt.NDArray[np.float32]:
    """Side by side, (frames, length); zeros complete the last."""
    if waveform.size % length:
        padded = np.zeros(-(-waveform.size // length) * length, np.float32)
        padded[: waveform.size] = waveform
        waveform = padded
    return waveform.reshape(-1, length)


def _percentile_95(values: npt.NDArray[np.float32]) -> float:
    """NumPy's own takes ten times as long for so few."""
    return float(np.interp(0.95 * (values.size - 1), np.arange(values.size), np.sort(values)))


def _power(frames: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Power spectra under a Hann window: (frames, samples) -> (frames, bins).

    Left to its default scaling, NumPy computes in float64 and takes five times as long: so it divides by the length,
    which the window makes good.
    """
    amplitudes = np.abs(np.fft.rfft(frames * _scaled_window(frames.shape[1]), norm="forward"))
    return np.square(amplitudes, out=amplitudes)


@cache
def _scaled_window(samples: int) -> npt.NDArray[np.float32]:
    return (samples * np.hanning(samples)).astype(np.float32)


def _frame_samples(sample_rate: int) -> int:
    return round(_FRAME_SECONDS * sample_rate)


def _voiced(spectra: npt.NDArray[np.float32], *, sample_rate: int) -> npt.NDArray[np.bool_]:
    """Whether each frame's autocorrelation peaks at a pitch, relative to the window's own (Rabiner 1977).

    It is the transform of the power spectrum, and only the lags of a pitch are needed: a product of matrices.
    Nothing is padded: what wraps around is what the window has tapered away.
    """
    lags, whole = _lags(2 * (spectra.shape[1] - 1), sample_rate)
    peak = (spectra @ lags).max(axis=1)
    return np.asarray(peak > np.float32(_PERIODICITY) * (spectra @ whole + np.float32(1e-20)))


@cache
def _lags(frame_samples: int, sample_rate: int) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Power spectrum (frames, bins) -> autocorrelation after pre-emphasis.

    Returns
    -------
    matrix : float32 (bins, lags)
        At each lag of a pitch, over the window's own autocorrelation there, relative to that at lag 0.
    whole : float32 (bins,)
        At lag 0.
    """
    shortest, longest = (round(sample_rate / hz) for hz in reversed(_PITCH_HZ))
    radians = np.linspace(0, np.pi, frame_samples // 2 + 1)
    weight = np.full(radians.size, 2.0)  # each bin stands for its conjugate too, but the first and the last
    weight[[0, -1]] = 1
    cosines = np.cos(np.outer(radians, np.arange(shortest, longest + 1)))
    window = np.square(np.abs(np.fft.rfft(np.hanning(frame_samples)))) * weight
    whole = weight * np.square(np.abs(1 - 0.97 * np.exp(-1j * radians)))
    matrix = whole[:, None] * cosines / (window @ cosines / window.sum())
    return matrix.astype(np.float32), whole.astype(np.float32)


def _keyed(levels: npt.NDArray[np.float32], voiced: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Whether each frame is of a passage whose voiced frames are equally loud, most of them within 1 dB."""
    keyed = np.zeros_like(voiced)
    for first in range(0, voiced.size, _PASSAGE_FRAMES):
        passage = slice(first, first + _PASSAGE_FRAMES)
        ordered = np.sort(levels[passage][voiced[passage]])
        within = np.searchsorted(ordered, ordered + np.float32(_EQUAL_DB), side="right") - np.arange(ordered.size)
        keyed[passage] = within.max(initial=0) > max(_EQUAL_SHARE * ordered.size, _FEW_FRAMES)
    return keyed


def _tonal(spectra: npt.NDArray[np.float32]) -> npt.NDArray[np.bool_]:
    """Whether nearly all of each frame's energy is in a few bins, as in the tones of a telephone network."""
    count = max(1, round(_TONAL_BINS * spectra.shape[1]))
    ones = np.ones(spectra.shape[1], np.float32)
    whole = spectra @ ones
    # Most frames show without sorting: whichever few bins are the largest, with each bin capped they hold at most
    # `_CAPPED_SHARE`, and what is left beside that is too much.
    capped = np.minimum(spectra, (_CAPPED_SHARE / count * whole)[:, None]) @ ones
    tonal = capped <= (1 - _TONAL_SHARE + _CAPPED_SHARE) * whole
    few = np.partition(spectra[tonal], -count, axis=1)[:, -count:].sum(axis=1)
    tonal[tonal] = few > _TONAL_SHARE * whole[tonal]
    return np.asarray(tonal)


def _bandwidth(energy: npt.NDArray[np.float64], *, sample_rate: int) -> float:
    """The frequency, in Hz, below which 99.9 % of the energy above 100 Hz lies; 0 for digital silence."""
    bin_hz = sample_rate / 2 / (energy.size - 1)
    rumble = round(_RUMBLE_HZ / bin_hz)
    cumulative = np.cumsum(np.where(np.arange(energy.size) < rumble, 0, energy))
    if cumulative[-1] <= 0:
        return 0.0
    return float(np.searchsorted(cumulative, 0.999 * cumulative[-1]) * bin_hz)


def _above_telephone(energy: npt.NDArray[np.float64], *, sample_rate: int) -> float:
    """The energy above a telephone's band, in dB of the whole; from a tenth above, where a resampler has rolled off."""
    bin_hz = sample_rate / 2 / (energy.size - 1)
    above, whole = energy[round(1.1 * _TELEPHONE_HZ / bin_hz) :].sum(), energy.sum()
    return float(10 * np.log10(above / whole)) if above > 0 else -np.inf
