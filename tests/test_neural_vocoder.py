"""Neural vocoders: what they hear, what they make, that they learn, on either backend."""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import keras
import numpy as np
import pytest

from tests.corpora import made_speech
from training.vocoders import adversaries, frames, generators, mel, neural, neural_fit
from training.vocoders.methods import NEURAL, Variant

ROOT = Path(__file__).parent.parent
RATE = 16_000
SPEECH = [
    made_speech(np.random.default_rng(n), pitch_hz=110 + 20 * n, leading_seconds=0.1).astype(np.float32)
    for n in range(4)
]


def test_a_tone_is_heard_in_its_band() -> None:
    tone = np.sin(2 * np.pi * 1000 * np.arange(64 * mel.HOP) / RATE).astype(np.float32)
    heard = mel.log_mel(tone, sample_rate=RATE)
    assert heard.shape == (64, mel.BANDS)
    centre = np.argmax(heard[32])
    bank = mel.filterbank(RATE)
    assert np.argmax(bank[centre]) * RATE / 1024 == pytest.approx(1000, abs=30)
    both = mel.log_mel(np.stack([tone, 0 * tone]), sample_rate=RATE)
    assert np.array_equal(both[0], heard)
    assert np.allclose(both[1], np.log(1e-5))


def test_a_tensor_is_heard_as_librosa_hears_it() -> None:
    speech = np.stack([neural.at_level(clip[: 64 * mel.HOP]) for clip in SPEECH])
    heard = np.asarray(mel.log_mel_of_tensor(speech, sample_rate=RATE))
    assert heard == pytest.approx(mel.log_mel(speech, sample_rate=RATE), abs=1e-3)


def test_frames_are_cut_and_added_up_again() -> None:
    samples = np.random.default_rng(0).standard_normal((2, 21 * 64)).astype(np.float32)
    cut = np.asarray(frames.cut(samples, size=256, hop=64))
    assert np.array_equal(cut, np.lib.stride_tricks.sliding_window_view(samples, 256, axis=1)[:, ::64])
    added = np.asarray(frames.overlap_add(cut * frames.hann(256), hop=64))
    assert added[:, 192:-192] == pytest.approx(2 * samples[:, 192:-192], abs=1e-5)  # four windows add up to 2
    assert frames.cut(samples[:, :-1], size=256, hop=64).shape == (2, 17, 256)


@pytest.mark.parametrize("generator", ["istft", "upsampling", "vocos", "hifigan"])
def test_a_generator_makes_a_hop_of_samples_for_each_frame(generator: str) -> None:
    made = generators.waveforms(generators.build(generator, channels=16), np.zeros((2, 20, mel.BANDS), np.float32))
    assert made.shape == (2, 20 * mel.HOP)
    assert np.isfinite(made).all()


def test_folded_samples_are_convolved_as_by_a_dilated_kernel() -> None:
    x = keras.Input((None, 2))
    folded = keras.layers.Reshape((-1, 4, 2))(x)
    column = keras.layers.Conv2D(3, (5, 1), padding="same")
    by_columns = keras.Model(x, keras.layers.Reshape((-1, 3))(column(folded)))
    dilated = keras.layers.Conv1D(3, 5, padding="same", dilation_rate=4)
    by_kernel = keras.Model(x, dilated(x))
    dilated.set_weights([column.get_weights()[0][:, 0], column.get_weights()[1]])
    samples = np.random.default_rng(0).standard_normal((1, 64, 2)).astype(np.float32)
    assert np.asarray(by_columns(samples)) == pytest.approx(np.asarray(by_kernel(samples)), abs=1e-5)


@pytest.mark.parametrize(("kind", "count"), [("none", 0), ("small", 2), ("large", 8)])
def test_adversaries_give_features_and_then_verdicts(kind: str, count: int) -> None:
    models = adversaries.build(kind, segment=8192)
    assert len(models) == count
    for model in models:
        *features, verdict = model(np.zeros((1, 8192), np.float32))
        assert len(features) >= 3
        assert verdict.shape[-1] == 1


def test_a_spectrum_becomes_the_waveform_that_has_it() -> None:
    """A model that answers with a tone's true magnitudes and phases: the waveform is the tone."""
    tone = (0.1 * np.sin(2 * np.pi * 440 * np.arange(20 * mel.HOP) / RATE)).astype(np.float32)
    padded = np.pad(tone, 384)
    frames = np.lib.stride_tricks.sliding_window_view(padded, 1024)[::256] * np.hanning(1025)[:-1]
    spectrum = np.fft.rfft(frames)
    answer = np.concatenate([np.log(np.abs(spectrum) + 1e-9), np.angle(spectrum)], axis=1).astype(np.float32)
    heard = keras.Input((None, mel.BANDS))
    model = keras.Model(heard, keras.layers.Lambda(lambda x: 0 * x[..., :1] + answer)(heard), name="istft")
    made = np.asarray(generators.waveforms(model, np.zeros((1, 20, mel.BANDS), np.float32)))[0]
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


def test_a_large_variant_learns_against_its_adversaries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In small: the same losses, one adversary of each kind, two segments a step."""
    monkeypatch.setattr(adversaries, "_PERIODS", (3,))
    monkeypatch.setattr(adversaries, "_RESOLUTIONS", (512,))
    variant = Variant("istft", "large", joins=0.0, loss="mel", batch=2)
    history = neural_fit.fit(SPEECH, variant, tmp_path / "v.keras", sample_rate=RATE, steps=4, seed=0)
    assert np.isfinite(history).all()
    assert history[-1] < history[0]


def test_judges_change_the_loss_of_each_side_as_least_squares_do() -> None:
    losses = neural_fit._Losses("mel", RATE)
    real = np.stack([neural.at_level(clip[:8192]) for clip in SPEECH[:2]])
    fooled = lambda x: [x, np.ones((4, 3, 1), np.float32)]  # noqa: E731
    nobodys = lambda x: [x, np.zeros((4, 3, 1), np.float32)]  # noqa: E731
    assert float(losses.of_generator(real, real, [fooled])[0]) == pytest.approx(0)
    assert float(losses.of_generator(real, real, [nobodys])[0]) == pytest.approx(1)
    assert float(losses.of_adversaries(real, real, [fooled])) == pytest.approx(1)
    assert float(losses.of_adversaries(real, real, [])) == 0
    loss, distance = losses.of_generator(real, 0.5 * real, [fooled])
    assert float(distance) == pytest.approx(np.log(2), rel=0.01)
    assert float(loss) == pytest.approx(45 * float(distance) + 2 * np.abs(0.5 * real).mean(), rel=1e-4)


def test_half_of_the_copies_are_of_smoothed_spectrograms(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A generator that is replaced by one that keeps what it hears."""
    heard: list[np.ndarray] = []

    def keep(spectrogram: np.ndarray) -> np.ndarray:
        heard.append(spectrogram[0])
        return np.ones((1, spectrogram.shape[1] * mel.HOP), np.float32)

    monkeypatch.setattr(neural, "_load", lambda path: keep)
    for smoothed in (False, True):
        for seed in range(40):
            made = neural.resynthesise(
                SPEECH[0],
                sample_rate=RATE,
                rng=np.random.default_rng(seed),
                model=tmp_path,
                frames=64,
                smoothed=smoothed,
            )
            assert made.shape == SPEECH[0].shape
    assert all(spectrogram.shape[0] % 64 == 0 for spectrogram in heard)
    rough = [np.abs(np.diff(spectrogram, axis=0)).mean() for spectrogram in heard]
    smooth = np.array(rough[40:]) < 0.95 * np.array(rough[:40])
    assert 12 <= smooth.sum() <= 28
    assert np.allclose(np.array(rough[40:])[~smooth], np.array(rough[:40])[~smooth])


_ON_JAX = """
import sys
sys.modules["tensorflow"] = None  # as if it were not installed
import numpy as np
from training.vocoders import neural, neural_fit
from training.vocoders.methods import NEURAL, Variant
from pathlib import Path

made, speech, out = Path(sys.argv[1]), np.load(sys.argv[2]), Path(sys.argv[3])
rng = np.random.default_rng(0)
np.save(out / "made.npy", neural.resynthesise(speech, sample_rate=16_000, rng=rng, model=made))
variant = Variant("istft", "small", joins=0.0, batch=2)
np.save(out / "history.npy", neural_fit.fit([speech], variant, out / "j.keras", sample_rate=16_000, steps=4, seed=0))
"""


@pytest.mark.skipif(find_spec("jax") is None, reason="JAX is not installed")
def test_both_backends_make_the_same_samples_and_learn(tmp_path: Path) -> None:
    path, clip = tmp_path / "vocoder.keras", tmp_path / "speech.npy"
    neural_fit.fit(SPEECH, NEURAL["neural_istft"], path, sample_rate=RATE, steps=1, seed=0)
    np.save(clip, SPEECH[0])
    environment = os.environ | {"KERAS_BACKEND": "jax"}
    command = [sys.executable, "-c", _ON_JAX, str(path), str(clip), str(tmp_path)]
    subprocess.run(command, env=environment, cwd=ROOT, check=True, timeout=120)
    here = neural.resynthesise(SPEECH[0], sample_rate=RATE, rng=np.random.default_rng(0), model=path)
    assert np.load(tmp_path / "made.npy") == pytest.approx(here, abs=1e-4)
    history = np.load(tmp_path / "history.npy")
    assert history[-1] < history[0]


def test_clips_too_short_to_learn_from_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"clips of 8192 samples or more\. Received: none of 1\."):
        neural_fit.fit(
            [np.ones(8000, np.float32)], NEURAL["neural_istft"], tmp_path / "v.keras", sample_rate=RATE, steps=1, seed=0
        )
    assert not list(tmp_path.iterdir())
