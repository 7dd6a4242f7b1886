"""Lossy codecs of calls and recordings, as the libraries of FFmpeg and libsndfile have them, in memory.

Each takes a waveform at the codec's own rate and gives back as many samples, aligned: a codec's delay, which no
container is there to say, is measured (a test holds it) and taken off.
"""

import io
from collections.abc import Mapping
from dataclasses import dataclass, field

import av
import numpy as np
import numpy.typing as npt
import soundfile

from training.bands import fit, resample
from training.g711 import from_int16, to_int16

Waveform = npt.NDArray[np.float32]

_BLOCK = 2**16  # libsndfile crashes on minutes of Vorbis at once


@dataclass(frozen=True, slots=True, kw_only=True)
class Codec:
    """A codec of FFmpeg, by its names there.

    Attributes
    ----------
    sample_rate, decoded_rate : int
        Hz: of what it encodes; and of what it decodes to, where that differs.
    delay : int
        Samples at `decoded_rate` by which what comes out is late; less than 0 where FFmpeg takes off too much.
    """

    encoder: str
    decoder: str
    sample_rate: int
    decoded_rate: int | None = None
    bit_rate: int | None = None
    sample_format: str = "s16"
    delay: int = 0
    options: Mapping[str, str] = field(default_factory=dict)


G722 = Codec(encoder="g722", decoder="g722", sample_rate=16_000, bit_rate=64_000, delay=22)
AMR_NB = Codec(encoder="libopencore_amrnb", decoder="libopencore_amrnb", sample_rate=8_000, bit_rate=12_200, delay=40)


def opus(*, sample_rate: int, bit_rate: int) -> Codec:
    """Opus (RFC 6716) for speech, at its lowest complexity: the same bitstream, sought with less effort."""
    options = {"application": "voip", "compression_level": "0"}
    return Codec(
        encoder="libopus",
        decoder="libopus",
        sample_rate=sample_rate,
        decoded_rate=48_000,
        bit_rate=bit_rate,
        delay=4 if sample_rate == 8_000 else -2,
        options=options,
    )


def mp3(*, bit_rate: int) -> Codec:
    """MPEG-2 layer III at 16 kHz by LAME."""
    return Codec(
        encoder="libmp3lame",
        decoder="mp3float",
        sample_rate=16_000,
        bit_rate=bit_rate,
        sample_format="fltp",
        options={"compression_level": "9"},
    )


def aac(*, bit_rate: int) -> Codec:
    """AAC-LC at 16 kHz by FFmpeg."""
    return Codec(
        encoder="aac",
        decoder="aac",
        sample_rate=16_000,
        bit_rate=bit_rate,
        sample_format="fltp",
        delay=1_024,
        options={"aac_coder": "fast"},
    )


def through(waveform: Waveform, codec: Codec) -> Waveform:
    """A waveform encoded and decoded.

    Parameters
    ----------
    waveform : float32 (n,)
        At the codec's `sample_rate`; beyond [-1, 1] it is clipped.

    Returns
    -------
    float32 (n,), aligned with `waveform`
    """
    encoder, decoder = _open(codec)
    size = encoder.frame_size
    count = -(-(waveform.size + max(codec.delay, 0)) // size)
    samples = np.zeros((count, 1, size), np.float32)
    samples.reshape(-1)[: waveform.size] = np.clip(waveform, -1, 1)
    coded = samples if codec.sample_format == "fltp" else to_int16(samples)
    frames: list[av.AudioFrame | None] = []
    for number, part in enumerate(coded):
        frame = av.AudioFrame.from_ndarray(part, format=codec.sample_format, layout="mono")
        frame.sample_rate, frame.pts = codec.sample_rate, number * size
        frames.append(frame)
    frames.append(None)  # give what is kept back: of MP3, up to a fifth of a second
    packets = [packet for frame in frames for packet in encoder.encode(frame)]
    decoded = [out.to_ndarray()[0] for packet in [*packets, None] for out in decoder.decode(packet)]
    joined = np.concatenate(decoded)
    heard = from_int16(joined) if joined.dtype == np.int16 else joined.astype(np.float32, copy=False)
    heard = heard[codec.delay :] if codec.delay >= 0 else np.pad(heard, (-codec.delay, 0))
    return fit(resample(heard, codec.decoded_rate or codec.sample_rate, codec.sample_rate), waveform.size)


def through_file(waveform: Waveform, *, sample_rate: int, container: str, codec: str) -> Waveform:
    """A waveform written to a file and read again by libsndfile, under its names: GSM610, IMA_ADPCM, VORBIS."""
    buffer = io.BytesIO()
    with soundfile.SoundFile(buffer, "w", sample_rate, 1, format=container, subtype=codec) as file:
        for start in range(0, waveform.size, _BLOCK):
            file.write(np.clip(waveform[start : start + _BLOCK], -1, 1))
    buffer.seek(0)
    decoded, _ = soundfile.read(buffer, dtype="float32")
    return fit(decoded, waveform.size)


def _open(codec: Codec) -> tuple[av.AudioCodecContext, av.AudioCodecContext]:
    """An encoder and a decoder of their own for each waveform: they carry state. Opening takes 0.3 ms or less."""
    encoder = av.CodecContext.create(codec.encoder, "w")
    decoder = av.CodecContext.create(codec.decoder, "r")
    if not isinstance(encoder, av.AudioCodecContext) or not isinstance(decoder, av.AudioCodecContext):
        raise ValueError(f"A codec here is one of audio. Received: {codec.encoder}, {codec.decoder}.")
    encoder.sample_rate, encoder.layout, encoder.format = codec.sample_rate, "mono", codec.sample_format
    encoder.options = dict(codec.options)
    if codec.bit_rate is not None:
        encoder.bit_rate = codec.bit_rate
    encoder.open()
    decoder.sample_rate, decoder.layout = codec.decoded_rate or codec.sample_rate, "mono"
    if encoder.extradata:
        decoder.extradata = encoder.extradata
    return encoder, decoder
