import keras
import librosa
import numpy as np
import pytest

from training.config import Config, FrontEndConfig, InputConfig
from training.families import FAMILIES, build
from training.front_ends import FILTERBANK, filterbank, front_end

RATE = 16_000
NOISE = (np.random.default_rng(0).standard_normal((3, RATE)) * 0.1).astype(np.float32)
SMALL = {"simple_cnn": {"filters": [2, 2, 2, 2], "dense": 4}}


def features(config: FrontEndConfig) -> keras.Model:
    waveform = keras.Input((RATE,))
    return keras.Model(waveform, front_end(waveform, config, sample_rate=RATE))


def power_in_bands(config: FrontEndConfig) -> np.ndarray:
    model = features(config)
    bands = keras.Model(model.input, model.get_layer(FILTERBANK).output)
    return np.asarray(bands(NOISE))


def unit_power(waveforms: np.ndarray) -> np.ndarray:
    return waveforms / np.sqrt((waveforms**2).mean(axis=1, keepdims=True))


def test_log_mel_is_librosas() -> None:
    config = FrontEndConfig(scale="mel", bands=64, min_hz=20, max_hz=7_800)
    oracle = librosa.feature.melspectrogram(
        y=unit_power(NOISE), sr=RATE, n_fft=512, win_length=400, hop_length=160, center=False,
        n_mels=64, fmin=20, fmax=7_800,
    )  # fmt: skip
    assert np.abs(np.log(power_in_bands(config)) - np.log(oracle).transpose(0, 2, 1)).max() < 1e-5


def test_linear_bands_are_weighted_sums_of_librosas_spectrum() -> None:
    config = FrontEndConfig(scale="linear", bands=40, min_hz=0, max_hz=8_000)
    spectrum = np.abs(librosa.stft(unit_power(NOISE), n_fft=512, win_length=400, hop_length=160, center=False)) ** 2
    oracle = np.einsum("bft,fm->btm", spectrum, filterbank(config, sample_rate=RATE))
    assert np.abs(np.log(power_in_bands(config)) - np.log(oracle)).max() < 1e-5


def test_linear_filters_are_evenly_spaced_triangles_of_unit_area() -> None:
    weights = filterbank(FrontEndConfig(scale="linear", bands=40, min_hz=0, max_hz=8_000), sample_rate=RATE)
    peaks = weights.argmax(axis=0) * RATE / 512
    assert np.allclose(np.diff(peaks), 8_000 / 41, atol=RATE / 512)
    assert np.allclose(weights.sum(axis=0) * RATE / 512, 1, atol=0.05)


@pytest.mark.filterwarnings("ignore:Empty filters detected")
def test_bands_that_hold_no_bin_are_refused() -> None:
    with pytest.raises(ValueError, match="covers at least one of 257 bins. Received: 400 bands"):
        filterbank(FrontEndConfig(bands=400), sample_rate=RATE)


@pytest.mark.parametrize("normalise", ["clip", "band"])
def test_level_tells_nothing_and_the_mean_is_gone(normalise: str) -> None:
    model = features(FrontEndConfig(normalise=normalise))
    loud, quiet = np.asarray(model(NOISE)), np.asarray(model(NOISE * 0.01))
    assert np.abs(loud - quiet).max() < 1e-3
    axes = (1, 2) if normalise == "clip" else (1,)
    assert np.abs(loud.mean(axis=axes)).max() < 1e-4


def test_alone_is_as_in_a_batch() -> None:
    """A logarithm relative to the batch's maximum, as Keras' own layer takes it, would fail here."""
    model = features(FrontEndConfig())
    together = np.asarray(model(np.concatenate([NOISE[:1], 100 * NOISE[1:]])))
    assert np.abs(np.asarray(model(NOISE[:1]))[0] - together[0]).max() < 1e-5


def test_silence_is_finite() -> None:
    assert np.isfinite(np.asarray(features(FrontEndConfig())(np.zeros((1, RATE), np.float32)))).all()


@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_maps_waveforms_to_logits_and_reloads_without_our_code(family: str, tmp_path) -> None:
    config = Config(
        family=family, family_options=SMALL.get(family, {}), input=InputConfig(window_seconds=1, hop_seconds=1)
    )
    model = build(config)
    logits = np.asarray(model(NOISE, training=False))
    assert logits.shape == (3,)
    assert not [type(layer) for layer in model.layers if type(layer).__module__.startswith("training")]
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras", compile=False, safe_mode=True)
    assert np.abs(np.asarray(again(NOISE, training=False)) - logits).max() < 1e-5
    assert np.array_equal(again.get_layer(FILTERBANK).get_weights()[0], filterbank(config.front_end, sample_rate=RATE))


def test_the_seeds_network_is_four_convolutions_with_max_pooling_then_flatten_and_dense() -> None:
    kinds = [type(layer).__name__ for layer in build(Config()).layers]
    assert kinds.count("Conv2D") == kinds.count("MaxPooling2D") == 4
    assert kinds.index("Flatten") < kinds.index("Dense", kinds.index("Flatten"))


def test_a_family_or_an_option_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ValueError, match="A family is one of simple_cnn, resnet50. Received: 'vgg'"):
        build(Config(family="vgg"))
    with pytest.raises(ValueError, match="has no such option. Received: {'depth': 3}"):
        build(Config(family_options={"depth": 3}))
