import json
from itertools import islice
from pathlib import Path

import keras
import numpy as np
import pytest

from model_store.audio import Clip
from training import dataset, fit, loader
from training.config import AugmentConfig, BranchConfig, Config, FitConfig, FrontEndConfig, InputConfig
from training.corpus import Utterance
from training.dataset import Recording
from training.loader import Batch, Loader, mix
from training.muon import ConvolutionMuon

RATE = 16_000
BRANCH = BranchConfig(
    options={"filters": [4, 4, 4, 4], "pools": [[2, 2]] * 4, "dense": 8, "dropout": 0.1},
    front_end=FrontEndConfig(bands=20),
)
CONFIG = Config(
    branches={"main": BRANCH},
    input=InputConfig(window_seconds=0.5, hop_seconds=0.25),
    augment=AugmentConfig(noise=0.5),
    fit=FitConfig(epochs=4, batch_size=8, learning_rate=1e-2, seed=5, averaging=0.5, mask=0.2),
)
STILL = CONFIG.model_copy(
    update={
        "branches": {"main": BRANCH.model_copy(update={"options": {**BRANCH.options, "dropout": 0.0}})},
        "fit": CONFIG.fit.model_copy(update={"mask": 0.0}),
    }
)  # nothing in it is drawn while it learns


def recording(index: int, key: str, *, seed: int) -> Recording:
    """Bonafide is low noise and spoof high: a difference that any model learns."""
    rng = np.random.default_rng((seed, index))
    noise = np.cumsum(rng.standard_normal(RATE)) if key == "bonafide" else np.diff(rng.standard_normal(RATE + 1))
    samples = (noise / np.abs(noise).max() * 20_000).astype(np.int16)
    return Recording(Utterance("S", f"{key}{index}", None if key == "bonafide" else "A01", key), "made", samples)


@pytest.fixture(autouse=True)
def corpus(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[Recording]]:
    """24 bonafide and 40 spoofs to learn from, a few to watch; no eval to look at."""
    made = {
        "train": [recording(i, "bonafide", seed=1) for i in range(24)]
        + [recording(i, "spoof", seed=1) for i in range(40)],
        "dev": [recording(i, key, seed=2) for i in range(6) for key in ("bonafide", "spoof")],
    }
    monkeypatch.setattr(dataset, "load", lambda corpora, partition, sample_rate: made[partition])
    return made


def test_a_run_learns_and_keeps_what_it_did(tmp_path: Path) -> None:
    model = fit.fit(CONFIG, [], tmp_path)
    history = fit.read_history(tmp_path)
    assert {len(values) for values in history.values()} == {4}
    assert history["loss"][-1] < 0.7 * history["loss"][0]
    assert min(history["dev_eer"]) < 0.2
    assert Config.model_validate_json((tmp_path / "config.json").read_text()) == CONFIG
    assert keras.saving.load_model(model, compile=False).output_shape == (None,)


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
        return next(Loader(corpus["train"], config, workers=0).epoch(epoch)).waveforms

    other = CONFIG.model_copy(update={"fit": CONFIG.fit.model_copy(update={"seed": 6})})
    assert np.array_equal(first(CONFIG, 0), first(CONFIG, 0))
    assert not np.array_equal(first(CONFIG, 0), first(CONFIG, 1))
    assert not np.array_equal(first(CONFIG, 0), first(other, 0))


def test_an_epoch_is_balanced(corpus: dict[str, list[Recording]]) -> None:
    labels = np.concatenate([batch.labels for batch in Loader(corpus["train"], CONFIG, workers=0).epoch(0)])
    assert labels.shape == (48, 1)
    assert labels.sum() == 24


def test_mixing_blends_windows_and_labels_alike() -> None:
    rng = np.random.default_rng(0)
    waveforms = np.repeat([[1.0], [-2.0]], 50, axis=0).astype(np.float32) * np.ones((1, 8), np.float32)
    labels = np.repeat([[1.0], [0.0]], 50, axis=0).astype(np.float32)
    mixed, soft = mix(waveforms, labels, rng, share=0.5)
    of_bonafide = mixed[:50, 0]  # 1 and, at its level, -1: what is left says how much was its own
    assert np.allclose(of_bonafide, 2 * soft[:50, 0] - 1, atol=1e-5)
    assert 0.1 < np.mean((soft > 0.01) & (soft < 0.99)) < 0.45
    assert soft[:50].min() >= 0.5
    same = mix(waveforms, labels, rng, share=0.0)
    assert same[0] is waveforms
    assert same[1] is labels


def test_a_run_by_muon_is_gone_on_with(tmp_path: Path, corpus: dict[str, list[Recording]]) -> None:
    muon = CONFIG.model_copy(update={"fit": CONFIG.fit.model_copy(update={"optimizer": "muon", "epochs": 2})})
    fit.fit(muon, [], tmp_path)
    learner = fit.read_learner(tmp_path / "last.keras", muon)
    assert isinstance(learner.optimizer, ConvolutionMuon)
    assert int(learner.optimizer.iterations) == 12
    kernel = next(v for v in learner.optimizer.variables if v.shape == (3, 3, 4, 4) and "momentum" in v.path)
    assert np.abs(kernel.numpy()).max() > 0


def test_the_average_of_the_weights_is_lent_and_given_back(corpus: dict[str, list[Recording]]) -> None:
    learner = fit.make_learner(CONFIG, fit.make_branches(CONFIG))
    fit.compile_learner(learner, CONFIG, steps=6)
    weight = learner.trainable_variables[0]
    seen = []
    for batch in Loader(corpus["train"], CONFIG, workers=0).epoch(0):
        learner.train_on_batch(batch.waveforms, batch.labels)
        seen.append(weight.numpy())
    expected = seen[0]
    for value in seen:
        expected = (1 - 1 / 12) * expected + value / 12
    with fit.averaged(learner):
        lent = weight.numpy()
    assert np.array_equal(weight.numpy(), seen[-1])
    assert not np.allclose(lent, seen[-1], atol=1e-6)
    assert np.allclose(lent, expected, atol=1e-6)


def test_a_run_is_not_gone_on_with_by_another_configuration(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({}))
    with pytest.raises(ValueError, match="goes on with the configuration that it began with"):
        fit.fit(CONFIG, [], tmp_path)


@pytest.mark.parametrize("partition", ["train", "dev"])
def test_a_partition_of_one_class_is_refused_before_anything_is_learned(
    corpus: dict[str, list[Recording]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, partition: str
) -> None:
    corpus[partition] = [r for r in corpus[partition] if r.utterance.key == "bonafide"]
    monkeypatch.setattr(fit, "learn", lambda *_, **__: pytest.fail("learned"))
    with pytest.raises(ValueError, match=rf"both classes, .* Received: \d+ bonafide, 0 spoof in {partition}\."):
        fit.fit(CONFIG, [], tmp_path)


def test_clips_that_nothing_is_learned_from_are_named(
    corpus: dict[str, list[Recording]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lonely = [Recording(Utterance("S", f"c{n}", None, "bonafide"), "speech", np.ones(RATE, np.int16)) for n in range(3)]
    corpus["train"] += lonely
    one_epoch = CONFIG.model_copy(update={"fit": CONFIG.fit.model_copy(update={"epochs": 1})})
    fit.fit(one_epoch, [], tmp_path)
    assert "not learned from: 3 clips of speech: it has one class" in capsys.readouterr().out


def test_the_logit_of_a_clip_is_the_mean_of_its_windows(corpus: dict[str, list[Recording]]) -> None:
    class Mean:
        def predict_on_batch(self, windows: np.ndarray) -> np.ndarray:
            return windows[:, :2]

    some = corpus["dev"] + corpus["train"]  # three pieces
    found = fit.clip_logits(Mean(), some, CONFIG)
    assert found.shape == (76, 2)
    assert np.allclose(found[:, 0], [r.waveform[[0, 4_000, 8_000]].mean() for r in some])


def test_training_decodes_as_serving_does(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def decode(path: Path, *, sample_rate: int, channel: int) -> Clip:
        assert (path, sample_rate, channel) == (tmp_path, RATE, 0)
        waveforms = {0: np.array([0, 0.5, -2.0, 1.5, 0], np.float32)}
        return Clip("FLAC/PCM_16", False, RATE, 1, 0.001, waveforms, {0: 0.0})

    monkeypatch.setattr(dataset.audio, "decode", decode)
    samples = dataset._decode(Utterance("S", "u", None, "bonafide", tmp_path), sample_rate=RATE)
    assert samples.tolist() == [16_384, -32_767, 32_767]  # without the silence around, nor the offset


def test_statistics_are_those_of_the_weights_that_are_served(corpus: dict[str, list[Recording]]) -> None:
    """Weights with the statistics of others are another network; with their own they are the one that learned."""
    keras.utils.set_random_seed(0)
    learner = fit.make_learner(STILL, fit.make_branches(STILL))
    batches = list(Loader(corpus["train"], STILL, workers=0).epoch(0))
    waveforms = np.concatenate([batch.waveforms for batch in batches])
    layers = [layer for layer in learner._flatten_layers() if isinstance(layer, keras.layers.BatchNormalization)]
    for layer in layers:  # as if they were of weights a while ago
        layer.moving_mean.assign(layer.moving_mean + 3)
        layer.moving_variance.assign(layer.moving_variance * 9)
    learned = np.asarray(learner(waveforms, training=True))
    before = np.asarray(learner(waveforms, training=False))
    for _ in range(2):  # the second time gives what the first did
        fit.estimate_statistics(learner, batches)
        after = np.asarray(learner(waveforms, training=False))
        assert np.abs(after - learned).mean() < 0.1 * np.abs(before - learned).mean()
    assert {layer.momentum for layer in layers} == {0.97}


def test_some_spoofs_are_signals_that_nobody_spoke(
    corpus: dict[str, list[Recording]], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = np.full(CONFIG.input.window_samples, 0.25, np.float32)
    monkeypatch.setattr(loader.non_speech, "random_window", lambda rng, *, samples, sample_rate: made)
    config = CONFIG.model_copy(
        update={"fit": CONFIG.fit.model_copy(update={"not_speech": 0.5}), "augment": AugmentConfig()}
    )
    made_here = Loader(corpus["train"], config, workers=0)
    drawn = [batch for epoch in range(5) for batch in made_here.epoch(epoch)]
    waveforms, labels, spoken = (np.concatenate(parts) for parts in zip(*drawn, strict=True))
    assert np.array_equal(spoken, ~(waveforms == 0.25).all(axis=1))
    assert 0.3 < spoken[labels[:, 0] == 0].mean() < 0.7
    assert spoken[labels[:, 0] == 1].all()


def test_signals_that_nobody_spoke_pass_codecs_more_often(
    corpus: dict[str, list[Recording]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loader, "augment", lambda window, config, rng, *, sample_rate: window * 0 + config.codec)
    for of_all, of_sounds, heard in ((0.1, 0.5, 0.5), (0.1, 0.0, 0.1)):
        fitting = CONFIG.fit.model_copy(update={"not_speech": 0.5, "not_speech_codec": of_sounds})
        config = CONFIG.model_copy(update={"fit": fitting, "augment": AugmentConfig(codec=of_all)})
        (batch, *_) = Loader(corpus["train"], config, workers=0).epoch(0)
        assert np.allclose(batch.waveforms[:, 0], np.where(batch.spoken, of_all, heard))
        assert not batch.spoken.all()


def test_a_run_may_begin_with_the_weights_of_another(tmp_path: Path) -> None:
    fit.fit(CONFIG, [], tmp_path / "first")
    short = CONFIG.model_copy(update={"fit": CONFIG.fit.model_copy(update={"epochs": 1, "learning_rate": 1e-5})})
    fit.fit(short, [], tmp_path / "further", start=tmp_path / "first")
    fit.fit(short, [], tmp_path / "anew")
    losses = {name: fit.read_history(tmp_path / name)["loss"] for name in ("first", "further", "anew")}
    assert losses["further"][0] < 1.2 * losses["first"][-1] < losses["anew"][0]

    other = short.model_copy(update={"branches": {"main": BranchConfig(options={**BRANCH.options, "dense": 9})}})
    with pytest.raises(ValueError, match="begins with the weights of branches that are named and made alike"):
        fit.fit(other, [], tmp_path / "other", start=tmp_path / "first")


def test_teachers_are_a_part_of_the_labels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    short = CONFIG.model_copy(
        update={"fit": CONFIG.fit.model_copy(update={"epochs": 1, "distillation": 0.7, "not_speech": 0.5})}
    )
    teacher = tmp_path / "teacher"
    model = keras.saving.load_model(fit.fit(short, [], teacher), compile=False)
    batch = next(Loader(dataset.load([], "train", sample_rate=16_000), short, workers=0).epoch(0))
    probability = 1 / (1 + np.exp(-model.predict_on_batch(batch[0]).astype(np.float64)))

    def given(teachers: list[Path]) -> Batch:
        """The first batch that a run of such teachers learns from."""
        found = []
        monkeypatch.setattr(fit, "learn", lambda _, batches, **__: found.extend(islice(batches, 1)) or 0.0)
        fit.fit(short, [], tmp_path / f"taught by {len(teachers)}", teachers=teachers)
        return found[0]

    waveforms, labels, spoken = given([teacher, teacher])
    np.testing.assert_array_equal(waveforms, batch.waveforms)
    np.testing.assert_array_equal(spoken, batch.spoken)
    assert {*spoken.tolist()} == {True, False}
    share = np.where(spoken, 0.7, 0)  # of what nobody spoke, its label is all that is known
    np.testing.assert_allclose(labels[:, 0], (1 - share) * batch.labels[:, 0] + share * probability, rtol=1e-5)
    np.testing.assert_array_equal(given([]).labels, batch.labels)

    for other in (InputConfig(window_seconds=1.0), InputConfig(sample_rate=8_000, window_seconds=1.0)):
        unlike = CONFIG.model_copy(update={"input": other})
        with pytest.raises(ValueError, match="windows as long as its student's, at the same rate: .* at 16000 Hz"):
            fit.fit(unlike, [], tmp_path / str(other.sample_rate), teachers=[teacher])
