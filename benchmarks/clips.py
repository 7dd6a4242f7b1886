"""Clips to send, made and not recorded: anyone's run sends the same bytes."""

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import soundfile

_BOUNDARY = "bonafide-benchmark"


@dataclass(frozen=True, slots=True)
class Clip:
    """An encoded clip."""

    name: str
    media_type: str
    data: bytes


def speech(seconds: float, *, sample_rate: int, seed: int = 0) -> npt.NDArray[np.float32]:
    """What passes for speech: a buzz with a gliding pitch through moving formants, in syllables, with breath noise.

    Returns
    -------
    float32 (n,), peak 0.5
    """
    rng = np.random.default_rng(seed)
    time = np.arange(round(seconds * sample_rate)) / sample_rate
    pitch = 120 + 25 * np.sin(2 * np.pi * 0.4 * time) + 8 * np.sin(2 * np.pi * 2.3 * time)
    phase = 2 * np.pi * np.cumsum(pitch) / sample_rate
    voiced = np.zeros_like(time)
    for harmonic in range(1, round(min(3_600, 0.45 * sample_rate) / 160) + 1):
        hz = harmonic * pitch
        formants = (
            (500 + 250 * np.sin(2 * np.pi * 1.1 * time), 90, 1.0),
            (1_500 + 500 * np.sin(2 * np.pi * 0.7 * time), 120, 0.5),
            (2_600 + 200 * np.sin(2 * np.pi * 0.9 * time), 160, 0.25),
        )
        gain = sum(weight / (1 + np.square((hz - centre) / width)) for centre, width, weight in formants)
        voiced += gain * np.sin(harmonic * phase)
    syllables = np.clip(np.sin(2 * np.pi * 2.1 * time) + 0.35, 0, None)
    waveform = syllables * voiced + 0.004 * (1 + syllables) * rng.standard_normal(time.size)
    return np.asarray(0.5 * waveform / np.abs(waveform).max(), np.float32)


def encoded(*, seconds: float = 4.0) -> dict[str, Clip]:
    """The same speech as the service's callers send it."""
    wide, narrow = speech(seconds, sample_rate=16_000), speech(seconds, sample_rate=8_000)
    return {
        "pcm16": Clip("WAV PCM16 16 kHz", "audio/wav", _encode(wide, 16_000, "WAV", "PCM_16")),
        "ulaw": Clip("WAV µ-law 8 kHz", "audio/wav", _encode(narrow, 8_000, "WAV", "ULAW")),
        "flac": Clip("FLAC 16 kHz", "audio/flac", _encode(wide, 16_000, "FLAC", "PCM_16")),
    }


def multipart(field: str, clips: Sequence[Clip]) -> tuple[bytes, str]:
    """A multipart/form-data body with the clips in one field, and its content type."""
    parts = []
    for number, clip in enumerate(clips):
        parts += [
            f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="{field}"; filename="{number}.audio"\r\n'
            f"Content-Type: {clip.media_type}\r\n\r\n".encode(),
            clip.data,
            b"\r\n",
        ]
    return b"".join([*parts, f"--{_BOUNDARY}--\r\n".encode()]), f"multipart/form-data; boundary={_BOUNDARY}"


def _encode(waveform: npt.NDArray[np.float32], sample_rate: int, container: str, codec: str) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, waveform, sample_rate, format=container, subtype=codec)
    return buffer.getvalue()
