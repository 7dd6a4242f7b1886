"""The requests that the rows of docs/hardening.md send, made here."""

import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np

from tests.signals import RATE, clip, constant_flac, speech, sweep, with_flac_total

_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
MULTIPART = {"Content-Type": "multipart/form-data; boundary=x"}


@dataclass(frozen=True, slots=True)
class Sent:
    """A request, but for its address: its body whole, or in chunks without a length."""

    body: bytes | Callable[[], Iterator[bytes]]
    headers: dict[str, str] = field(default_factory=dict)
    path: str = "/detect"


def constant_frames() -> bytes:
    """48 KB of FLAC: 90 minutes of eight channels, whose frames say "the same sample all along"."""
    return constant_flac(seconds=5_400, sample_rate=RATE, channels=8)


def one_value() -> bytes:
    """24 KB of FLAC: ten minutes at 192 kHz, all of it one flat top."""
    return constant_flac(seconds=599, sample_rate=192_000, channels=1, value=10_000)


def day_of_silence() -> bytes:
    """Ogg Vorbis of 24 hours: the pages of a minute's silence, again and again under other numbers."""
    hour, rate = 3_600, 8_000
    pages = list(_ogg_pages(clip(np.zeros(60 * rate), sample_rate=rate, container="OGG", codec="VORBIS")))
    head = [page for page in pages if struct.unpack_from("<q", page, 6)[0] == 0]
    body = [page for page in pages[len(head) :] if not page[5] & 4]  # the last one ends the stream
    long = max(struct.unpack_from("<q", page, 6)[0] for page in body)
    out, number, offset = list(head), len(head), 0
    while offset < 24 * hour * rate:
        for page in body:
            position = offset + struct.unpack_from("<q", page, 6)[0]
            out.append(_ogg_page(page, number=number, position=position, last=position >= 24 * hour * rate))
            number += 1
        offset += long
    return b"".join(out)


def _ogg_pages(data: bytes) -> Iterator[bytes]:
    """The pages of a stream (RFC 3533)."""
    at = 0
    while at < len(data):
        segments = data[at + 26]
        size = 27 + segments + sum(data[at + 27 : at + 27 + segments])
        yield data[at : at + size]
        at += size


def _ogg_page(page: bytes, *, number: int, position: int, last: bool) -> bytes:
    flags = page[5] & ~5 | (4 if last else 0)
    made = page[:5] + bytes([flags]) + struct.pack("<q", position) + page[14:18] + struct.pack("<II", number, 0)
    made += page[26:]
    return made[:22] + struct.pack("<I", _ogg_crc(made)) + made[26:]


def _ogg_crc(data: bytes) -> int:
    """Ogg's checksum is zlib's, read from the other end and not inverted."""
    found = zlib.crc32(data.translate(_REVERSED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int(f"{found:032b}"[::-1], 2)


def one_hertz() -> bytes:
    """31 KB of WAV that claim to last four hours."""
    wav = clip(np.zeros(15_500), sample_rate=RATE)
    return wav[:24] + struct.pack("<I", 1) + wav[28:]


def voice(**how: object) -> bytes:
    """Two seconds that pass for speech."""
    return clip(speech(seconds=2), sample_rate=RATE, **how)  # type: ignore[arg-type]


def flac_claiming(samples: int) -> bytes:
    """A voice whose header claims another length."""
    return with_flac_total(voice(container="FLAC"), samples)


def not_finite(value: float) -> bytes:
    """A sweep with one sample that is none."""
    signal = sweep(sample_rate=RATE)
    signal[RATE // 2] = value
    return clip(signal, sample_rate=RATE, codec="DOUBLE")


def anti_phase() -> bytes:
    """A voice, and the same with its sign changed."""
    left = speech(seconds=2)
    return clip(np.stack([left, -left], axis=1), sample_rate=RATE)


def megabytes(count: int) -> Callable[[], Iterator[bytes]]:
    """A body in chunks."""
    return lambda: (bytes(1_000_000) for _ in range(count))


def part(*headers: str, content: bytes = b"") -> bytes:
    """A part of a multipart body."""
    return "\r\n".join(["--x", *headers, "", ""]).encode() + content + b"\r\n"


def many_fields() -> bytes:
    """1,001 fields."""
    return part('Content-Disposition: form-data; name="a"') * 1_001 + b"--x--\r\n"


def many_files() -> bytes:
    """2,000 files."""
    return part('Content-Disposition: form-data; name="files"; filename="a"') * 2_000 + b"--x--\r\n"


def huge_part_header() -> bytes:
    """A part with a header of 20 MB."""
    return part(f'Content-Disposition: form-data; name="files"; filename="{"a" * 20_000_000}"') + b"--x--\r\n"
