"""Clips whose samples are known come back as they were made; those that cannot be scored are refused."""

import ctypes
import io
import itertools
import re
import resource
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Literal
from unittest.mock import Mock

import av
import numpy as np
import pytest
import soundfile
import soxr
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from model_store import audio, decoders
from model_store.audio import Clip, Limits, decode
from model_store.errors import (
    AudioError,
    EmptyAudio,
    NonFiniteSamples,
    NoSuchChannel,
    SampleRateOutOfRange,
    TooLong,
    TooManyChannels,
    TooShort,
    Undecodable,
    UnsupportedFormat,
)
from tests.signals import (
    Signal,
    clip,
    constant_flac,
    ffmpeg_clip,
    sweep,
    with_data_size,
    with_flac_total,
    with_mp4_boxes,
)

RATE = 16_000
LIMITLESS = Limits(0, np.inf, 1, 10**9, 255)
needs_amr = pytest.mark.skipif("libopencore_amrnb" not in av.codecs_available, reason="This FFmpeg cannot write AMR.")


def waveform(data: bytes | Path, *, sample_rate: int = RATE, media_type: str | None = None) -> audio.Waveform:
    return decode(data, sample_rate=sample_rate, media_type=media_type).waveforms[0]


def lag_and_snr(decoded: audio.Waveform, original: Signal) -> tuple[int, float]:
    """Samples by which a decoded signal is late, and its ratio of signal to error (dB) with that made good."""
    n = len(decoded) + len(original)
    likeness = np.fft.irfft(np.fft.rfft(decoded, n) * np.conj(np.fft.rfft(original, n)), n)
    lag = (int(np.argmax(likeness)) + n // 2) % n - n // 2
    late, early = decoded[max(lag, 0) :], original[max(-lag, 0) :]
    shared = min(len(late), len(early))
    error = late[:shared] - early[:shared]
    return lag, float(10 * np.log10(np.sum(early[:shared] ** 2) / (np.sum(error**2) + 1e-30)))


# Formats ------------------------------------------------------------------------------------------------------

BY_LIBSNDFILE = [  # container, codec, Hz, the clip's format, least SNR in dB
    ("WAV", "PCM_U8", 8_000, "WAV/PCM_U8", 37),
    ("WAV", "PCM_16", 8_000, "WAV/PCM_16", 85),
    ("WAV", "PCM_24", 44_100, "WAV/PCM_24", 130),
    ("WAV", "PCM_32", 48_000, "WAV/PCM_32", 140),
    ("WAV", "FLOAT", 16_000, "WAV/FLOAT", 140),
    ("WAV", "DOUBLE", 16_000, "WAV/DOUBLE", 140),
    ("WAV", "ULAW", 8_000, "WAV/ULAW", 36),
    ("WAV", "ALAW", 8_000, "WAV/ALAW", 36),
    ("WAV", "GSM610", 8_000, "WAV/GSM610", 15),
    ("WAV", "IMA_ADPCM", 8_000, "WAV/IMA_ADPCM", 20),
    ("WAV", "MS_ADPCM", 8_000, "WAV/MS_ADPCM", 20),
    ("WAVEX", "PCM_16", 16_000, "WAV/PCM_16", 85),
    ("RF64", "PCM_16", 16_000, "WAV/PCM_16", 85),
    ("AU", "ULAW", 8_000, "AU/ULAW", 36),
    ("AIFF", "PCM_16", 16_000, "AIFF/PCM_16", 85),
    ("FLAC", "PCM_16", 16_000, "FLAC/PCM_16", 85),
    ("FLAC", "PCM_24", 48_000, "FLAC/PCM_24", 130),
    ("OGG", "VORBIS", 16_000, "OGG/VORBIS", 25),
    ("OGG", "OPUS", 16_000, "OGG/OPUS", 30),
    ("MP3", "MPEG_LAYER_III", 16_000, "MP3/MP3", 25),
    ("MP3", "MPEG_LAYER_III", 44_100, "MP3/MP3", 25),
]
BY_FFMPEG = [
    ("ipod", "aac", 16_000, "M4A/AAC", 25),
    ("ipod", "aac", 44_100, "M4A/AAC", 20),
    ("ipod", "alac", 16_000, "M4A/ALAC", 85),
    ("webm", "libopus", 48_000, "WEBM/OPUS", 30),
    ("matroska", "flac", 16_000, "WEBM/FLAC", 85),
    ("ogg", "flac", 16_000, "OGG/FLAC", 85),
    ("wav", "g722", 16_000, "WAV/ADPCM_G722", 30),
    pytest.param("amr", "libopencore_amrnb", 8_000, "AMR/AMR_NB", 8, marks=needs_amr),
    pytest.param("3gp", "libopencore_amrnb", 8_000, "M4A/AMR_NB", 8, marks=needs_amr),
]


def is_sweep(decoded: Clip, *, name: str, rate: int, least_snr_db: float) -> None:
    assert (decoded.format, decoded.sample_rate, decoded.channels) == (name, rate, 1)
    assert list(decoded.waveforms) == [0]
    assert decoded.waveforms[0].dtype == np.float32
    assert decoded.duration_seconds == len(decoded.waveforms[0]) / rate
    assert decoded.duration_seconds == pytest.approx(1.0, abs=0.045)  # codecs pad their last frame
    lag, snr_db = lag_and_snr(decoded.waveforms[0], sweep(sample_rate=rate))
    assert abs(lag) / rate < 0.006
    assert snr_db > least_snr_db


@pytest.mark.parametrize(("container", "codec", "rate", "name", "least_snr_db"), BY_LIBSNDFILE)
def test_a_sweep_comes_back(container: str, codec: str, rate: int, name: str, least_snr_db: float) -> None:
    data = clip(sweep(sample_rate=rate), sample_rate=rate, container=container, codec=codec)
    is_sweep(decode(data, sample_rate=rate), name=name, rate=rate, least_snr_db=least_snr_db)


@pytest.mark.parametrize(("container", "codec", "rate", "name", "least_snr_db"), BY_FFMPEG)
def test_a_sweep_comes_back_by_ffmpeg(container: str, codec: str, rate: int, name: str, least_snr_db: float) -> None:
    data = ffmpeg_clip(sweep(sample_rate=rate), sample_rate=rate, container=container, codec=codec)
    is_sweep(decode(data, sample_rate=rate), name=name, rate=rate, least_snr_db=least_snr_db)


@pytest.mark.parametrize("codec", ["VORBIS", "OPUS"])
def test_an_ogg_of_several_clips_is_refused_not_scored_in_part(codec: str) -> None:
    one = clip(sweep(sample_rate=RATE), sample_rate=RATE, container="OGG", codec=codec)
    assert decode(one, sample_rate=RATE).duration_seconds == 1.0
    with pytest.raises(UnsupportedFormat, match="several"):
        decode(one + one, sample_rate=RATE)


def test_joined_clips_are_refused_not_scored_in_part() -> None:
    signal = sweep(sample_rate=RATE)
    clips = [clip(signal, sample_rate=RATE, container=container) for container in ("WAV", "RF64", "FLAC", "AU")]
    clips += [ffmpeg_clip(signal, sample_rate=RATE, container="ipod", codec=codec) for codec in ("aac", "alac")]
    for one in clips:
        assert decode(one, sample_rate=RATE).duration_seconds == pytest.approx(1.0, abs=0.03)
        with pytest.raises(UnsupportedFormat, match="is one clip. Received: several, one after the other"):
            decode(one + one, sample_rate=RATE)


def wav_chunk(name: bytes, content: bytes, *, size: int | None = None, order: Literal["<", ">"] = "<") -> bytes:
    return name + struct.pack(order + "I", len(content) if size is None else size) + content + bytes(len(content) % 2)


def wav_of(*chunks: bytes, magic: bytes = b"RIFF", size: int | None = None) -> bytes:
    return wav_chunk(magic, b"WAVE" + b"".join(chunks), size=size, order=">" if magic == b"RIFX" else "<")


FMT_CONTENT = struct.pack("<HHIIHH", 1, 1, RATE, 2 * RATE, 2, 16)
FMT, HALF = wav_chunk(b"fmt ", FMT_CONTENT), wav_chunk(b"data", bytes(RATE))
BIG_FMT = wav_chunk(b"fmt ", struct.pack(">HHIIHH", 1, 1, RATE, 2 * RATE, 2, 16), order=">")
BIG_HALF = wav_chunk(b"data", bytes(RATE), order=">")
OPEN_HALF = wav_chunk(b"data", bytes(RATE), size=2**32 - 1)
DS64 = wav_chunk(b"ds64", struct.pack("<QQQI", 2 * RATE, RATE, RATE // 2, 0))


@pytest.mark.parametrize(
    ("data", "received"),
    [
        (wav_of(FMT, HALF, HALF), "1 and 2"),
        (b"ID3\x04\0\0\0\0\0\x03tag" + wav_of(FMT, HALF, HALF), "1 and 2"),
        (wav_of(FMT, HALF, wav_chunk(b"JUNK", b"odd"), HALF), "1 and 2"),
        (wav_of(FMT, HALF, FMT, HALF), "2 and 2"),
        (wav_of(FMT, FMT, HALF), "2 and 1"),
        (wav_of(BIG_FMT, BIG_HALF, BIG_HALF, magic=b"RIFX"), "1 and 2"),
        (wav_of(DS64, FMT, OPEN_HALF, OPEN_HALF, magic=b"RF64", size=2**32 - 1), "1 and 2"),
    ],
)
def test_a_wav_has_one_fmt_chunk_and_one_data_chunk(data: bytes, received: str) -> None:
    with pytest.raises(UnsupportedFormat, match=f"one fmt chunk and one data chunk. Received: {received}"):
        decode(data, sample_rate=RATE)


@pytest.mark.parametrize(
    "data",
    [
        wav_of(wav_chunk(b"JUNK", b""), FMT, HALF),
        wav_of(HALF, FMT),
        wav_of(FMT, HALF) + bytes(10_000),
        wav_of(BIG_FMT, BIG_HALF, magic=b"RIFX"),
        wav_of(DS64, FMT, OPEN_HALF, magic=b"RF64", size=2**32 - 1),
        wav_of(FMT, wav_chunk(b"data", HALF + HALF[:-16], size=0), size=0)[: 44 + RATE],
        wav_of(FMT, wav_chunk(b"data", b"RIFF" + HALF[4:], size=2**32 - 1), size=2**32 - 1)[: 44 + RATE],
    ],
)
def test_an_unusual_wav_is_heard_whole(data: bytes) -> None:
    assert decode(data, sample_rate=RATE).duration_seconds == pytest.approx(0.5, abs=0.001)


def test_a_wav_of_too_many_chunks_is_given_up() -> None:
    beside = decoders.MOST_WAV_CHUNKS - 2  # fmt and data
    assert decode(wav_of(FMT, wav_chunk(b"JUNK", b"") * beside, HALF), sample_rate=RATE).duration_seconds == 0.5
    with pytest.raises(UnsupportedFormat, match="at most 1,000 chunks"):
        decode(wav_of(FMT, wav_chunk(b"JUNK", b"") * (beside + 1), HALF), sample_rate=RATE)


def test_adts_comes_back_with_the_encoder_delay_that_it_cannot_tell() -> None:
    data = ffmpeg_clip(sweep(sample_rate=RATE), sample_rate=RATE, container="adts", codec="aac")
    decoded = decode(data, sample_rate=RATE)
    assert decoded.format == "ADTS/AAC"
    lag, snr_db = lag_and_snr(decoded.waveforms[0], sweep(sample_rate=RATE))
    assert lag == 1024
    assert snr_db > 25


@needs_amr
def test_amr_keeps_the_pauses_that_are_sent_as_comfort_noise(monkeypatch: pytest.MonkeyPatch) -> None:
    tone = 0.3 * sweep(sample_rate=8_000)
    signal = np.concatenate([tone, 5e-4 * np.random.default_rng(0).standard_normal(32_000), tone])
    codec = "libopencore_amrnb"
    sent = ffmpeg_clip(signal, sample_rate=8_000, container="amr", codec=codec, options={"dtx": "1"})
    assert decode(sent, sample_rate=RATE).duration_seconds == pytest.approx(6.0, abs=0.03)
    monkeypatch.setattr(decoders, "AMR_DECODERS", {})
    assert decode(sent, sample_rate=RATE).duration_seconds < 4


def test_wideband_amr() -> None:
    if "libopencore_amrwb" not in av.codecs_available:
        pytest.skip("This FFmpeg cannot read wideband AMR.")
    decoded = decode(b"#!AMR-WB\n" + b"\x7c" * 50, sample_rate=RATE)  # nothing here writes it: frames of no data
    assert (decoded.format, decoded.sample_rate, decoded.duration_seconds) == ("AMR/AMR_WB", RATE, 1.0)


def test_eight_real_flacs_that_libsndfile_cannot_read(shared_data: Callable[[str], Path]) -> None:
    paths = sorted(shared_data("flac_hard").glob("*.flac"))
    assert len(paths) == 8
    for path in paths:
        total_samples = int.from_bytes(path.read_bytes()[18:26]) & (2**36 - 1)
        assert len(waveform(path)) == total_samples
        with pytest.raises(soundfile.LibsndfileError):
            soundfile.read(path)


def test_the_first_bytes_decide_not_the_name_nor_the_media_type(tmp_path: Path) -> None:
    data = clip(sweep(sample_rate=RATE), sample_rate=RATE, container="FLAC")
    path = tmp_path / "clip.mp3"
    path.write_bytes(data)
    assert decode(path, sample_rate=RATE).format == "FLAC/PCM_16"
    assert decode(data, sample_rate=RATE, media_type="audio/mpeg").format == "FLAC/PCM_16"
    np.testing.assert_array_equal(waveform(path), waveform(data))


@pytest.mark.parametrize("tags", [1, 3])
def test_id3_tags_are_skipped(tags: int) -> None:
    data = clip(sweep(sample_rate=RATE), sample_rate=RATE, container="MP3", codec="MPEG_LAYER_III")
    tag = b"ID3\x04\x00\x00" + bytes([0, 0, 2, 3]) + bytes(2 * 128 + 3)
    np.testing.assert_array_equal(waveform(tag * tags + data), waveform(data))


def test_a_clip_of_nothing_but_id3_tags_is_given_up() -> None:
    begun = time.process_time()
    with pytest.raises(Undecodable):
        decode((b"ID3\x04" + bytes(6)) * 6_000_000, sample_rate=RATE)
    assert time.process_time() - begun < 0.5


@pytest.mark.parametrize(("container", "codec"), [("FLAC", "PCM_16"), ("WAV", "PCM_16"), ("AIFF", "PCM_16")])
def test_id3_tags_before_another_format_do_not_hide_it(container: str, codec: str) -> None:
    data = clip(sweep(sample_rate=RATE), sample_rate=RATE, container=container, codec=codec)
    tag = b"ID3\x04\x00\x00" + bytes([0, 0, 2, 3]) + bytes(2 * 128 + 3)
    decoded = decode(tag + data, sample_rate=RATE)
    assert decoded.format == f"{container}/{codec}"
    np.testing.assert_array_equal(decoded.waveforms[0], waveform(data))


def test_id3_tags_before_adts_as_segments_of_streams_have_them() -> None:
    data = ffmpeg_clip(sweep(sample_rate=RATE), sample_rate=RATE, container="adts", codec="aac")
    tag = b"ID3\x04\x00\x00" + bytes([0, 0, 0, 63]) + bytes(63)
    decoded = decode(tag + data, sample_rate=RATE)
    assert decoded.format == "ADTS/AAC"
    np.testing.assert_array_equal(decoded.waveforms[0], waveform(data))


def test_without_pyav_its_formats_say_so_and_the_others_work(monkeypatch: pytest.MonkeyPatch) -> None:
    signal = sweep(sample_rate=RATE)
    m4a = ffmpeg_clip(signal, sample_rate=RATE, container="ipod", codec="aac")
    monkeypatch.setitem(sys.modules, "av", None)
    decoders._load_av.cache_clear()
    with pytest.raises(UnsupportedFormat, match="needs PyAV"):
        decode(m4a, sample_rate=RATE)
    assert len(waveform(clip(signal, sample_rate=RATE))) == RATE
    flac = clip(signal, sample_rate=RATE, container="FLAC")
    with pytest.raises(Undecodable):  # the verdict of the decoder that is there
        decode(flac[: len(flac) // 2], sample_rate=RATE)


def test_decoding_wav_imports_no_pyav() -> None:
    script = (
        "import sys; from model_store.audio import decode; "
        "decode(sys.stdin.buffer.read(), sample_rate=8000); print('av' in sys.modules)"
    )
    wav = clip(sweep(sample_rate=RATE), sample_rate=RATE)
    done = subprocess.run([sys.executable, "-c", script], input=wav, capture_output=True, check=True, timeout=60)
    assert done.stdout.strip() == b"False"


# Headerless audio ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("law", "known"),
    [  # from ITU-T G.711 tables 2a and 1a, brought to 16 bits
        ("ULAW", {0x80: 32124, 0x00: -32124, 0xFF: 0, 0x7F: 0, 0xFE: 8, 0x8F: 16764, 0xEF: 132}),
        ("ALAW", {0xAA: 32256, 0x2A: -32256, 0xD5: 8, 0x55: -8, 0xD4: 24, 0xC5: 264}),
    ],
)
def test_g711_equals_the_standard_and_libsndfile(law: str, known: dict[int, int]) -> None:
    table = decoders._g711(law)
    assert {code: table[code] * 2**15 for code in known} == known
    codes = bytes(range(256)) * 20
    wav = clip(np.zeros(len(codes)), sample_rate=8_000, codec=law)
    wav = wav[: wav.index(b"data") + 8] + codes
    np.testing.assert_array_equal(soundfile.read(io.BytesIO(wav), dtype="float32")[0][:256], table)


@pytest.mark.parametrize(
    ("media_type", "codec", "rate"),
    [
        ("audio/basic", "ULAW", 8_000),
        ("AUDIO/Basic", "ULAW", 8_000),
        ("audio/x-mulaw;rate=8000", "ULAW", 8_000),
        ('audio/x-mulaw; Rate="16000"; x=y', "ULAW", 16_000),
        ("audio/PCMU", "ULAW", 8_000),
        ("audio/PCMA; rate=8000", "ALAW", 8_000),
        ("audio/x-alaw", "ALAW", 8_000),
        ("audio/L16;rate=8000", "PCM_16", 8_000),
        ("audio/l16 ; channels=1 ; rate=44100", "PCM_16", 44_100),
    ],
)
def test_headerless_audio_equals_the_same_in_wav(media_type: str, codec: str, rate: int) -> None:
    wav = clip(sweep(sample_rate=rate), sample_rate=rate, codec=codec)
    samples = wav[wav.index(b"data") + 8 :][: rate * (2 if codec == "PCM_16" else 1)]
    if codec == "PCM_16":
        samples = np.frombuffer(samples, "<i2").astype(">i2").tobytes()
    decoded = decode(samples, sample_rate=rate, media_type=media_type)
    assert (decoded.format, decoded.sample_rate, decoded.channels) == (f"RAW/{codec}", rate, 1)
    np.testing.assert_array_equal(decoded.waveforms[0], waveform(wav, sample_rate=rate))


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize(("codec", "media_type"), [("PCM_16", "audio/L16;rate=8000"), ("ULAW", "Audio/PCMU ; x=1")])
def test_plain_samples_are_counted_undecoded(codec: str, media_type: str, channels: int) -> None:
    data = clip(np.zeros((4_000, channels)), sample_rate=8_000, codec=codec)
    assert decoders.plain_samples(data, media_type) == 4_000 * channels
    headerless = data[-4_000 * channels :]
    assert decoders.plain_samples(headerless, media_type) == len(headerless)
    assert decoders.plain_samples(headerless, "audio/wav") is None


@pytest.mark.parametrize("media_type", [None, "audio/wav", "audio/basic"])
@pytest.mark.parametrize(("container", "codec"), [("WAV", "GSM610"), ("WAV", "FLOAT"), ("FLAC", "PCM_16")])
def test_samples_that_do_not_lie_plain_are_not_counted(container: str, codec: str, media_type: str | None) -> None:
    data = clip(np.zeros(4_000), sample_rate=8_000, container=container, codec=codec)
    assert decoders.plain_samples(data, media_type) is None


def test_headerless_stereo_is_interleaved() -> None:
    samples = np.tile(np.array([16384, -8192], ">i2"), 8_000).tobytes()
    decoded = decode(samples, sample_rate=8_000, media_type="audio/L16;rate=8000;channels=2")
    assert {which: set(found) for which, found in decoded.waveforms.items()} == {0: {0.5}, 1: {-0.25}}


@pytest.mark.parametrize("container", ["WAV", "FLAC"])
def test_a_full_header_wins_over_a_declared_headerless_type(container: str) -> None:
    data = clip(sweep(sample_rate=RATE), sample_rate=RATE, container=container)
    assert decode(data, sample_rate=RATE, media_type="audio/basic").format == f"{container}/PCM_16"


@pytest.mark.parametrize("start", [b"OggS", b"fLaC", b"RIFF", b"ID3", b"\xff\xfb"])
def test_a_declared_headerless_type_wins_over_a_chance_signature(start: bytes) -> None:
    assert decode(start + bytes(8_000), sample_rate=8_000, media_type="audio/basic").format == "RAW/ULAW"


@pytest.mark.parametrize(
    ("media_type", "error"),
    [
        ("audio/L16", UnsupportedFormat),  # RFC 4856: its rate is required
        ("audio/L16;rate=x", UnsupportedFormat),
        ("audio/L16;rate=-8000", UnsupportedFormat),
        ("audio/L16;rate=" + "9" * 150, UnsupportedFormat),
        ("audio/basic" + ";" * 200, UnsupportedFormat),
        ("audio/basic; rate*=8000; rate*0=1", UnsupportedFormat),
        ("audio/basic; name*=x; name*0=y", UnsupportedFormat),
        ("audio/L16;rate=8000;channels=0", UnsupportedFormat),
        ("audio/x-mulaw;rate=1", SampleRateOutOfRange),
        ("audio/L16;rate=999999999", SampleRateOutOfRange),
        ("audio/L16;rate=8000;channels=3", TooManyChannels),
        ("audio/L16;rate=8000;channels=2", Undecodable),  # 8,010 bytes are no whole frames
        ("audio/G722", UnsupportedFormat),
        ("", UnsupportedFormat),
        (None, UnsupportedFormat),
    ],
)
def test_headerless_audio_refused(media_type: str | None, error: type[AudioError]) -> None:
    with pytest.raises(error, match="Received: "):
        decode(bytes(8_010), sample_rate=8_000, media_type=media_type)


# Channels and rates -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("container", ["WAV", "FLAC"])
def test_anti_phase_stereo_is_never_silent(container: str) -> None:
    left = sweep(sample_rate=8_000)
    stereo = clip(np.stack([left, -left], axis=1), sample_rate=8_000, container=container)
    mono = waveform(clip(left, sample_rate=8_000, container=container))
    decoded = decode(stereo, sample_rate=RATE)
    assert decoded.channels == 2
    np.testing.assert_array_equal(decoded.waveforms[0], mono)
    np.testing.assert_allclose(decoded.waveforms[1], -mono, atol=1e-4)
    for which in (0, 1):
        alone = decode(stereo, sample_rate=RATE, channel=which)
        assert list(alone.waveforms) == [which]
        assert alone.channels == 2
        np.testing.assert_array_equal(alone.waveforms[which], decoded.waveforms[which])


@pytest.mark.parametrize("channel", [1, 2, -1])
def test_a_channel_that_is_not_there(channel: int) -> None:
    with pytest.raises(NoSuchChannel, match=f"Received: {channel}"):
        decode(clip(sweep(sample_rate=RATE), sample_rate=RATE), sample_rate=RATE, channel=channel)


@pytest.mark.parametrize("rate", [8_000, 11_025, 44_100, 48_000, 192_000])
def test_resampling_keeps_the_signal(rate: int) -> None:
    data = clip(sweep(sample_rate=rate), sample_rate=rate, codec="FLOAT")
    resampled, direct = waveform(data), sweep(sample_rate=RATE)
    assert resampled.shape == direct.shape
    middle = slice(RATE // 20, -RATE // 20)
    np.testing.assert_allclose(resampled[middle], direct[middle], atol=1e-4)
    whole = np.asarray(soundfile.read(io.BytesIO(data), dtype="float32")[0])
    np.testing.assert_array_equal(resampled, soxr.resample(whole, rate, RATE))


@pytest.mark.parametrize("container", ["WAV", "FLAC", "OGG", "MP3"])
@pytest.mark.parametrize("rate", [8_000, RATE])
def test_blocks_leave_no_seams(monkeypatch: pytest.MonkeyPatch, container: str, rate: int) -> None:
    codec = {"OGG": "VORBIS", "MP3": "MPEG_LAYER_III"}.get(container, "PCM_16")
    data = clip(sweep(sample_rate=rate), sample_rate=rate, container=container, codec=codec)
    monkeypatch.setattr(decoders, "BLOCK_FRAMES", 10**6)
    whole = waveform(data)
    monkeypatch.setattr(decoders, "BLOCK_FRAMES", 1_000)
    np.testing.assert_array_equal(waveform(data), whole)


# Limits: each bites, and what it bites passes without it ------------------------------------------------------


def refused(data: bytes, error: type[AudioError], **without: float) -> None:
    """By the limits, and by no other rule than those that ``without`` lifts."""
    with pytest.raises(error, match=r"\. Received: "):
        decode(data, sample_rate=RATE)
    assert decode(data, sample_rate=RATE, limits=Limits(**without)).waveforms  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("seconds", "rate", "error", "without"),
    [
        (0.249, 8_000, TooShort, {"min_seconds": 0.2}),
        (600.01, 8_000, TooLong, {"max_seconds": 601}),
        (1.0, 7_999, SampleRateOutOfRange, {"min_sample_rate": 7_999}),
        (1.0, 192_001, SampleRateOutOfRange, {"max_sample_rate": 192_001}),
    ],
)
def test_limits(seconds: float, rate: int, error: type[AudioError], without: dict[str, float]) -> None:
    refused(clip(np.zeros(round(seconds * rate)), sample_rate=rate, codec="ULAW"), error, **without)


def test_a_clip_that_almost_fits_is_told_by_its_samples() -> None:
    with pytest.raises(TooShort, match=r"0\.25 s at least\. Received: 1,999 samples at 8,000 Hz\.$"):
        decode(clip(np.zeros(1_999), sample_rate=8_000), sample_rate=8_000)
    flac = clip(np.zeros(4_800_001), sample_rate=8_000, container="FLAC")
    with pytest.raises(TooLong, match=r"600 s at most\. Received: .* 4,800,001 samples at 8,000 Hz\.$"):
        decode(flac, sample_rate=8_000)


@pytest.mark.parametrize(("seconds", "rate"), [(0.25, 8_000), (600.0, 8_000), (0.25, 192_000)])
def test_limits_allow_both_ends(seconds: float, rate: int) -> None:
    data = clip(np.zeros(round(seconds * rate)), sample_rate=rate, codec="ULAW")
    assert decode(data, sample_rate=8_000).duration_seconds == seconds


def test_too_many_channels() -> None:
    refused(clip(np.zeros((RATE, 3)), sample_rate=RATE), TooManyChannels, max_channels=3)


def test_a_wav_of_one_hertz_is_not_resampled() -> None:
    wav = clip(np.zeros(15_000), sample_rate=RATE)
    with pytest.raises(SampleRateOutOfRange, match="Received: 1 Hz"):
        decode(wav[:24] + struct.pack("<I", 1) + wav[28:], sample_rate=RATE)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e300, 3e38, 5e9])
@pytest.mark.parametrize("rate", [8_000, RATE])
def test_samples_that_no_model_could_score(monkeypatch: pytest.MonkeyPatch, value: float, rate: int) -> None:
    signal = sweep(sample_rate=rate)
    signal[rate // 2] = value
    data = clip(signal, sample_rate=rate, codec="DOUBLE")
    with pytest.raises(NonFiniteSamples, match="Received: "):
        decode(data, sample_rate=RATE)
    if not np.isnan(value):  # which no bound would pass
        monkeypatch.setattr(audio, "LOUDEST_SAMPLE", np.inf)
        assert not np.abs(waveform(data)).max() <= 2**31


def test_floats_beyond_full_scale_are_kept() -> None:
    signal = np.array([2.5, -32768.0] * 8_000)
    np.testing.assert_array_equal(waveform(clip(signal, sample_rate=RATE, codec="FLOAT")), signal)


@pytest.mark.parametrize("container", ["WAV", "OGG", "AU", "AIFF"])
def test_no_samples(container: str) -> None:
    codec = "VORBIS" if container == "OGG" else "PCM_16"
    with pytest.raises(EmptyAudio, match="Received: 0 samples"):
        decode(clip(np.zeros(0), sample_rate=RATE, container=container, codec=codec), sample_rate=RATE)


def test_no_bytes(tmp_path: Path) -> None:
    (tmp_path / "empty.wav").touch()
    for source in (b"", tmp_path / "empty.wav"):
        with pytest.raises(EmptyAudio, match="Received: 0 bytes"):
            decode(source, sample_rate=RATE)


def test_a_file_larger_than_any_clip_within_the_limits_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "large.wav"
    with path.open("wb") as file:
        file.truncate(2**40)  # sparse
    with pytest.raises(TooLong, match="1,099,511,627,776 bytes"):
        decode(path, sample_rate=RATE)


# Headers that lie ---------------------------------------------------------------------------------------------


def test_constant_flac_of_eight_channels_is_refused_at_once() -> None:
    data = constant_flac(seconds=600, sample_rate=RATE, channels=8)
    assert len(data) < 10_000
    started, grown = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(TooManyChannels, match="Received: 8"):
        decode(data, sample_rate=RATE)
    assert time.perf_counter() - started < 1
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - grown < 50 * 1024  # KiB
    eight = constant_flac(seconds=4, sample_rate=RATE, channels=8)
    assert len(decode(eight, sample_rate=RATE, limits=LIMITLESS).waveforms) == 8


@pytest.mark.parametrize("claimed", [0, 2**36 - 1, RATE * 601])
def test_flac_that_claims_another_length(claimed: int) -> None:
    data = with_flac_total(clip(sweep(sample_rate=RATE), sample_rate=RATE, container="FLAC"), claimed)
    if claimed:
        with pytest.raises(TooLong, match="header that claims"):
            decode(data, sample_rate=RATE)
    assert len(decode(data, sample_rate=RATE, limits=LIMITLESS).waveforms[0]) == RATE


def test_flac_of_untold_length_is_decoded_no_further_than_the_limit() -> None:
    data = constant_flac(seconds=700, sample_rate=8_000, channels=1, total_samples=0)
    refused(data, TooLong, max_seconds=800)
    with pytest.raises(TooLong, match="Received: more"):
        decode(data, sample_rate=RATE)


def test_hours_of_silence_in_ogg_are_refused_unread() -> None:
    data = clip(np.zeros(8_000 * 1_200), sample_rate=8_000, container="OGG", codec="VORBIS")
    assert len(data) < 100_000
    with pytest.raises(TooLong, match="header that claims"):
        decode(data, sample_rate=8_000)
    lifted = decode(data, sample_rate=8_000, limits=Limits(max_seconds=1_200))
    assert lifted.duration_seconds == 1_200


@needs_amr
def test_amr_whose_header_tells_no_length_is_decoded_no_further_than_the_limit() -> None:
    data = b"#!AMR\n" + b"\x7c" * 50 * 11  # frames of no data, 20 ms each
    with pytest.raises(TooLong, match="Received: more"):
        decode(data, sample_rate=RATE, limits=Limits(max_seconds=10))
    assert decode(data, sample_rate=RATE).duration_seconds == pytest.approx(11)


@pytest.mark.parametrize("size", [0, 0xFFFFFFFF, 0x7FFFFFFF, RATE * 4])
@pytest.mark.parametrize("codec", ["PCM_16", "FLOAT", "ULAW"])
def test_wav_written_to_a_pipe_is_decoded_to_its_end(size: int, codec: str) -> None:
    data = clip(sweep(sample_rate=RATE), sample_rate=RATE, codec=codec)
    np.testing.assert_array_equal(waveform(with_data_size(data, size)), waveform(data))


@pytest.mark.parametrize(
    ("container", "codec"),
    [("WAV", "PCM_16"), ("WAV", "ULAW"), ("AU", "PCM_16"), ("FLAC", "PCM_16"), ("OGG", "VORBIS")],
)
def test_a_clip_cut_short_is_decoded_as_far_as_it_goes(container: str, codec: str) -> None:
    noise = 0.1 * np.random.default_rng(0).standard_normal(4 * RATE)
    data = clip(noise, sample_rate=RATE, container=container, codec=codec)
    whole, half = waveform(data), waveform(data[: len(data) // 2])
    assert RATE / 2 < len(half) < 2.1 * RATE
    if container == "OGG":  # another decoder reads the pages that are left, where libsndfile reads none
        np.testing.assert_allclose(half, whole[: len(half)], atol=1e-4)
    else:
        np.testing.assert_array_equal(half, whole[: len(half)])


@pytest.fixture
def largest_allocation() -> Iterator[Callable[[int], None]]:
    """Sets what FFmpeg may allocate at once, and puts the limit back."""
    libraries = ctypes.CDLL(decoders._load_av()._core.__file__)
    yield lambda size: libraries.av_max_alloc(ctypes.c_size_t(size))
    libraries.av_max_alloc(ctypes.c_size_t(decoders.FFMPEG_LARGEST_ALLOCATION))


def test_mp4_cannot_claim_memory_for_packets_that_it_has_not(largest_allocation: Callable[[int], None]) -> None:
    packets = 1_000_000  # 24 bytes each in FFmpeg's index; 80,000,000 cost it 5 GB and 12 s
    sizes, chunks = struct.pack(">III", 0, 1, packets), struct.pack(">IIIII", 0, 1, 1, packets, 1)
    times = struct.pack(">IIII", 0, 1, packets, 1024)
    data = ffmpeg_clip(sweep(sample_rate=RATE), sample_rate=RATE, container="ipod", codec="aac")
    data = with_mp4_boxes(data, {b"edts": b"", b"stsz": sizes, b"stsc": chunks, b"stts": times})
    assert len(data) < 20_000
    with pytest.raises(Undecodable):
        decode(data, sample_rate=RATE)
    with av.open(io.BytesIO(data), format="mov") as container:
        assert len(container.streams.audio[0].index_entries) < packets
    largest_allocation(2**30)
    with av.open(io.BytesIO(data), format="mov") as container:
        assert len(container.streams.audio[0].index_entries) >= packets


def test_mp4_packets_cannot_add_up_to_more_than_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    data = ffmpeg_clip(sweep(sample_rate=RATE), sample_rate=RATE, container="ipod", codec="aac")
    at, packets = data.index(b"mdat") + 4, 100  # each of them most of the file
    replaced = {
        b"edts": b"",
        b"stsz": struct.pack(">III", 0, 10_000, packets),
        b"stsc": struct.pack(">IIIII", 0, 1, 1, 1, 1),
        b"stts": struct.pack(">IIII", 0, 1, packets, 1024),
        b"stco": struct.pack(">II", 0, packets) + struct.pack(">I", at) * packets,
    }
    data = with_mp4_boxes(data, replaced)
    assert decode(data, sample_rate=RATE).duration_seconds < 2
    bounded = decoders._ffmpeg_frames
    monkeypatch.setattr(
        decoders, "_ffmpeg_frames", lambda *given, most_bytes: bounded(*given, most_bytes=1000 * most_bytes)
    )
    assert decode(data, sample_rate=RATE).duration_seconds > 60


def test_packets_without_a_sample_are_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    endless, barren = itertools.repeat(SimpleNamespace(size=0)), SimpleNamespace(decode=Mock(return_value=[]))
    for most in (100, 1_000):
        monkeypatch.setattr(decoders, "FFMPEG_BARREN_PACKETS", most)
        barren.decode.reset_mock()
        assert list(decoders._ffmpeg_frames(endless, barren, most_bytes=1)) == []  # type: ignore[arg-type]
        assert barren.decode.call_count == most + 1


def test_no_codec_but_those_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    data = ffmpeg_clip(sweep(sample_rate=48_000), sample_rate=48_000, container="matroska", codec="ac3")
    with pytest.raises(UnsupportedFormat, match="codec"):
        decode(data, sample_rate=RATE)
    monkeypatch.setattr(decoders, "FFMPEG_CODECS", "ac3")
    assert decode(data, sample_rate=RATE).format == "WEBM/AC3"


def test_no_demuxer_but_the_one_of_the_first_bytes() -> None:
    caf = clip(np.zeros(RATE), sample_rate=RATE, container="CAF")
    with pytest.raises(Undecodable):
        decode(b"ID3\x03" + bytes(6) + caf, sample_rate=RATE)  # as MP3, and whatever follows the tag


def test_a_clip_keeps_its_sample_rate() -> None:
    low, high = (
        ffmpeg_clip(sweep(sample_rate=rate), sample_rate=rate, container="adts", codec="aac") for rate in (8_000, RATE)
    )
    for changing in (low + high, high + low):
        with pytest.raises(Undecodable, match="throughout. Received: a change"):
            decode(changing, sample_rate=RATE)


# What never gets out ------------------------------------------------------------------------------------------


def test_nothing_is_written_to_stderr(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    ignored: list[object] = []  # exceptions in callbacks, which Python prints
    monkeypatch.setattr(sys, "unraisablehook", ignored.append)
    signal = sweep(sample_rate=RATE)
    mp3 = clip(signal, sample_rate=RATE, container="MP3", codec="MPEG_LAYER_III")
    mp3 = mp3[:1_000] + bytes(range(100)) + mp3[1_100:]
    aiff = clip(signal, sample_rate=RATE, container="AIFF")[:44]
    m4a = ffmpeg_clip(signal, sample_rate=RATE, container="ipod", codec="aac")
    capfd.readouterr()
    for data in (mp3, aiff, m4a[:-10], m4a[:500] + bytes(100) + m4a[600:]):
        with suppress(AudioError):
            decode(data, sample_rate=RATE)
    assert capfd.readouterr() == ("", "")
    assert not ignored
    for data in (mp3, aiff):  # what libsndfile does by itself
        with suppress(soundfile.SoundFileError):
            soundfile.read(io.BytesIO(data))
    assert "Illegal Audio-MPEG-Header" in capfd.readouterr().err
    assert ignored


WORDS = re.compile(r"[A-Z][^\n]*\. Received: [^\n]*\.")


CPU_SECONDS, GROWTH_KIB = 2.0, 100 * 1024  # of anything up to 5 s long, damaged or not


def decodes_or_refuses(data: bytes, media_type: str | None = None) -> None:
    """The one promise for all bytes: finite waveforms, or an error of ours with no word of a library; and soon."""
    begun, held = time.thread_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try:
        _decodes_or_refuses(data, media_type)
    finally:
        assert time.thread_time() - begun < CPU_SECONDS
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - held < GROWTH_KIB


def _decodes_or_refuses(data: bytes, media_type: str | None) -> None:
    try:
        decoded = decode(data, sample_rate=RATE, media_type=media_type, limits=Limits(max_seconds=5))
    except AudioError as refusal:
        message = str(refusal)
    else:
        assert 0 < decoded.duration_seconds <= 5
        assert all(np.isfinite(found).all() for found in decoded.waveforms.values())
        return
    assert WORDS.fullmatch(message)
    assert "0x" not in message


def test_the_promise_is_not_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(soundfile.LibsndfileError, match="0x"):
        soundfile.read(io.BytesIO(b"RIFF\0\0\0\0WAVEjunk"))
    decodes_or_refuses(b"RIFF\0\0\0\0WAVEjunk")
    monkeypatch.setattr("tests.test_audio.CPU_SECONDS", 0.0)
    with pytest.raises(AssertionError, match="thread_time"):
        decodes_or_refuses(b"RIFF\0\0\0\0WAVEjunk")


PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # the machine may be busy
STARTS = [
    b"",
    b"RIFF\0\0\0\0WAVEfmt ",
    b"fLaC\0\0\0\x22",
    b"OggS\0\2",
    b".snd",
    b"FORM\0\0\0\0AIFF",
    b"ID3",
    b"\xff\xfb",
]
STARTS += [b"\xff\xf1", b"\0\0\0\x18ftypM4A ", b"#!AMR\n", b"#!AMR-WB\n", b"\x1aE\xdf\xa3"]


@settings(PATIENT, max_examples=200)
@given(st.sampled_from(STARTS), st.binary(max_size=400))
def test_any_bytes(start: bytes, rest: bytes) -> None:
    decodes_or_refuses(start + rest)


@settings(PATIENT, max_examples=100)
@given(st.binary(max_size=6_000), st.text() | st.sampled_from(list(decoders.HEADERLESS)).map("{};rate=8000".format))
@example(bytes(8_000), "audio/basic\udc80;rate")
@example(bytes(8_000), "audio/basic\r\nX: y")
def test_any_media_type(data: bytes, media_type: str) -> None:
    decodes_or_refuses(data, media_type)


@pytest.fixture(scope="module")
def valid_clips() -> list[bytes]:
    signal = sweep(sample_rate=8_000, seconds=0.3)
    made = [clip(signal, sample_rate=8_000, container=container, codec=codec) for container, codec, *_ in BY_LIBSNDFILE]
    return made + [
        ffmpeg_clip(signal, sample_rate=8_000, container=container, codec=codec)
        for container, codec in [
            *(("ipod", "aac"), ("ipod", "alac"), ("webm", "libopus"), ("wav", "g722"), ("adts", "aac")),
            *(("matroska", "flac"), ("ogg", "flac")),
        ]
    ]


@settings(PATIENT, max_examples=200)
@given(st.data())
def test_any_damage(valid_clips: list[bytes], data: st.DataObject) -> None:
    damaged = bytearray(data.draw(st.sampled_from(valid_clips), label="clip"))
    for _ in range(data.draw(st.integers(1, 8))):
        nearest_to = data.draw(st.sampled_from([0, len(damaged) - 1_000]))  # headers, and MP4's at the end
        at = max(0, nearest_to) + data.draw(st.integers(0, 200) | st.integers(0, 1_000))
        width = data.draw(st.sampled_from([1, 2, 4, 8]))
        match data.draw(st.sampled_from(["changed", "changed", "flipped", "removed", "repeated"])):
            case "changed":
                new = data.draw(st.binary(min_size=width, max_size=width) | st.just(b"\xff" * width))
                damaged[at : at + width] = new
            case "flipped":
                damaged[at : at + 1] = bytes(byte ^ 1 << data.draw(st.integers(0, 7)) for byte in damaged[at : at + 1])
            case "removed":
                del damaged[at : at + 10 * width]
            case "repeated":
                damaged[at:at] = damaged[at : at + 10 * width]
    decodes_or_refuses(bytes(damaged[: data.draw(st.integers(0, len(damaged)) | st.just(len(damaged)))]))
