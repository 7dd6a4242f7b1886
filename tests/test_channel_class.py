"""The class of a clip's channel: of made clips that went through each."""

import numpy as np
import pytest

from model_store import audio, speech
from model_store.channel_class import ChannelClass, channel_class, is_coded
from tests.signals import clip, ffmpeg_clip
from tests.test_speech import NOISE, voice

WIDE = voice() + 0.02 * NOISE  # 0.002: hiss 30 dB below the voice
NARROW = WIDE[::2]


def found(sent: bytes) -> ChannelClass:
    decoded = audio.decode(sent, sample_rate=16_000)
    condition = speech.measure(decoded.waveforms[0], sample_rate=16_000)
    return channel_class(coded=decoded.coded, above_4khz_db=condition.above_4khz_db)


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        pytest.param(clip(WIDE, sample_rate=16_000), "wideband", id="16 kHz PCM"),
        pytest.param(clip(WIDE, sample_rate=16_000, container="FLAC"), "wideband", id="16 kHz FLAC"),
        pytest.param(clip(WIDE, sample_rate=16_000, codec="FLOAT"), "wideband", id="16 kHz float"),
        pytest.param(clip(NARROW, sample_rate=8_000), "narrowband", id="8 kHz PCM"),
        pytest.param(clip(NARROW, sample_rate=8_000, codec="ULAW"), "coded", id="8 kHz mu-law"),
        pytest.param(clip(NARROW, sample_rate=8_000, codec="ALAW"), "coded", id="8 kHz A-law"),
        pytest.param(clip(NARROW, sample_rate=8_000, codec="GSM610"), "coded", id="GSM"),
        pytest.param(clip(WIDE, sample_rate=16_000, codec="IMA_ADPCM"), "coded", id="ADPCM"),
        pytest.param(clip(WIDE, sample_rate=16_000, container="OGG", codec="OPUS"), "coded", id="Opus"),
        pytest.param(ffmpeg_clip(WIDE, sample_rate=16_000, container="mp3", codec="libmp3lame"), "coded", id="MP3"),
        pytest.param(ffmpeg_clip(WIDE, sample_rate=16_000, container="mp4", codec="alac"), "wideband", id="ALAC"),
    ],
)
def test_a_class_follows_from_format_and_band(sent: bytes, expected: ChannelClass) -> None:
    assert found(sent) == expected


def test_a_telephone_saved_at_a_higher_rate_stays_narrowband() -> None:
    wide = audio.decode(clip(NARROW, sample_rate=8_000), sample_rate=16_000).waveforms[0]
    assert found(clip(wide, sample_rate=16_000)) == "narrowband"


def test_what_keeps_no_sample_is_coded_under_either_name() -> None:
    assert [is_coded(name) for name in ("PCM_16", "PCM_S16LE", "PCM_U8", "DOUBLE", "FLAC", "ALAC_24")] == [False] * 6
    assert [is_coded(name) for name in ("PCM_MULAW", "PCM_ALAW", "ULAW", "AMR_NB", "AAC", "VORBIS")] == [True] * 6


def test_silence_is_narrowband() -> None:
    condition = speech.measure(np.zeros(16_000, np.float32), sample_rate=16_000)
    assert channel_class(coded=False, above_4khz_db=condition.above_4khz_db) == "narrowband"
