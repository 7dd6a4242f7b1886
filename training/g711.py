"""The telephone's codec, bit-exact: ITU-T G.711 (1988), mu-law and A-law.

Where a sample lies on a decision value, the Recommendation's tables leave open on which side it falls. Both laws
here do as the ITU's own software (ITU-T G.191), which takes the one's complement of negative samples: the upper
side. Of all 65,536 samples, libsndfile codes otherwise only the 127 negative ones on a decision value; FFmpeg, which
seeks the nearest level, codes 964 otherwise, most of them between decision values, where the tables are plain.
All decoders agree.
"""

from functools import cache
from typing import Literal

import numpy as np
import numpy.typing as npt

Law = Literal["mu", "a"]
Samples = npt.NDArray[np.int16]
Codes = npt.NDArray[np.uint8]
Waveform = npt.NDArray[np.float32]

_FULL_SCALE = 32_768


def encode(samples: Samples, law: Law) -> Codes:
    """Samples to the codes that go over the line, its inverted bits (all of mu-law, the even of A-law) included.

    Parameters
    ----------
    samples : int16 (n,)
        Mu-law hears the upper 14 bits, A-law the upper 12 and the sign.

    Returns
    -------
    uint8 (n,)
    """
    return np.take(_codes(law), samples.view(np.uint16))


def decode(codes: Codes, law: Law) -> Samples:
    """Codes, uint8 (n,), to samples, int16 (n,): within ±32,124 for mu-law and ±32,256 for A-law."""
    return np.take(_levels(law), codes)


def through(waveform: Waveform, law: Law) -> Waveform:
    """A waveform, float32 (n,), encoded and decoded; beyond [-1, 1] it is clipped."""
    return from_int16(decode(encode(to_int16(waveform), law), law))


def to_int16(waveform: Waveform) -> Samples:
    """The nearest 16-bit samples; 1.0 is full scale, 32,768, and clipped like everything beyond."""
    scaled: Waveform = np.rint(waveform * np.float32(_FULL_SCALE))
    return np.clip(scaled, -_FULL_SCALE, _FULL_SCALE - 1).astype(np.int16)


def from_int16(samples: Samples) -> Waveform:
    """16-bit samples as a waveform in [-1, 1)."""
    return np.divide(samples, _FULL_SCALE, dtype=np.float32)


@cache
def _codes(law: Law) -> Codes:
    """The code of each 16-bit sample, uint8 (65536,), in the order of their bits read as unsigned."""
    samples = np.arange(2**16, dtype=np.uint16).view(np.int16).astype(np.int32)
    negative = samples < 0
    magnitude = np.where(negative, ~samples, samples)
    if law == "mu":
        biased = np.minimum((magnitude >> 2) + 33, 8_191)
        segment = np.searchsorted(64 << np.arange(7), biased, side="right")
        inverted = 0xFF ^ (segment << 4 | (biased >> (segment + 1) & 15))
    else:
        magnitude >>= 4
        segment = np.searchsorted(16 << np.arange(7), magnitude, side="right")
        inverted = 0xD5 ^ (segment << 4 | (magnitude >> np.maximum(segment - 1, 0) & 15))
    return np.asarray(inverted ^ (negative << 7), np.uint8)


@cache
def _levels(law: Law) -> Samples:
    """The sample of each code, int16 (256,)."""
    code = np.arange(256) ^ (0xFF if law == "mu" else 0xD5)  # without the inversions, and the sign bit set for negative
    segment, step = code >> 4 & 7, code & 15
    if law == "mu":
        magnitude = (((2 * step + 33) << segment) - 33) * 4
    else:
        magnitude = np.where(segment == 0, 2 * step + 1, (2 * step + 33) << np.maximum(segment - 1, 0)) * 8
    return np.asarray(np.where(code & 0x80, -magnitude, magnitude), np.int16)
