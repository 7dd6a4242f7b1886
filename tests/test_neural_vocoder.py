"""Neural vocoders in small: what they hear, what they make, that they learn."""

from pathlib import Path

import keras
import numpy as np
import pytest

from tests.corpora import made_speech
from training.vocoders import neural, neural_fit
from training.vocoders.methods import NEURAL

RATE = 16_000
SPEECH = [
    made_speech(np.random.default_rng(n), pitch_hz=110 + 20 * n, leading_seconds=0.1).astype(np.float32)
    for n in range(4)
]


def test_a_tone_is_heard_in_its_band() -> None:
    tone = np.sin(2 * np.pi * 1000 * np.arange(64 * neural.HOP) / RATE).astype(np.float32)
    mel = neural.log_mel(tone, sample_rate=RATE)
    assert mel.shape == (64, neural.BANDS)
    centre = np.argmax(mel[32])
    bank = neural._filterbank(RATE)
    assert np.argmax(bank[centre]) * RATE / 1024 == pytest.approx(1000, abs=30)
    both = neural.log_mel(np.stack([tone, 0 * tone]), sample_rate=RATE)
    assert np.array_equal(both[0], mel)
    assert np.allclose(both[1], np.log(1e-5))


@pytest.mark.parametrize("generator", ["istft", "upsampling"])
def test_a_generator_makes_a_hop_of_samples_for_each_frame(generator: str) -> None:
    made = neural.waveforms(neural.build(generator, channels=16), np.zeros((2, 20, neural.BANDS), np.float32))
    assert made.shape == (2, 20 * neural.HOP)
    assert np.isfinite(made).all()


def test_a_spectrum_becomes_the_waveform_that_has_it() -> None:
    """A model that answers with a tone's true magnitudes and phases: the waveform is the tone."""
    tone = (0.1 * np.sin(2 * np.pi * 440 * np.arange(20 * neural.HOP) / RATE)).astype(np.float32)
    padded = np.pad(tone, 384)
    frames = np.lib.stride_tricks.sliding_window_view(padded, 1024)[::256] * np.hanning(1025)[:-1]
    spectrum = np.fft.rfft(frames)
    answer = np.concatenate([np.log(np.abs(spectrum) + 1e-9), np.angle(spectrum)], axis=1).astype(np.float32)
    mel = keras.Input((None, neural.BANDS))
    model = keras.Model(mel, keras.layers.Lambda(lambda x: 0 * x[..., :1] + answer)(mel), name="istft")
    made = np.asarray(neural.waveforms(model, np.zeros((1, 20, neural.BANDS), np.float32)))[0]
    assert made[400:-400] == pytest.approx(tone[400:-400], abs=1e-4)


def test_the_loss_is_zero_for_the_same_and_grows_with_the_difference() -> None:
    real = np.random.default_rng(0).standard_normal((2, 4096)).astype(np.float32)
    losses = [float(neural_fit.spectral_loss(real, gain * real)) for gain in (1.0, 0.9, 0.5)]
    assert losses[0] == pytest.approx(0, abs=1e-6)
    assert losses[0] < losses[1] < losses[2]
    assert losses[2] == pytest.approx(0.5 + np.log(2), rel=0.01)  # relative distance, and that of the logarithms


def test_a_vocoder_learns_and_is_used_from_its_file(tmp_path: Path) -> None:
    path = tmp_path / "vocoder.keras"
    history = neural_fit.fit(SPEECH, NEURAL["neural_istft"], path, sample_rate=RATE, steps=12, seed=0)
    assert np.mean(history[-3:]) < 0.9 * history[0]
    made = neural.resynthesise(SPEECH[0], sample_rate=RATE, rng=np.random.default_rng(0), model=path)
    assert (made.dtype, made.shape) == (np.float32, SPEECH[0].shape)
    assert made.std() > 0
    assert [p.name for p in tmp_path.iterdir()] == ["vocoder.keras"]


def test_an_adversary_joins_after_half_the_steps(tmp_path: Path) -> None:
    plain, opposed = (
        neural_fit.fit(SPEECH, NEURAL[name], tmp_path / name / "v.keras", sample_rate=RATE, steps=8, seed=0)
        for name in ("neural_upsampling", "neural_upsampling_gan")
    )
    assert np.mean(plain[-3:]) < 0.9 * plain[0]
    assert plain[:5] == pytest.approx(opposed[:5])  # the fifth is what four steps without it led to
    assert plain[5] != pytest.approx(opposed[5])
    assert np.isfinite(opposed).all()


def test_clips_too_short_to_learn_from_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"clips of 8192 samples or more\. Received: none of 1\."):
        neural_fit.fit(
            [np.ones(8000, np.float32)], NEURAL["neural_istft"], tmp_path / "v.keras", sample_rate=RATE, steps=1, seed=0
        )
    assert not list(tmp_path.iterdir())
