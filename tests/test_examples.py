"""The clips of examples/ are what their README says."""

from pathlib import Path

import numpy as np
import pytest

from model_store.audio import decode
from model_store.speech import measure

EXAMPLES = Path(__file__).parent.parent / "examples"
CLIPS = {
    "wideband.wav": ("WAV/PCM_16", 16_000, 1),
    "telephone.wav": ("WAV/ULAW", 8_000, 1),
    "telephone.ul": ("RAW/ULAW", 8_000, 1),
    "two_channels.wav": ("WAV/ULAW", 8_000, 2),
    "silence.wav": ("WAV/ULAW", 8_000, 1),
}


def test_they_are_few_small_and_named() -> None:
    readme = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    clips = {path.name: path.stat().st_size for path in EXAMPLES.iterdir() if path.suffix in (".wav", ".ul")}
    assert set(clips) == set(CLIPS)
    assert all(f"`{name}`" in readme for name in clips)
    assert sum(clips.values()) < 400_000


@pytest.mark.parametrize("name", CLIPS)
def test_a_clip_is_what_it_is_said_to_be(name: str) -> None:
    media_type = "audio/basic" if name.endswith(".ul") else None
    found = decode((EXAMPLES / name).read_bytes(), sample_rate=16_000, media_type=media_type)
    assert (found.format, found.sample_rate, found.channels) == CLIPS[name]
    speech = [measure(waveform, sample_rate=16_000).speech_seconds for waveform in found.waveforms.values()]
    assert speech == [0] if name == "silence.wav" else min(speech) > 3


def test_the_headerless_clip_has_the_samples_of_the_other() -> None:
    raw = decode((EXAMPLES / "telephone.ul").read_bytes(), sample_rate=8_000, media_type="audio/basic").waveforms[0]
    wav = decode((EXAMPLES / "telephone.wav").read_bytes(), sample_rate=8_000).waveforms[0]
    assert np.array_equal(raw, wav)


def test_the_channels_are_two_voices() -> None:
    channels = decode((EXAMPLES / "two_channels.wav").read_bytes(), sample_rate=8_000).waveforms
    assert abs(np.corrcoef(channels[0], channels[1])[0, 1]) < 0.2
