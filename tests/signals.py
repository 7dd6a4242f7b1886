"""Made signals and clips whose content is known: the clips that tests send.

Signals are float64 of shape (n,) or (n, channels); clips are bytes.
"""

import io
import struct

import av
import numpy as np
import numpy.typing as npt
import soundfile

Signal = npt.NDArray[np.float64]

RATE = 16_000


def sweep(*, sample_rate: int, seconds: float = 1.0, low_hz: float = 200.0, high_hz: float = 1500.0) -> Signal:
    """A sine whose pitch rises: unlike a steady one, it matches itself at one lag only."""
    t = np.arange(round(sample_rate * seconds)) / sample_rate
    return 0.5 * np.sin(2 * np.pi * (low_hz * t + (high_hz - low_hz) / (2 * seconds) * t**2))


def speech(
    *, seconds: float, pitch_hz: float = 120.0, tilt: float = 1.0, seed: int = 0, sample_rate: int = RATE
) -> Signal:
    """What passes for speech: harmonics of a wandering pitch, in syllables, with a breath of noise; (n,), ±0.5.

    The higher the tilt, the darker the voice.
    """
    rng = np.random.default_rng(seed)
    t = np.arange(round(seconds * sample_rate)) / sample_rate
    pitch = pitch_hz * (1 + 0.1 * np.sin(2 * np.pi * (0.7 * t + rng.random())))
    phase = 2 * np.pi * np.cumsum(pitch) / sample_rate
    count = int(min(3_500.0, 0.45 * sample_rate) / (1.2 * pitch_hz))
    buzz = sum(np.cos(k * phase + rng.random()) / k**tilt for k in range(1, count))
    syllables = np.clip(np.sin(2 * np.pi * (3 * t + rng.random())), 0.02, 1)
    signal = buzz * syllables
    return np.asarray(0.5 * signal / np.abs(signal).max() + 1e-4 * rng.standard_normal(t.size))


def clip(signal: npt.ArrayLike, *, sample_rate: int, container: str = "WAV", codec: str = "PCM_16") -> bytes:
    """Written by libsndfile, under its names."""
    samples, buffer = np.asarray(signal), io.BytesIO()
    channels = 1 if samples.ndim == 1 else samples.shape[1]
    with soundfile.SoundFile(buffer, "w", sample_rate, channels, format=container, subtype=codec) as file:
        for start in range(0, len(samples), 2**16):  # libsndfile crashes on minutes of Vorbis at once
            file.write(samples[start : start + 2**16])
    return buffer.getvalue()


def ffmpeg_clip(
    signal: Signal, *, sample_rate: int, container: str, codec: str, options: dict[str, str] | None = None
) -> bytes:
    """Written by FFmpeg, under its names; mono."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=container) as output:
        stream = output.add_stream(codec, rate=sample_rate, layout="mono", options=options or {})
        assert isinstance(stream, av.AudioStream)
        stream.codec_context.open()
        frame = av.AudioFrame.from_ndarray(signal[None].astype(np.float32), format="fltp", layout="mono")
        frame.sample_rate, frame.pts = sample_rate, 0
        resampler = av.AudioResampler(stream.codec_context.format, "mono", sample_rate, stream.codec_context.frame_size)
        for part in [*resampler.resample(frame), *resampler.resample(None), None]:
            output.mux(stream.encode(part))
    return buffer.getvalue()


def constant_flac(
    *, seconds: float, sample_rate: int, channels: int, total_samples: int | None = None, value: int = 0
) -> bytes:
    """One value in frames of 65,535 samples, each in some 20 bytes: FLAC at its most swollen (RFC 9639)."""
    block = 65_535
    count = int(np.ceil(seconds * sample_rate / block))
    total = count * block if total_samples is None else total_samples
    described = sample_rate << 44 | (channels - 1) << 41 | 15 << 36 | total
    info = struct.pack(">HH6x", block, block) + described.to_bytes(8) + bytes(16)
    frames = [b"fLaC\x80\x00\x00\x22" + info]
    for number in range(count):
        header = bytes([0xFF, 0xF8, 0x70, (channels - 1) << 4 | 8]) + _coded(number) + struct.pack(">H", block - 1)
        frame = header + bytes([_crc(header, polynomial=0x07, bits=8)]) + struct.pack(">xh", value) * channels
        frames.append(frame + struct.pack(">H", _crc(frame, polynomial=0x8005, bits=16)))
    return b"".join(frames)


def with_flac_total(data: bytes, total_samples: int) -> bytes:
    """The same FLAC whose header claims another length; 0 says that it is not known."""
    described = int.from_bytes(data[18:26]) >> 36 << 36 | total_samples
    return data[:18] + described.to_bytes(8) + data[26:]


def with_data_size(data: bytes, size: int) -> bytes:
    """The same WAV whose data chunk claims another size."""
    at = data.index(b"data") + 4
    return data[:at] + struct.pack("<I", size) + data[at + 4 :]


def with_mp4_boxes(data: bytes, contents: dict[bytes, bytes]) -> bytes:
    """The same MP4 with the content of the named boxes replaced."""
    parents = {b"moov", b"trak", b"mdia", b"minf", b"stbl"}
    out, start = b"", 0
    while start < len(data):
        size, name = struct.unpack_from(">I4s", data, start)
        content = contents.get(name, data[start + 8 : start + size])
        content = with_mp4_boxes(content, contents) if name in parents else content
        out += struct.pack(">I4s", 8 + len(content), name) + content
        start += size
    return out


def _coded(number: int) -> bytes:
    """FLAC numbers its frames in UTF-8."""
    return chr(number).encode("utf-8", "surrogatepass")


def _crc(data: bytes, *, polynomial: int, bits: int) -> int:
    register, top = 0, 1 << (bits - 1)
    for byte in data:
        register ^= byte << (bits - 8)
        for _ in range(8):
            register = (register << 1 ^ (polynomial if register & top else 0)) & ((1 << bits) - 1)
    return register
