"""Every channel: as long, aligned, not the same; and what each says that it does."""

from pathlib import Path

import numpy as np
import pytest

from model_store import audio
from training import bands, channels, codecs
from training.channels import CHANNELS
from training.score import as_telephone

RATE = 16_000
CODED = [name for name in CHANNELS if name != "original"]
NARROW = [
    *("telephone", "a_law", "landline", "gsm", "gsm_a_law", "opus_low", "amr_nb", "ima_adpcm", "narrowband"),
    *("packet_loss", "band_300_3400", "band_4000"),
]


def speech_like(*, seconds: float = 2.0, sample_rate: int = RATE) -> np.ndarray:
    """Noise with the slope of speech, in syllables, at a level where no codec clips: it matches itself at one lag."""
    rng = np.random.default_rng(0)
    count = round(seconds * sample_rate)
    hz = np.fft.rfftfreq(count, 1 / sample_rate)
    gain = np.minimum(1, 500 / np.maximum(hz, 1)) * (hz > 100)
    noise = np.fft.irfft(np.fft.rfft(rng.standard_normal(count)) * gain, count)
    syllables = 0.05 + np.sin(2 * np.pi * 2 * np.arange(count) / sample_rate) ** 2
    return (0.3 * noise * syllables / np.abs(noise * syllables).max()).astype(np.float32)


SPEECH = speech_like()


@pytest.fixture(scope="module")
def heard() -> dict[str, np.ndarray]:
    return {name: channel.apply(SPEECH, sample_rate=RATE) for name, channel in CHANNELS.items()}


def band_power(signal: np.ndarray, low_hz: float, high_hz: float) -> float:
    spectrum = np.abs(np.fft.rfft(signal)) ** 2
    hz = np.fft.rfftfreq(signal.size, 1 / RATE)
    return float(spectrum[(hz >= low_hz) & (hz < high_hz)].sum())


def lag(reference: np.ndarray, late: np.ndarray) -> int:
    """Samples by which the second is late, from the peak of the cross-correlation between 500 and 3,400 Hz."""
    spectra = [np.fft.rfft(signal, 2 * reference.size) for signal in (reference, late)]
    hz = np.fft.rfftfreq(2 * reference.size, 1 / RATE)
    correlation = np.fft.irfft(np.conj(spectra[0]) * spectra[1] * ((hz > 500) & (hz < 3_400)))
    return int((np.argmax(correlation) + reference.size) % correlation.size - reference.size)


def test_a_lag_is_seen() -> None:
    assert [lag(SPEECH, np.roll(SPEECH, late)) for late in (-3, 0, 22)] == [-3, 0, 22]


@pytest.mark.parametrize("name", CHANNELS)
def test_a_channel_keeps_length_type_and_time_and_leaves_its_input(name: str, heard: dict[str, np.ndarray]) -> None:
    assert heard[name].shape == SPEECH.shape
    assert heard[name].dtype == np.float32
    assert np.isfinite(heard[name]).all()
    assert lag(SPEECH, heard[name]) == 0
    assert np.array_equal(SPEECH, speech_like())


@pytest.mark.parametrize("name", CODED)
def test_a_channel_is_faithful_in_its_band_but_not_the_same(name: str, heard: dict[str, np.ndarray]) -> None:
    inside, out = (bands.band_limit(x, sample_rate=RATE, low_hz=500, high_hz=3_000) for x in (SPEECH, heard[name]))
    ratio = 10 * np.log10(np.sum(inside**2) / np.sum((out - inside) ** 2))
    assert ratio > (0.5 if name == "opus_low" else 4)  # coders of speech make little of noise
    assert not np.array_equal(SPEECH, heard[name])
    assert band_power(out, 500, 3_000) == pytest.approx(band_power(inside, 500, 3_000), rel=0.5)


@pytest.mark.parametrize("name", CHANNELS)
def test_a_clip_is_heard_to_its_end(name: str) -> None:
    clip = SPEECH[:30_000]  # ends in the middle of a syllable
    end = CHANNELS[name].apply(clip, sample_rate=RATE)[-400:]
    assert band_power(end, 500, 3_000) > 0.2 * band_power(clip[-400:], 500, 3_000)


@pytest.mark.parametrize("name", CHANNELS)
def test_only_narrow_channels_take_what_lies_above_4_khz(name: str, heard: dict[str, np.ndarray]) -> None:
    kept = band_power(heard[name], 4_200, 6_500) / band_power(SPEECH, 4_200, 6_500)
    assert kept < 1e-4 if name in NARROW else kept > 0.1


@pytest.mark.parametrize("name", ["telephone", "gsm", "g722", "opus", "mp3", "amr_nb", "vorbis"])
def test_a_channel_gives_the_same_twice_and_takes_any_length_and_silence(
    name: str, heard: dict[str, np.ndarray]
) -> None:
    apply = CHANNELS[name].apply
    assert np.array_equal(apply(SPEECH, sample_rate=RATE), heard[name])
    odd = apply(SPEECH[:4_001], sample_rate=RATE)
    assert odd.shape == (4_001,)
    assert np.abs(apply(np.zeros(4_001, np.float32), sample_rate=RATE)).max() < 0.01
    assert np.abs(apply(10 * SPEECH, sample_rate=RATE)).max() < 2  # clipped, not wrapped


@pytest.mark.parametrize(("low_hz", "high_hz"), [(300, 3_400), (0, 4_000), (300, 8_000)])
def test_a_band_limit_keeps_its_band_and_takes_60_db_from_the_rest(low_hz: float, high_hz: float) -> None:
    impulse = np.zeros(8_001, np.float32)
    impulse[4_000] = 1
    limited = bands.band_limit(impulse, sample_rate=RATE, low_hz=low_hz, high_hz=high_hz)
    assert np.allclose(limited, limited[::-1], atol=1e-6)  # no delay
    hz = np.fft.rfftfreq(impulse.size, 1 / RATE)
    decibels = 20 * np.log10(np.abs(np.fft.rfft(limited)) + 1e-9)
    inside = (hz > low_hz + 100) & (hz < high_hz - 100)
    outside = (hz < low_hz - 100) | (hz > high_hz + 100)
    assert np.abs(decibels[inside]).max() < 0.05
    assert not outside.any() or decibels[outside].max() < -60


def test_a_band_as_wide_as_the_waveform_changes_nothing() -> None:
    assert bands.band_limit(SPEECH, sample_rate=RATE, high_hz=8_000) is SPEECH


def test_vorbis_takes_minutes() -> None:
    minutes = np.tile(SPEECH, 100)
    assert codecs.through_file(minutes, sample_rate=RATE, container="OGG", codec="VORBIS").shape == minutes.shape


def test_the_telephone_is_what_score_has_always_done_to_a_file(tmp_path: Path) -> None:
    """Two routes: a WAV by libsndfile, and our own G.711, which differ on decision values alone."""
    import soundfile  # noqa: PLC0415

    soundfile.write(tmp_path / "clip.wav", SPEECH, RATE, subtype="FLOAT")
    by_file = audio.decode(as_telephone(tmp_path / "clip.wav"), sample_rate=RATE).waveforms[0]
    ours = CHANNELS["telephone"].apply(SPEECH, sample_rate=RATE)
    assert np.sum((by_file - ours) ** 2) < 1e-4 * np.sum(SPEECH**2)
    assert np.sum((by_file - SPEECH) ** 2) > 1e-3 * np.sum(SPEECH**2)


def test_a_channel_that_does_not_exist_is_refused_with_those_that_do() -> None:
    with pytest.raises(ValueError, match="one of original, telephone, .* Received: pigeon"):
        channels.named("pigeon")


def test_some_channels_are_held_out_of_training() -> None:
    assert {name for name, channel in CHANNELS.items() if channel.held_out} == {"amr_nb", "aac", "vorbis", "ima_adpcm"}
    assert len({channel.words for channel in CHANNELS.values()}) == len(CHANNELS)
