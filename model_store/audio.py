"""A clip, as bytes or a path, becomes float32 waveforms at the rate asked for, or an ``AudioError``.

Serving and training both decode here and nowhere else, so that a model hears the same samples in both. What a
clip is comes from its first bytes, never from a file name; only headerless audio needs its media type. Decoding,
checking and resampling go block by block: memory follows the seconds kept, not what a header claims. A clip cut
short is decoded as far as it goes.
"""

from __future__ import annotations

import ctypes
import io
import itertools
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from email.message import Message
from fractions import Fraction
from functools import cache, partial, reduce
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import soundfile
import soxr

from model_store.errors import (
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

if TYPE_CHECKING:
    from av import AudioFrame, AudioStream
    from av.container import InputContainer

Waveform = npt.NDArray[np.float32]  # (n,), mono, nominally in [-1, 1]
Block = npt.NDArray[np.float32]  # (frames, channels)

BLOCK_FRAMES = 2**13  # decoded at a time: what malloc recycles; buffers over 128 KiB cost page faults each time
LOUDEST_SAMPLE = 2.0**31  # float files may hold unscaled integers; the squares of much more overflow float32
FFMPEG_LARGEST_ALLOCATION = 2**24  # bytes: the packet index of 26 KB of MP4 can claim gigabytes
FFMPEG_BARREN_PACKETS = 100  # in a row without a sample, before the rest is given up
FFMPEG_CODECS = (  # its decoders that may run, of hundreds
    "aac,alac,amrnb,amrwb,flac,mp3float,opus,vorbis,g722,gsm_ms,adpcm_ima_wav,adpcm_ms,"
    "pcm_alaw,pcm_mulaw,pcm_u8,pcm_s16le,pcm_s24le,pcm_s32le,pcm_f32le,pcm_f64le"
)


@dataclass(frozen=True, slots=True)
class Limits:
    """What a clip may be. Seconds, Hz and counts; both ends are allowed."""

    min_seconds: float = 0.25
    max_seconds: float = 600.0
    min_sample_rate: int = 8_000
    max_sample_rate: int = 192_000
    max_channels: int = 2


DEFAULT_LIMITS = Limits()


@dataclass(frozen=True, slots=True)
class Clip:
    """A decoded clip: what was sent, and its waveforms at the rate that was asked for."""

    format: str  # container/codec, such as "WAV/ULAW" or "M4A/AAC"
    sample_rate: int  # Hz, as sent
    channels: int  # as sent
    duration_seconds: float  # of what was decoded
    waveforms: Mapping[int, Waveform]  # by channel


def decode(
    source: bytes | Path,
    *,
    sample_rate: int,
    channel: int | None = None,
    media_type: str | None = None,
    limits: Limits = DEFAULT_LIMITS,
) -> Clip:
    """Decode one clip, each channel by itself: channels are never mixed.

    Parameters
    ----------
    source : bytes or Path
        The clip, or the file that holds it.
    sample_rate : int
        Of the waveforms to return, in Hz. Resampling is soxr's HQ.
    channel : int, optional
        The one channel to decode, counted from 0. By default each that the clip has.
    media_type : str, optional
        Believed for headerless audio: ``audio/basic``, ``audio/PCMU``, ``audio/x-mulaw``, ``audio/PCMA``,
        ``audio/x-alaw``, ``audio/L16`` (RFC 4856), with ``rate`` in Hz and ``channels``. Any other is ignored.
    limits : Limits
        What to refuse: by the header where that tells, and by what is decoded in any case.

    Returns
    -------
    Clip
        Its ``waveforms`` are float32 of shape (n,), finite, and kept where a float file goes beyond [-1, 1].

    Raises
    ------
    AudioError
        The clip cannot be scored; each subclass is one reason.
    OSError
        The file cannot be read.
    """
    data = source if isinstance(source, bytes) else _read(source, limits)
    if not data:
        raise EmptyAudio("A clip must hold audio. Received: 0 bytes.")
    container, (first, *others) = _recognise(data, media_type)

    def collected(decoder: Decoder) -> Clip:
        with decoder(data) as stream:
            return _collect(container, stream, sample_rate=sample_rate, channel=channel, limits=limits)

    try:
        return collected(first)
    except (Undecodable, EmptyAudio):
        for decoder in others:  # may read what the first cannot; if not, the first verdict stands
            with suppress(Undecodable, EmptyAudio, UnsupportedFormat):
                return collected(decoder)
        raise


def _read(path: Path, limits: Limits) -> bytes:
    most_bytes = limits.max_seconds * limits.max_sample_rate * limits.max_channels * 8  # float64
    if (size := path.stat().st_size) > most_bytes + 2**20:
        raise TooLong(f"A clip lasts {limits.max_seconds:g} s at most. Received: {size:,} bytes.")
    return path.read_bytes()


@dataclass(frozen=True, slots=True)
class _Stream:
    """What a decoder knows before it decodes, and the blocks that it will."""

    codec: str
    sample_rate: int
    channels: int
    claimed_frames: int | None  # None where the header does not say
    blocks: Iterator[Block]


Decoder = Callable[[bytes], AbstractContextManager[_Stream]]


def _collect(container: str, stream: _Stream, *, sample_rate: int, channel: int | None, limits: Limits) -> Clip:
    """Check the header, then check, select and resample each block: every limit bites here."""
    rate, channels = stream.sample_rate, stream.channels
    if not 1 <= channels <= limits.max_channels:
        raise TooManyChannels(f"A clip has 1 to {limits.max_channels} channels. Received: {channels}.")
    if not limits.min_sample_rate <= rate <= limits.max_sample_rate:
        lowest, highest = limits.min_sample_rate, limits.max_sample_rate
        raise SampleRateOutOfRange(f"A clip's sample rate is {lowest} to {highest} Hz. Received: {rate} Hz.")
    if channel is not None and not 0 <= channel < channels:
        raise NoSuchChannel(f"The channel asked for must be one of the clip's {channels}, from 0. Received: {channel}.")
    most_frames = limits.max_seconds * rate
    if stream.claimed_frames is not None and stream.claimed_frames > most_frames:
        claimed = f"a header that claims {stream.claimed_frames / rate:,.1f} s"
        raise TooLong(f"A clip lasts {limits.max_seconds:g} s at most. Received: {claimed}.")

    kept = range(channels) if channel is None else range(channel, channel + 1)
    resampler = soxr.ResampleStream(rate, sample_rate, len(kept)) if rate != sample_rate else None
    frames, blocks = 0, [np.empty((0, len(kept)), np.float32)]
    for block in stream.blocks:
        frames += len(block)
        if frames > most_frames:
            raise TooLong(f"A clip lasts {limits.max_seconds:g} s at most. Received: more.")
        selected = np.ascontiguousarray(block[:, kept.start : kept.stop])
        if not (np.abs(selected) <= LOUDEST_SAMPLE).all():  # NaN compares false
            raise NonFiniteSamples("Samples must be finite, and within ±2^31. Received: others.")
        blocks.append(resampler.resample_chunk(selected) if resampler else selected)
    if frames == 0:
        raise EmptyAudio("A clip must hold audio. Received: 0 samples.")
    if frames < limits.min_seconds * rate:
        raise TooShort(f"A clip lasts {limits.min_seconds:g} s at least. Received: {frames / rate:.3f} s.")
    if resampler:
        blocks.append(resampler.resample_chunk(blocks[0], last=True))
    samples = np.concatenate(blocks)
    return Clip(
        format=f"{container}/{stream.codec}",
        sample_rate=rate,
        channels=channels,
        duration_seconds=frames / rate,
        waveforms={which: np.ascontiguousarray(samples[:, i]) for i, which in enumerate(kept)},
    )


# The decoders: bytes to a stream. Their libraries' own words never get out, since those hold heap addresses. ----


def _undecodable(data: bytes) -> Undecodable:
    return Undecodable(f"A clip must be whole enough to decode. Received: {len(data):,} bytes that are not.")


class _File(io.BytesIO):
    """Stays where it is when libsndfile seeks before the start: an exception in a callback goes to stderr."""

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        with suppress(ValueError):
            super().seek(offset, whence)
        return self.tell()


@contextmanager
def _libsndfile(data: bytes) -> Iterator[_Stream]:
    try:
        with soundfile.SoundFile(_File(data)) as file:
            if file.frames == 2**63 - 1:  # a FLAC that leaves its length open: libsndfile fails at its end
                raise _undecodable(data)
            yield _Stream(file.subtype, file.samplerate, file.channels, file.frames, _libsndfile_blocks(file))
    except soundfile.SoundFileError:
        raise _undecodable(data) from None


def _libsndfile_blocks(file: soundfile.SoundFile) -> Iterator[Block]:
    size = min(BLOCK_FRAMES, file.frames)
    while len(block := file.read(out=np.empty((size, file.channels), np.float32))):
        yield block


@cache
def _load_av() -> ModuleType:
    """PyAV, whose import only the clips that need it pay for."""
    try:
        import av  # noqa: PLC0415
    except ImportError:
        raise UnsupportedFormat("This format needs PyAV. Received: an installation without it.") from None
    with suppress(AttributeError, OSError):  # no such symbol in reach: the process's own memory limit is left
        ctypes.CDLL(av._core.__file__).av_max_alloc(ctypes.c_size_t(FFMPEG_LARGEST_ALLOCATION))
    return av


@contextmanager
def _ffmpeg(data: bytes, *, demuxer: str, tells_duration: bool = True) -> Iterator[_Stream]:
    """With the demuxer named, no other (playlists, concatenation, devices) can be reached."""
    av = _load_av()
    options = {"codec_whitelist": FFMPEG_CODECS, "protocol_whitelist": "none"}
    try:
        file = io.BytesIO(data[_id3_bytes(data) :])
        with av.open(file, format=demuxer, options=options, metadata_errors="ignore") as container:
            if not container.streams.audio:
                raise EmptyAudio("A clip must hold audio. Received: no audio track.")
            track = container.streams.audio[0]
            if getattr(track.codec_context, "name", None) not in FFMPEG_CODECS.split(","):
                raise UnsupportedFormat("A clip's codec must be one that is read here. Received: another.")
            frames = _ffmpeg_frames(container, track)
            first = next(frames, None)  # its rate and channels are those of the samples; a header's may differ
            if first is None:
                raise _undecodable(data)
            claimed = _claimed_seconds(container, track) if tells_duration else None
            yield _Stream(
                track.codec_context.codec.canonical_name.upper(),
                first.sample_rate,
                first.layout.nb_channels,
                None if claimed is None else int(claimed * first.sample_rate),
                _ffmpeg_blocks(itertools.chain((first,), frames)),
            )
    except av.FFmpegError:
        raise _undecodable(data) from None


def _id3_bytes(data: bytes) -> int:
    """Length of the ID3v2 tags in front, skipped since FFmpeg inflates compressed ones."""
    length = 0
    while data.startswith(b"ID3", length) and len(data) >= length + 10:
        size = data[length + 6 : length + 10]  # seven bits a byte
        length += 10 + reduce(lambda total, byte: total << 7 | byte & 0x7F, size, 0)
    return length


def _claimed_seconds(container: InputContainer, track: AudioStream) -> Fraction | None:
    if track.duration is not None and track.time_base is not None:
        return track.duration * track.time_base
    return None if container.duration is None else Fraction(container.duration, 1_000_000)


def _ffmpeg_frames(container: InputContainer, track: AudioStream) -> Iterator[AudioFrame]:
    """Decode packet by packet, past damaged ones."""
    from av import FFmpegError  # noqa: PLC0415

    barren = 0
    for packet in container.demux(track):
        try:
            frames = packet.decode()
        except FFmpegError:
            frames = []
        yield from frames
        barren = 0 if frames else barren + 1
        if barren > FFMPEG_BARREN_PACKETS:
            return


def _ffmpeg_blocks(frames: Iterator[AudioFrame]) -> Iterator[Block]:
    """Samples of any format, with full scale brought to ±1."""
    shape = None
    for frame in frames:
        shape = shape or (frame.sample_rate, frame.layout.nb_channels)
        if (frame.sample_rate, frame.layout.nb_channels) != shape:
            raise Undecodable("A clip keeps its sample rate and channels throughout. Received: a change.")
        samples = frame.to_ndarray()
        samples = samples.T if frame.format.is_planar else samples.reshape(-1, frame.layout.nb_channels)
        with np.errstate(over="ignore"):  # what float32 cannot hold becomes Inf, and is refused as such
            block = samples.astype(np.float32)
        if samples.dtype.kind in "iu":
            full_scale = 2.0 ** (8 * samples.itemsize - 1)
            block = block / full_scale - (1 if samples.dtype.kind == "u" else 0)
        yield block


@contextmanager
def _headerless(data: bytes, *, encoding: str, sample_rate: int, channels: int) -> Iterator[_Stream]:
    dtype = np.dtype(">i2" if encoding == "PCM_16" else np.uint8)  # RFC 4856: network byte order
    frame_bytes = dtype.itemsize * channels
    if len(data) % frame_bytes:
        rule = f"Headerless audio is whole frames of {frame_bytes} bytes"
        raise Undecodable(f"{rule}. Received: {len(data):,} bytes.")

    def blocks() -> Iterator[Block]:
        frames = np.frombuffer(data, dtype).reshape(-1, channels)
        for start in range(0, len(frames), BLOCK_FRAMES):
            block = frames[start : start + BLOCK_FRAMES]
            yield (block / 32768).astype(np.float32) if encoding == "PCM_16" else _g711(encoding)[block]

    yield _Stream(encoding, sample_rate, channels, len(data) // frame_bytes, blocks())


@cache
def _g711(law: str) -> Waveform:
    """The 256 output values of ITU-T G.711's decoder, from tables 1a to 2b: sign, 3 bits exponent, 4 of mantissa."""
    code = np.arange(256) ^ (0xFF if law == "ULAW" else 0x55)  # bits are inverted for the line
    exponent, mantissa = code >> 4 & 7, code & 15
    if law == "ULAW":  # 14 bits; the sign bit, inverted as the rest, means negative
        value = np.where(code & 0x80, -1, 1) * (((2 * mantissa + 33) << exponent) - 33) / 8192
    else:  # 13 bits; the lowest segment is linear, and the sign bit means positive
        magnitude = np.where(exponent, (2 * mantissa + 33) << np.maximum(exponent - 1, 0), 2 * mantissa + 1)
        value = np.where(code & 0x80, 1, -1) * magnitude / 4096
    return value.astype(np.float32)


# The formats: a new one is one row. ---------------------------------------------------------------------------

FORMATS: dict[str, tuple[bytes, tuple[Decoder, ...]]] = {  # container -> its first bytes, decoders in order
    "WAV": (rb"RIFF....WAVE|RIFX....WAVE|RF64....WAVE", (_libsndfile, partial(_ffmpeg, demuxer="wav"))),
    "FLAC": (rb"fLaC", (_libsndfile, partial(_ffmpeg, demuxer="flac"))),
    "OGG": (rb"OggS", (_libsndfile, partial(_ffmpeg, demuxer="ogg"))),
    "AU": (rb"\.snd", (_libsndfile,)),
    "AIFF": (rb"FORM....AIF[FC]", (_libsndfile,)),
    "CAF": (rb"caff", (_libsndfile,)),
    # not libsndfile, whose MP3 decoder writes its complaints to stderr
    "MP3": (rb"ID3|\xff[\xe2\xe3\xf2\xf3\xfa\xfb]", (partial(_ffmpeg, demuxer="mp3", tells_duration=False),)),
    "ADTS": (rb"\xff[\xf0\xf1\xf8\xf9]", (partial(_ffmpeg, demuxer="aac", tells_duration=False),)),
    "M4A": (rb"....ftyp", (partial(_ffmpeg, demuxer="mov"),)),
    "AMR": (rb"#!AMR(-WB)?\n", (partial(_ffmpeg, demuxer="amr", tells_duration=False),)),
    "WEBM": (rb"\x1aE\xdf\xa3", (partial(_ffmpeg, demuxer="matroska"),)),
}
HEADERLESS = {  # media type -> encoding
    "audio/basic": "ULAW",
    "audio/pcmu": "ULAW",
    "audio/x-mulaw": "ULAW",
    "audio/pcma": "ALAW",
    "audio/x-alaw": "ALAW",
    "audio/l16": "PCM_16",
}
FULL_HEADER = rb"RIFF....WAVE|fLaC[\x00\x80]\x00\x00\x22"  # too long to be headerless audio by chance


def _recognise(data: bytes, media_type: str | None) -> tuple[str, tuple[Decoder, ...]]:
    """Container and decoders of a clip; a media type counts if it is of headerless audio, which the clip can be."""
    declared = _declared(media_type or "")
    if declared and not re.match(FULL_HEADER, data, re.DOTALL):
        return "RAW", (declared,)
    for container, (signature, decoders) in FORMATS.items():
        if re.match(signature, data, re.DOTALL):
            return container, decoders
    rule = f"A clip is one of {', '.join(FORMATS)}, or headerless with one of {', '.join(HEADERLESS)} declared"
    raise UnsupportedFormat(f"{rule}. Received: {len(data):,} bytes of none.")


def _declared(media_type: str) -> Decoder | None:
    header = Message()
    header["Content-Type"] = media_type
    name = header.get_content_type()
    if name not in HEADERLESS:
        return None
    rate = str(header.get_param("rate", "" if name == "audio/l16" else "8000"))
    channels = str(header.get_param("channels", "1"))
    if not all(re.fullmatch("[1-9][0-9]{0,8}", number) for number in (rate, channels)):
        rule = f"{name} needs its rate, and channels if not 1, as whole numbers"
        raise UnsupportedFormat(f"{rule}. Received: other parameters.")
    return partial(_headerless, encoding=HEADERLESS[name], sample_rate=int(rate), channels=int(channels))
