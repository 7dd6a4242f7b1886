"""Bytes -> a stream of samples: what is read here, and by which library.

A format is known by its first bytes, never by a file name; only headerless audio needs its media type. A decoder tells
what the header says before it decodes, and then yields blocks, so that a clip can be refused, or given up, at any
point. libsndfile reads what it can; FFmpeg, through PyAV, which may be absent, reads the rest, and what libsndfile
should read but cannot. Their own words hold heap addresses, and never get out.
"""

from __future__ import annotations

import ctypes
import io
import itertools
import re
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from email.message import Message
from fractions import Fraction
from functools import cache, partial, reduce
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import soundfile

from model_store import plain_wav
from model_store.errors import EmptyAudio, Undecodable, UnsupportedFormat
from model_store.plain_wav import PlainWav

if TYPE_CHECKING:
    from av import AudioCodecContext, AudioFrame, AudioStream, Packet
    from av.container import InputContainer

Waveform = npt.NDArray[np.float32]  # (n,), mono, nominally in [-1, 1]
Block = npt.NDArray[np.float32]  # (frames, channels)

BLOCK_FRAMES = 2**16  # decoded at a time: few enough that memory stays small, and enough for calls to cost little
FFMPEG_LARGEST_ALLOCATION = 2**24  # bytes: else the packet index of 26 KB of MP4 grows to gigabytes
MOST_WAV_CHUNKS = 1_000  # a clip has a handful: looking past three million empty ones takes a second
MOST_ID3_TAGS = 100  # a clip has one, or two: looking past six million empty ones takes ten seconds
FFMPEG_BARREN_PACKETS = 100  # in a row without a sample, before the rest is given up
FFMPEG_CODECS = (  # of its hundreds, those that may run
    "aac,alac,amrnb,amrwb,flac,mp3float,opus,vorbis,g722,gsm_ms,adpcm_ima_wav,adpcm_ms,"
    "pcm_alaw,pcm_mulaw,pcm_u8,pcm_s16le,pcm_s24le,pcm_s32le,pcm_f32le,pcm_f64le"
)
FFMPEG_OPTIONS = {
    "codec_whitelist": FFMPEG_CODECS,
    "protocol_whitelist": "none",
    "max_streams": "16",
    "probesize": str(2**18),
}
AMR_DECODERS = {"amrnb": "libopencore_amrnb", "amrwb": "libopencore_amrwb"}  # FFmpeg's own lose the pauses


@dataclass(frozen=True, slots=True)
class Stream:
    """What a decoder knows before it decodes, and the blocks that it will."""

    codec: str
    sample_rate: int
    channels: int
    claimed_frames: int | None  # None where the header does not say
    blocks: Iterator[Block]


Decoder = Callable[[bytes], AbstractContextManager[Stream]]


def _undecodable(data: bytes) -> Undecodable:
    return Undecodable(f"A clip must be whole enough to decode. Received: {len(data):,} bytes that are not.")


class _File(io.BytesIO):
    """Stays where it is when libsndfile seeks before the start: an exception in a callback goes to stderr."""

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        with suppress(ValueError):
            super().seek(offset, whence)
        return self.tell()


class _SoundFile(soundfile.SoundFile):  # type: ignore[misc]  # soundfile has no types
    """Reads straight on. By itself soundfile seeks after each block: FLAC then decodes it again, or fails."""

    def seekable(self) -> bool:
        return False


@contextmanager
def _libsndfile(data: bytes) -> Iterator[Stream]:
    try:
        with _SoundFile(_File(data[_id3_bytes(data) :])) as file:
            if file.subtype.startswith("MPEG"):  # its decoder of MP3 writes to stderr, so FFmpeg takes them
                raise _undecodable(data)
            claimed = None if file.frames == 2**63 - 1 else file.frames  # FLAC may leave its length open
            yield Stream(file.subtype, file.samplerate, file.channels, claimed, _libsndfile_blocks(file))
    except soundfile.SoundFileError:
        raise _undecodable(data) from None


def _libsndfile_blocks(file: _SoundFile) -> Iterator[Block]:
    size = min(BLOCK_FRAMES, file.frames)
    while len(block := file.read(size, dtype="float32", always_2d=True)):
        yield block


def _several(container: str) -> UnsupportedFormat:
    return UnsupportedFormat(f"{container} file is one clip. Received: several, one after the other.")


def _ogg(data: bytes) -> AbstractContextManager[Stream]:
    """Streams side by side all begin before the first goes on. Of a chain (RFC 3533, 4), libsndfile reads the first
    link alone, and FFmpeg loses parts of the others.
    """
    going_on, beginning = rb"OggS\x00[\x00\x01\x04\x05]", rb"OggS\x00[\x02\x06]"  # pages, by their header's type
    page = re.search(going_on, data)
    if page and re.compile(beginning).search(data, page.end()):
        raise _several("An Ogg")
    return _libsndfile(data)


def _one(data: bytes, *, container: str, header: bytes, decoder: Decoder) -> AbstractContextManager[Stream]:
    """Of several clips joined, both libraries read the first alone. ``header`` is too long to be there by chance."""
    if re.compile(header, re.DOTALL).search(data, _id3_bytes(data) + 1):
        raise _several(container)
    return decoder(data)


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
def _ffmpeg(data: bytes, *, demuxer: str, tells_duration: bool = True) -> Iterator[Stream]:
    """With the demuxer named, no other (playlists, concatenation, devices) can be reached."""
    av = _load_av()
    file = io.BytesIO(data[_id3_bytes(data) :])
    try:
        with av.open(file, format=demuxer, options=FFMPEG_OPTIONS, metadata_errors="ignore") as container:
            if not container.streams.audio:
                raise EmptyAudio("A clip must hold audio. Received: no audio track.")
            track = container.streams.audio[0]
            name = track.codec_context.name if track.codec_context else ""
            decoder_name = AMR_DECODERS.get(name, name)
            if name not in FFMPEG_CODECS.split(",") or decoder_name not in av.codecs_available:
                raise UnsupportedFormat("A clip's codec must be one that is read here. Received: another.")
            decoder = av.CodecContext.create(decoder_name, "r") if decoder_name != name else track.codec_context
            frames = _ffmpeg_frames(container.demux(track), decoder, most_bytes=len(data))
            first = next(frames, None)  # its rate and channels are those of the samples; a header's may differ
            if first is None:
                raise _undecodable(data)
            claimed = _claimed_seconds(container, track) if tells_duration else None
            yield Stream(
                decoder.codec.canonical_name.upper(),
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
    for _ in range(MOST_ID3_TAGS):
        if not data.startswith(b"ID3", length) or len(data) < length + 10:
            return length
        size = data[length + 6 : length + 10]  # seven bits a byte
        length += 10 + reduce(lambda total, byte: total << 7 | byte & 0x7F, size, 0)
    raise _undecodable(data)


def _claimed_seconds(container: InputContainer, track: AudioStream) -> Fraction | None:
    if track.duration is not None and track.time_base is not None:
        return track.duration * track.time_base
    return None if container.duration is None else Fraction(container.duration, 1_000_000)


def _ffmpeg_frames(
    packets: Iterator[Packet[AudioStream]], decoder: AudioCodecContext, *, most_bytes: int
) -> Iterator[AudioFrame]:
    """Decode packet by packet, past damaged ones, and as long as they can be from a file of this size."""
    from av import FFmpegError  # noqa: PLC0415

    barren = 0
    for packet in packets:
        most_bytes -= packet.size
        if most_bytes < 0 or barren > FFMPEG_BARREN_PACKETS:
            return
        try:
            frames = decoder.decode(packet)
        except FFmpegError:
            frames = []
        barren = 0 if frames else barren + 1
        yield from frames


def _ffmpeg_blocks(frames: Iterator[AudioFrame]) -> Iterator[Block]:
    """Samples of any format, with full scale brought to ±1."""
    constant = None
    for frame in frames:
        channels = frame.layout.nb_channels
        constant = constant or (frame.sample_rate, channels)
        if (frame.sample_rate, channels) != constant:
            raise Undecodable("A clip keeps its sample rate and channels throughout. Received: a change.")
        samples = frame.to_ndarray()
        samples = samples.T if frame.format.is_planar else samples.reshape(-1, channels)
        with np.errstate(over="ignore"):  # what float32 cannot hold becomes Inf, and is refused as such
            block = samples.astype(np.float32)
        if samples.dtype.kind in "iu":
            block /= 2.0 ** (8 * samples.itemsize - 1)
            block -= samples.dtype.kind == "u"
        yield block


@contextmanager
def _headerless(data: bytes, *, encoding: str, sample_rate: int, channels: int) -> Iterator[Stream]:
    dtype = np.dtype(">i2" if encoding == "PCM_16" else np.uint8)  # RFC 4856: network byte order
    frame_bytes = dtype.itemsize * channels
    if len(data) % frame_bytes:
        rule = f"Headerless audio is whole frames of {frame_bytes} bytes"
        raise Undecodable(f"{rule}. Received: {len(data):,} bytes.")
    codes = np.frombuffer(data, dtype).reshape(-1, channels)
    yield Stream(encoding, sample_rate, channels, len(codes), _codes_blocks(codes, encoding))


def _wav(data: bytes) -> AbstractContextManager[Stream]:
    """Of several data chunks, libsndfile reads the first alone or none, and FFmpeg the last alone."""
    if plain := plain_wav.parse(data):
        return _plain_wav(data, plain)
    chunks = Counter(itertools.islice(plain_wav.chunks(data[_id3_bytes(data) :]), MOST_WAV_CHUNKS + 1))
    if chunks.total() > MOST_WAV_CHUNKS:
        raise UnsupportedFormat(f"A WAV file has at most {MOST_WAV_CHUNKS:,} chunks. Received: more.")
    if any(chunks[magic] for magic in (b"RIFF", b"RIFX", b"RF64")):
        raise _several("A WAV")
    if chunks[b"fmt "] > 1 or chunks[b"data"] > 1:
        rule = "A WAV file has one fmt chunk and one data chunk"
        raise UnsupportedFormat(f"{rule}. Received: {chunks[b'fmt ']} and {chunks[b'data']}.")
    return _libsndfile(data)


@contextmanager
def _plain_wav(data: bytes, plain: PlainWav) -> Iterator[Stream]:
    dtype = np.dtype("<i2" if plain.encoding == "PCM_16" else np.uint8)
    samples = np.frombuffer(data, dtype, count=plain.size // dtype.itemsize, offset=plain.first)
    codes = samples.reshape(-1, plain.channels)
    yield Stream(plain.encoding, plain.sample_rate, plain.channels, len(codes), _codes_blocks(codes, plain.encoding))


def _codes_blocks(codes: npt.NDArray[Any], encoding: str) -> Iterator[Block]:
    for start in range(0, len(codes), BLOCK_FRAMES):
        block = codes[start : start + BLOCK_FRAMES]
        yield block * np.float32(2**-15) if encoding == "PCM_16" else _g711(encoding).take(block)


@cache
def _g711(law: str) -> Waveform:
    """The 256 output values of an ITU-T G.711 decoder. A code is a sign, a segment of 3 bits, and 4 bits in it."""
    code = np.arange(256) ^ (0xFF if law == "ULAW" else 0x55)  # as if not inverted for the line
    segment, step = code >> 4 & 7, 2 * (code & 15)
    if law == "ULAW":
        magnitude = ((step + 33) << segment) - 33  # of 14 bits with their sign
        value = np.where(code & 0x80, -magnitude, magnitude) / 2**13
    else:
        magnitude = (step + np.where(segment, 33, 1)) << np.maximum(segment - 1, 0)  # of 13 bits
        value = np.where(code & 0x80, magnitude, -magnitude) / 2**12
    table: Waveform = value.astype(np.float32)
    return table


# The formats: a new one is one row. ---------------------------------------------------------------------------

_FLAC_HEADER = rb"fLaC[\x00\x80]\x00\x00\x22"
_AU_HEADER = rb"\.snd\x00\x00.{6}\x00\x00\x00.\x00...\x00\x00\x00"
_M4A_HEADER = rb"\x00\x00\x00.ftyp[ -~]{4}"
_flac = partial(_one, container="A FLAC", header=_FLAC_HEADER, decoder=_libsndfile)
_au = partial(_one, container="An AU", header=_AU_HEADER, decoder=_libsndfile)
_m4a = partial(_one, container="An M4A", header=_M4A_HEADER, decoder=partial(_ffmpeg, demuxer="mov"))

FORMATS: dict[str, tuple[bytes, tuple[Decoder, ...]]] = {  # container -> its first bytes, decoders in order
    "WAV": (rb"RIFF....WAVE|RIFX....WAVE|RF64....WAVE", (_wav, partial(_ffmpeg, demuxer="wav"))),
    "FLAC": (rb"fLaC", (_flac, partial(_ffmpeg, demuxer="flac"))),
    "OGG": (rb"OggS", (_ogg, partial(_ffmpeg, demuxer="ogg"))),
    "AU": (rb"\.snd", (_au,)),
    "AIFF": (rb"FORM....AIF[FC]", (_libsndfile,)),
    "MP3": (rb"ID3|\xff[\xe2\xe3\xf2\xf3\xfa\xfb]", (partial(_ffmpeg, demuxer="mp3", tells_duration=False),)),
    "ADTS": (rb"\xff[\xf0\xf1\xf8\xf9]", (partial(_ffmpeg, demuxer="aac", tells_duration=False),)),
    "M4A": (rb"....ftyp", (_m4a,)),
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
LONGEST_MEDIA_TYPE = 200  # characters: libraries that read one take up to 0.2 s for 60,000
FULL_HEADER = rb"RIFF....WAVE|" + _FLAC_HEADER  # too long to be headerless audio by chance


def recognise(data: bytes, media_type: str | None) -> tuple[str, tuple[Decoder, ...]]:
    """Container and decoders of a clip; a media type counts if it is of headerless audio, which the clip can be."""
    declared = _declared(media_type or "")
    if declared and not re.match(FULL_HEADER, data, re.DOTALL):
        return "RAW", (declared,)
    for start in dict.fromkeys((_id3_bytes(data), 0)):  # tags may stand before any format, not MP3 alone
        for container, (signature, decoders) in FORMATS.items():
            if re.compile(signature, re.DOTALL).match(data, start):
                return container, decoders
    rule = f"A clip is one of {', '.join(FORMATS)}, or headerless with one of {', '.join(HEADERLESS)} declared"
    raise UnsupportedFormat(f"{rule}. Received: {len(data):,} bytes of none.")


def plain_samples(data: bytes, media_type: str | None) -> int | None:
    """Samples of a clip, of all channels, where they lie plain in its bytes, so that what decoding takes is known.

    At most so many: PCM or G.711, in a WAV that is plain or headerless. None of any other clip.
    """
    if plain := plain_wav.parse(data):
        return plain.size // (2 if plain.encoding == "PCM_16" else 1)
    headerless = _names_headerless(media_type or "") and not re.match(FULL_HEADER, data, re.DOTALL)
    return len(data) if headerless else None


def _names_headerless(media_type: str) -> bool:
    return media_type.partition(";")[0].strip().lower() in HEADERLESS


def _declared(media_type: str) -> Decoder | None:
    if not _names_headerless(media_type):
        return None
    if len(media_type) > LONGEST_MEDIA_TYPE:
        rule = f"The media type of headerless audio has {LONGEST_MEDIA_TYPE} characters at most"
        raise UnsupportedFormat(f"{rule}. Received: {len(media_type):,}.")
    header = Message()
    header["Content-Type"] = media_type
    name = header.get_content_type()
    try:
        rate = str(header.get_param("rate", "" if name == "audio/l16" else "8000"))
        channels = str(header.get_param("channels", "1"))
    except TypeError:  # email's, of a parameter both whole and in parts (RFC 2231, 3): it cannot put them in order
        rate = channels = ""
    if not all(re.fullmatch("[1-9][0-9]{0,8}", number) for number in (rate, channels)):
        rule = f"{name} needs its rate, and channels if not 1, as whole numbers"
        raise UnsupportedFormat(f"{rule}. Received: other parameters.")
    return partial(_headerless, encoding=HEADERLESS[name], sample_rate=int(rate), channels=int(channels))
