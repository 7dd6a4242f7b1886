"""From a checkpoint to an answer of the service, and to the scores of the authors' own code."""

import csv
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from model_store import audio
from model_store.detector import Detector
from model_store.store import Store, sha256, verify
from tests.aasist_by_hand import ByHand
from tests.checkpoints import made_aasist, write_checkpoint
from tests.made_store import make_corpus
from tests.serving import serving
from tests.signals import speech
from tests.test_aasist import TINY
from training import import_aasist, output
from training.__main__ import main
from training.checkpoint import read_checkpoint
from training.corpus import read_partition
from training.state_dict import CheckpointError

TENSORS = made_aasist(TINY, seed=1)
SAMPLES = 16_000


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a made checkpoint, and a store that it was imported to twice: as it is, and calibrated."""
    root = tmp_path_factory.mktemp("import")
    checkpoint = write_checkpoint(root / "made.pth", TENSORS)
    make_corpus(root / "made")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(import_aasist.SIZES, "aasist_l", TINY)
        patch.setattr(import_aasist, "WINDOW_SAMPLES", SAMPLES)
        command = ["import-aasist", str(checkpoint), "--store", str(root / "store")]
        assert main(command) == 0
        assert main([*command, "--corpus", str(root / "made")]) == 0
    return root


def test_the_artifact_says_where_it_comes_from_and_that_nothing_was_fitted(made: Path) -> None:
    folder = Store(made / "store").resolve("aasist_l@1")
    manifest = verify(folder)
    assert (manifest.input.sample_rate, manifest.input.window_samples, manifest.input.hop_samples) == (
        *(16_000, SAMPLES, SAMPLES // 2),
    )
    assert manifest.training["imported"] == {"file": "made.pth", "sha256": sha256(made / "made.pth")}
    assert "MIT, Copyright (c) 2021-present NAVER Corp." in manifest.data[0].licence
    assert manifest.input.trim_below_db is None
    for line in manifest.output.calibration.values():
        assert (line.slope, line.intercept, line.fitted_on) == (1, 0, "nothing")
    assert {point.measured_on for point in manifest.output.operating_points.values()} == {"nothing"}
    card = (folder / "card.md").read_text()
    assert "Silence around a clip is left as it is." in card
    assert "operating points are placeholders" in card
    assert sha256(made / "made.pth") in card


def test_with_a_corpus_it_is_calibrated_on_dev(made: Path) -> None:
    folder = Store(made / "store").resolve("aasist_l@2")
    manifest = verify(folder)
    assert {line.fitted_on for line in manifest.output.calibration.values()} == {
        # A02 is one of ASVspoof 2019's
        f"made, dev, {' and '.join(output.FITTED)}: 4 bonafide clips, 4 spoofs of 1 attacks also in training"
    }
    assert set(manifest.metrics["made"]) == {"dev"}
    assert set(manifest.data[1].protocols) == {"dev"}
    card = (folder / "card.md").read_text()
    assert "placeholders" not in card


def test_it_is_served_beside_another_model(made: Path, store: Path, tmp_path: Path) -> None:
    both = tmp_path / "store"
    shutil.copytree(store / "simple_cnn", both / "simple_cnn")
    shutil.copytree(made / "store" / "aasist_l" / "1", both / "aasist_l" / "1")
    signal = speech(seconds=0.9).astype(np.float32)
    soundfile.write(tmp_path / "clip.wav", signal, 16_000, subtype="FLOAT")
    with serving(both, models="simple_cnn,aasist_l") as client:
        clip = {"content": (tmp_path / "clip.wav").read_bytes(), "headers": {"Content-Type": "audio/wav"}}
        answer = client.post("/detect", params={"model": "aasist_l"}, **clip).json()
        default = client.post("/detect", **clip).json()
    assert (answer["model"]["family"], default["model"]["family"]) == ("aasist_l", "simple_cnn")
    expected = ByHand(TENSORS, TINY).logits(np.resize(signal, SAMPLES))[1]
    assert answer["score"] == pytest.approx(expected, abs=1e-3)


def test_another_checkpoint_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(import_aasist, "SIZES", {"aasist": TINY})
    monkeypatch.setattr(import_aasist, "WINDOW_SAMPLES", SAMPLES)
    changed = {**TENSORS, "head.weight": np.zeros(3, np.float32), "out_layer.bias": np.zeros(3, np.float32)}
    del changed["master1"]
    faults = r"1 missing: master1; 1 not expected: head\.weight; 1 of another shape: out_layer\.bias\."
    with pytest.raises(CheckpointError, match=f"of aasist has each of its tensors. Received: {faults}"):
        import_aasist.recognise(changed)
    with pytest.raises(CheckpointError, match=r"\d{3} missing: GAT_layer_S\.att_proj\.bias, .*, …\."):
        import_aasist.recognise({})


def test_the_authors_checkpoints_are_told_apart(shared_data: Callable[[str], Path]) -> None:
    for name, family in (("AASIST.pth", "aasist"), ("AASIST-L.pth", "aasist_l")):
        assert import_aasist.recognise(read_checkpoint(shared_data("aasist") / name))[0] == family


def test_it_gives_the_scores_of_the_authors_code(shared_data: Callable[[str], Path], tmp_path: Path) -> None:
    """Every 41st of the 205 clips; all of them where BONAFIDE_SLOW_TESTS is set (about 2 minutes)."""
    published = import_aasist.import_aasist(shared_data("aasist") / "AASIST.pth", tmp_path)
    detector = Detector.load(Store(tmp_path).resolve(published.name))
    with (shared_data("aasist") / "reference_scores_AASIST.csv").open() as file:
        expected = {row["id"]: float(row["score"]) for row in csv.DictReader(file)}
    corpus = shared_data("asvspoof2019_la_sample")
    utterances = [*read_partition(corpus, "train"), *read_partition(corpus, "dev")]
    assert {u.id for u in utterances} == expected.keys()
    step = 1 if os.environ.get("BONAFIDE_SLOW_TESTS") else 41
    for utterance in utterances[::step]:
        waveform = audio.decode(utterance.path, sample_rate=16_000, channel=0).waveforms[0]
        (score,) = detector.score([waveform[:64_600]])  # theirs is of the first window alone
        assert score.logit == pytest.approx(expected[utterance.id], abs=1e-3), utterance.id
