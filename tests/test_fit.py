import json
from pathlib import Path

import keras
import numpy as np
import pytest

from model_store.audio import Clip
from training import dataset, fit
from training.config import AugmentConfig, Config, FitConfig, FrontEndConfig, InputConfig
from training.corpus import Utterance
from training.dataset import Recording

RATE = 16_000
CONFIG = Config(
    family_options={"filters": [4, 4, 4, 4], "pools": [[2, 2]] * 4, "dense": 8, "dropout": 0.1},
    input=InputConfig(window_seconds=0.5, hop_seconds=0.25),
    front_end=FrontEndConfig(bands=20),
    augment=AugmentConfig(noise=0.5),
    fit=FitConfig(epochs=4, batch_size=8, learning_rate=1e-2, seed=5),
)


def recording(index: int, key: str, *, seed: int) -> Recording:
    """Bonafide is low noise and spoof high: a difference that any model learns."""
    rng = np.random.default_rng((seed, index))
    noise = np.cumsum(rng.standard_normal(RATE)) if key == "bonafide" else np.diff(rng.standard_normal(RATE + 1))
    samples = (noise / np.abs(noise).max() * 20_000).astype(np.int16)
    return Recording(Utterance("S", f"{key}{index}", None if key == "bonafide" else "A01", key), samples)


@pytest.fixture(autouse=True)
def corpus(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[Recording]]:
    """24 bonafide and 40 spoofs to learn from, a few to choose on; no eval to look at."""
    made = {
        "train": [recording(i, "bonafide", seed=1) for i in range(24)]
        + [recording(i, "spoof", seed=1) for i in range(40)],
        "dev": [recording(i, key, seed=2) for i in range(6) for key in ("bonafide", "spoof")],
    }
    monkeypatch.setattr(dataset, "load", lambda corpora, partition, sample_rate: made[partition])
    return made


def test_a_run_learns_and_keeps_what_it_did(tmp_path: Path) -> None:
    best = fit.fit(CONFIG, [], tmp_path)
    history = fit.read_history(tmp_path)
    assert {len(values) for values in history.values()} == {4}
    assert history["loss"][-1] < 0.7 * history["loss"][0]
    assert min(history["dev_eer"]) < 0.2
    assert Config.model_validate_json((tmp_path / "config.json").read_text()) == CONFIG
    assert keras.saving.load_model(best, compile=False).output_shape == (None,)


def test_an_interrupted_run_goes_on_as_if_it_had_not_been(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fit.fit(CONFIG, [], tmp_path / "whole")

    class Killed(Exception):
        pass

    replace, written = fit._replace, []

    def die(path: Path, write: object) -> None:
        if path.name == "last.keras" and len(written) == 2:
            raise Killed  # in the third epoch, after its figures are on the disk but before its model
        if path.name == "last.keras":
            written.append(path)
        replace(path, write)

    monkeypatch.setattr(fit, "_replace", die)
    with pytest.raises(Killed):
        fit.fit(CONFIG, [], tmp_path / "cut")
    assert len(fit.read_history(tmp_path / "cut")["loss"]) == 3
    monkeypatch.setattr(fit, "_replace", replace)
    fit.fit(CONFIG, [], tmp_path / "cut")

    whole, cut = (fit.read_history(tmp_path / name) for name in ("whole", "cut"))
    assert whole.keys() == cut.keys()
    for name, values in whole.items():
        assert np.allclose(values, cut[name], atol=1e-3), name


def test_a_seed_decides_what_is_drawn(corpus: dict[str, list[Recording]]) -> None:
    def first(config: Config, epoch: int) -> np.ndarray:
        return next(iter(dataset.batches(corpus["train"], config, epoch=epoch)))[0]

    other = CONFIG.model_copy(update={"fit": CONFIG.fit.model_copy(update={"seed": 6})})
    assert np.array_equal(first(CONFIG, 0), first(CONFIG, 0))
    assert not np.array_equal(first(CONFIG, 0), first(CONFIG, 1))
    assert not np.array_equal(first(CONFIG, 0), first(other, 0))


def test_an_epoch_is_balanced(corpus: dict[str, list[Recording]]) -> None:
    labels = np.concatenate([labels for _, labels in dataset.batches(corpus["train"], CONFIG, epoch=0)])
    assert len(labels) == 48
    assert labels.sum() == 24
    drawn = dataset.balanced(corpus["train"], np.random.default_rng(0))
    assert len({r.utterance.id for r in drawn}) == 48  # no clip twice
    with pytest.raises(ValueError, match="takes both classes. Received: 24 bonafide, 0 spoof"):
        dataset.balanced(corpus["train"][:24], np.random.default_rng(0))


def test_it_stops_when_dev_no_longer_gets_better() -> None:
    assert not fit._stale({}, 2)
    assert not fit._stale({"dev_eer": [0.3, 0.2, 0.25]}, 2)
    assert fit._stale({"dev_eer": [0.3, 0.2, 0.25, 0.2]}, 2)


def test_a_run_is_not_gone_on_with_by_another_configuration(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({}))
    with pytest.raises(ValueError, match="goes on with the configuration that it began with"):
        fit.fit(CONFIG, [], tmp_path)


def test_a_filterbank_that_drifts_is_caught() -> None:
    model = fit.build(CONFIG)
    fit._check_frozen(model, CONFIG)
    layer = model.get_layer("filterbank")
    layer.set_weights([layer.get_weights()[0] + 1e-3])
    with pytest.raises(ValueError, match="is frozen. Received: one that training has changed"):
        fit._check_frozen(model, CONFIG)


def test_the_logit_of_a_clip_is_the_mean_of_its_windows(corpus: dict[str, list[Recording]]) -> None:
    class Mean:
        def predict_on_batch(self, windows: np.ndarray) -> np.ndarray:
            return windows[:, 0]

    some = corpus["dev"][:3]
    found = dataset.clip_logits(Mean(), some, CONFIG)
    assert np.allclose(found, [r.waveform[[0, 4_000, 8_000]].mean() for r in some])


def test_training_decodes_as_serving_does(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def decode(path: Path, *, sample_rate: int, channel: int) -> Clip:
        assert (path, sample_rate, channel) == (tmp_path, RATE, 0)
        return Clip("FLAC/PCM_16", RATE, 1, 0.001, {0: np.array([0.5, -2.0, 1.0], np.float32)})

    monkeypatch.setattr(dataset.audio, "decode", decode)
    samples = dataset._decode(Utterance("S", "u", None, "bonafide", tmp_path), sample_rate=RATE)
    assert samples.tolist() == [16_384, -32_767, 32_767]
