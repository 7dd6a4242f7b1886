"""A converted model is the same function."""

from pathlib import Path

import keras
import numpy as np
import onnxruntime
import pytest

from training import onnx_export
from training.config import BranchConfig, Config, FrontEndConfig, InputConfig
from training.model import build
from training.onnx_export import Spectrum, convertible, export


def noise(*shape: int) -> np.ndarray:
    return (0.1 * np.random.default_rng(0).standard_normal(shape)).astype(np.float32)


@pytest.mark.parametrize(
    ("frame", "step", "fft"), [(400, 160, 512), (512, 256, 512), (320, 320, 320), (64, 96, 128), (50, 7, 66)]
)
def test_a_spectrum_is_that_of_numpy(frame: int, step: int, fft: int) -> None:
    waveform = noise(2, 2_000)
    real, imaginary = (
        np.asarray(part) for part in Spectrum(frame_samples=frame, step_samples=step, fft_samples=fft)(waveform)
    )
    window = np.pad(np.hanning(frame + 1)[:-1], (fft - frame) // 2)
    expected = np.fft.rfft(np.lib.stride_tricks.sliding_window_view(waveform, fft, axis=1)[:, ::step] * window)
    assert real.shape == expected.shape
    assert np.allclose(real + 1j * imaginary, expected, atol=1e-4)


def test_a_spectrum_that_it_cannot_do_is_refused() -> None:
    with pytest.raises(ValueError, match=r"of even length\. Received: 401 and 512"):
        Spectrum(frame_samples=401, step_samples=160, fft_samples=512)
    start = keras.Input((4_000,))
    model = keras.Model(start, keras.ops.stft(start, 400, 160, 512, window="hamming", center=True)[0])
    with pytest.raises(ValueError, match="Received: window='hamming', center=True"):
        convertible(model)


def test_a_model_of_several_branches_converts(tmp_path: Path) -> None:
    residual = {"filters": [4, 6], "blocks": [1, 1]}
    light = {"filters": [2, 3], "pooling": "statistics"}
    cepstra = FrontEndConfig(kind="lfcc", frame_seconds=0.032, step_seconds=0.016)
    beats = FrontEndConfig(kind="correlation", bands=20, step_seconds=0.02)
    local = FrontEndConfig(kind="log_spectrum", bands=64, normalise="local")
    config = Config(
        branches={
            "cepstra": BranchConfig(family="se_resnet", options=residual, front_end=cepstra),
            "bins": BranchConfig(family="lcnn", options=light, front_end=local),
            "beats": BranchConfig(family="se_resnet", options=residual, front_end=beats),
        },
        input=InputConfig(window_seconds=0.5, hop_seconds=0.5),
    )
    model = build(config)
    model.get_layer("fusion").set_weights([np.full((3, 1), 5.0, np.float32)])
    model.save(tmp_path / "model.keras")
    session = onnxruntime.InferenceSession(export(tmp_path / "model.keras", tmp_path / "model.onnx"))
    for count in (1, 3):
        windows = noise(count, config.input.window_samples)
        [logits] = session.run(None, {session.get_inputs()[0].name: windows})
        assert logits.shape == (count,)
        assert np.allclose(logits, np.asarray(model(windows, training=False)), atol=1e-4)
    assert np.abs(logits).max() > 1e-2  # there is something to differ


def test_a_mean_over_several_axes_is_as_exact_as_float32(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    start = keras.Input((200, 80))
    keras.Model(start, keras.ops.mean(start, axis=(-1, 1))).save(tmp_path / "model.keras")
    features = noise(1, 200, 80)
    features[:, ::2] = np.log(1e-5)  # the floor of quiet bands: what is alike is rounded alike, and adds up

    def error() -> float:
        session = onnxruntime.InferenceSession(export(tmp_path / "model.keras", tmp_path / "model.onnx"))
        [mean] = session.run(None, {session.get_inputs()[0].name: features})
        assert mean.shape == (1,)
        return float(np.abs(mean - features.mean(dtype=np.float64))[0])

    assert error() < 3e-6
    monkeypatch.setattr(onnx_export, "convertible", lambda model: model)
    assert error() > 1e-5  # what is to be seen
