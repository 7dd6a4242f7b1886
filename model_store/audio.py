"""A clip, as bytes or a path, becomes float32 waveforms at the rate asked for, or an ``AudioError``.

Serving and training both decode here and nowhere else, so that a model hears the same samples in both. What a
clip is comes from its first bytes, never from a file name; only headerless audio needs its media type. Decoding,
checking and resampling go block by block: memory follows the seconds kept, not what a header claims. A clip cut
short is decoded as far as it goes.
"""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soxr

from model_store.channel_class import is_coded
from model_store.clipping import FlatTops
from model_store.decoders import Decoder, Stream, Waveform, recognise
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

LOUDEST_SAMPLE = 2.0**31  # float files may hold unscaled integers; the squares of much more overflow float32


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
    coded: bool  # whether the codec changes the samples, as `channel_class.is_coded`
    sample_rate: int  # Hz, as sent
    channels: int  # as sent
    duration_seconds: float  # of what was decoded
    waveforms: Mapping[int, Waveform]  # by channel
    clipped_fractions: Mapping[int, float]  # by channel: of the samples as sent, those in flat tops


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
    container, (first, *others) = recognise(data, media_type)

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


def _collect(container: str, stream: Stream, *, sample_rate: int, channel: int | None, limits: Limits) -> Clip:
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
        claimed = f"a header that claims {stream.claimed_frames:,} samples at {rate:,} Hz"
        raise TooLong(f"A clip lasts {limits.max_seconds:g} s at most. Received: {claimed}.")

    kept = range(channels) if channel is None else range(channel, channel + 1)
    resampler = soxr.ResampleStream(rate, sample_rate, len(kept)) if rate != sample_rate else None
    flat_tops = FlatTops(len(kept))
    frames, blocks = 0, [np.empty((0, len(kept)), np.float32)]
    for block in stream.blocks:
        frames += len(block)
        if frames > most_frames:
            raise TooLong(f"A clip lasts {limits.max_seconds:g} s at most. Received: more.")
        selected = np.ascontiguousarray(block[:, kept.start : kept.stop])
        if not flat_tops.add(selected) <= LOUDEST_SAMPLE:  # NaN compares false
            raise NonFiniteSamples("Samples must be finite, and within ±2^31. Received: others.")
        blocks.append(resampler.resample_chunk(selected) if resampler else selected)
    if frames == 0:
        raise EmptyAudio("A clip must hold audio. Received: 0 samples.")
    if frames < limits.min_seconds * rate:
        received = f"{frames:,} samples at {rate:,} Hz"  # seconds, rounded, could be those of the rule
        raise TooShort(f"A clip lasts {limits.min_seconds:g} s at least. Received: {received}.")
    if resampler:
        blocks.append(resampler.resample_chunk(blocks[0], last=True))
    samples = np.concatenate(blocks)
    return Clip(
        format=f"{container}/{stream.codec}",
        coded=is_coded(stream.codec),
        sample_rate=rate,
        channels=channels,
        duration_seconds=frames / rate,
        waveforms={which: np.ascontiguousarray(samples[:, i]) for i, which in enumerate(kept)},
        clipped_fractions=dict(zip(kept, flat_tops.fractions(), strict=True)),
    )
