"""A plain WAV's samples are libsndfile's, to the bit; whatever is unusual about a file is left to libsndfile."""

import io
import struct

import numpy as np
import pytest
import soundfile

from model_store.audio import decode
from model_store.plain_wav import PlainWav, parse
from tests.signals import clip

CODES = np.arange(-(2**15), 2**15, dtype="<i2")  # each sample that there is
FORM = struct.pack("<HHIIHH", 1, 1, 16_000, 32_000, 2, 16)


def chunk(name: bytes, content: bytes) -> bytes:
    return name + len(content).to_bytes(4, "little") + content + bytes(len(content) % 2)


def riff(*chunks: bytes) -> bytes:
    return chunk(b"RIFF", b"WAVE" + b"".join(chunks))


PLAIN = riff(chunk(b"fmt ", FORM), chunk(b"data", CODES.tobytes()))


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("codec", ["PCM_16", "ULAW", "ALAW"])
def test_samples_are_those_of_libsndfile(codec: str, channels: int) -> None:
    samples = (CODES / 2**15).reshape(-1, channels)
    data = clip(samples, sample_rate=16_000, codec=codec)
    found = parse(data)
    assert found is not None
    assert (found.encoding, found.channels, found.sample_rate) == (codec, channels, 16_000)
    decoded, expected = decode(data, sample_rate=16_000), soundfile.read(io.BytesIO(data), dtype="float32")[0]
    assert decoded.format == f"WAV/{codec}"
    for channel, waveform in decoded.waveforms.items():
        np.testing.assert_array_equal(waveform, expected.reshape(-1, channels)[:, channel])


def test_a_header_says_where_the_samples_are() -> None:
    assert parse(PLAIN) == PlainWav("PCM_16", 16_000, 1, first=44, size=2**17)
    told = riff(
        chunk(b"fmt ", FORM + b"\0\0"), chunk(b"LIST", b"odd"), chunk(b"fact", bytes(4)), chunk(b"data", b"1234")
    )
    assert parse(told) == PlainWav("PCM_16", 16_000, 1, first=len(told) - 4, size=4)
    law = struct.pack("<HHIIHH", 7, 1, 8_000, 8_000, 1, 8)
    assert parse(riff(chunk(b"fmt ", law), chunk(b"data", b"odd"))) == PlainWav("ULAW", 8_000, 1, first=44, size=3)


def form(**changed: int) -> bytes:
    fields = {"tag": 1, "channels": 1, "rate": 16_000, "bytes": 32_000, "frame": 2, "bits": 16}
    return chunk(b"fmt ", struct.pack("<HHIIHH", *(fields | changed).values()))


DATA = chunk(b"data", CODES.tobytes())


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(PLAIN[:-2], id="cut short"),
        pytest.param(PLAIN + b"\0\0", id="more after its end"),
        pytest.param(b"RIFX" + PLAIN[4:], id="big-endian"),
        pytest.param(riff(DATA), id="no form"),
        pytest.param(riff(chunk(b"cue ", FORM), DATA), id="no form, but a chunk that reads as one"),
        pytest.param(riff(DATA, form()), id="form behind the samples"),
        pytest.param(riff(form(), form(), DATA), id="two forms"),
        pytest.param(riff(form(), DATA, chunk(b"LIST", b"1234")), id="a chunk behind the samples"),
        pytest.param(riff(form(), chunk(b"cue ", b"1234"), DATA), id="another chunk"),
        pytest.param(riff(form(), *[chunk(b"LIST", b"")] * 10, DATA), id="many chunks"),
        pytest.param(riff(form(), chunk(b"data", b"")), id="no samples"),
        pytest.param(riff(form(), chunk(b"data", b"odd")), id="half a frame"),
        pytest.param(riff(form()), id="no data"),
        pytest.param(riff(form(tag=3, bits=32, frame=4, bytes=64_000), DATA), id="float"),
        pytest.param(riff(form(tag=0xFFFE), DATA), id="extensible"),
        pytest.param(riff(form(bits=8, frame=1, bytes=16_000), DATA), id="8 bits"),
        pytest.param(riff(form(channels=2), DATA), id="frames that do not hold their channels"),
        pytest.param(riff(form(bytes=16_000), DATA), id="a rate that does not agree"),
        pytest.param(riff(form(channels=0, frame=0, bytes=0), DATA), id="no channel"),
        pytest.param(riff(form(rate=0, bytes=0), DATA), id="no rate"),
        pytest.param(riff(chunk(b"fmt ", FORM[:14]), DATA), id="a short form"),
        pytest.param(PLAIN[:30], id="a part of a header"),
        pytest.param(b"RIFF", id="four bytes"),
        pytest.param(b"", id="nothing"),
    ],
)
def test_whatever_is_unusual_is_left_to_libsndfile(data: bytes) -> None:
    assert parse(data) is None
