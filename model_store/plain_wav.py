"""WAV files as most callers send them: 16-bit PCM or G.711, whole, with nothing of note beside the samples.

Their samples are read where they lie: a quarter of libsndfile's time. Whatever is unusual about a file, it is left to
libsndfile, which knows what to make of it.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

_ENCODINGS = {(1, 16): "PCM_16", (6, 8): "ALAW", (7, 8): "ULAW"}  # by format tag and bits a sample
_SKIPPED = (b"fact", b"LIST")  # chunks that say nothing of how the samples are to be read
_MOST_CHUNKS = 8


@dataclass(frozen=True, slots=True)
class PlainWav:
    """Where the samples are, and what they are."""

    encoding: str
    sample_rate: int
    channels: int
    first: int  # byte of the samples
    size: int  # bytes, of whole frames


def parse(data: bytes) -> PlainWav | None:
    """What a file's header says, if the file is plain and the header true to it.

    It is RIFF/WAVE (Microsoft and IBM, 1991), little-endian, all sizes in it agree with its own, and its last chunk
    are the samples.
    """
    if data[:4] != b"RIFF" or data[8:12] != b"WAVE" or int.from_bytes(data[4:8], "little") != len(data) - 8:
        return None
    place, form = 12, None
    for _ in range(_MOST_CHUNKS):
        if place + 8 > len(data):
            return None
        name, size = struct.unpack_from("<4sI", data, place)
        place += 8
        if name == b"data":
            return _plain(form, first=place, size=size) if place + size + size % 2 == len(data) and form else None
        if name == b"fmt " and form is None and 16 <= size <= len(data) - place:
            form = struct.unpack_from("<HHIIHH", data, place)
        elif name not in _SKIPPED:
            return None
        place += size + size % 2
    return None


def chunks(data: bytes) -> Iterator[bytes]:
    """Names of a WAV file's chunks, as far as sizes lead: to its end, zeros that pad it, or samples of open length.

    RIFX has its sizes with the high byte first, and RF64 (EBU Tech 3306) that of its samples in ``ds64``.
    """
    order: Literal["big", "little"] = "big" if data[:4] == b"RIFX" else "little"
    place, long = 12, 2**32 - 1
    while (name := data[place : place + 4]).strip(b"\0") and place + 8 <= len(data):
        size = int.from_bytes(data[place + 4 : place + 8], order)
        place += 8
        yield name
        if name == b"ds64":
            long = int.from_bytes(data[place + 8 : place + 16], "little")
        if name == b"data":
            size = long if size == 2**32 - 1 else size or len(data)
        place += size + size % 2


def _plain(form: tuple[int, ...], *, first: int, size: int) -> PlainWav | None:
    tag, channels, sample_rate, byte_rate, frame_bytes, bits = form
    encoding = _ENCODINGS.get((tag, bits))
    agrees = frame_bytes == channels * bits // 8 and byte_rate == sample_rate * frame_bytes
    if (
        encoding is None
        or not agrees
        or not 0 < sample_rate < 2**31
        or channels == 0
        or size == 0
        or size % frame_bytes
    ):
        return None
    return PlainWav(encoding, sample_rate, channels, first, size)
