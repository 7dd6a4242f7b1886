"""Partial spoofs: the passage is where the table says, and a detector that hears it is told from one that does not."""

import csv
import json
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import soundfile

from model_store.detector import Detector, Segment
from model_store.store import Store
from tests.corpora import make_corpus
from tests.fake_detector import FakeDetector, bright
from training.__main__ import main
from training.corpus import CorpusError, read_partition
from training.localise import FRAME_SECONDS, POOLINGS, Passage, timeline
from training.partial import TABLE, make


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("partial") / "LA"
    return make_corpus(root, partitions=("dev",), speakers=3, clips=6, attacks=("A01",), spoof=bright)


@pytest.fixture(scope="module")
def made(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("made") / "partial"
    make(corpus, "dev", out, versions=2, seed=0)
    return out


def rows(made: Path) -> list[dict[str, str]]:
    with (made / TABLE).open(newline="") as file:
        return list(csv.DictReader(file))


def samples(made: Path, row: dict[str, str]) -> np.ndarray:
    return soundfile.read(made / "ASVspoof2019_LA_dev" / "flac" / f"{row['id']}.flac")[0]


def test_the_protocol_and_the_table_say_the_same(made: Path, corpus: Path) -> None:
    table, known = rows(made), {u.id: u for u in read_partition(corpus, "dev")}
    utterances = read_partition(made, "dev")
    assert [(u.id, u.key, u.attack or "-", u.speaker) for u in utterances] == [
        (row["id"], row["key"], row["attack"], row["speaker"]) for row in table
    ]
    assert [row["kind"] for row in table if row["kind"] != "whole"] == ["partial", "control"] * 6
    for row in table:
        assert 6 <= len(samples(made, row)) / 16_000 <= 10
        assert {known[name].speaker for name in row["clips"].split("+")} == {row["speaker"]}
        if row["kind"] != "whole":
            donor = known[row["donor"]]
            assert donor.key == row["key"]
            assert 0.9 <= float(row["end_seconds"]) - float(row["start_seconds"]) <= 3
        if row["kind"] == "control":
            assert known[row["donor"]].speaker != row["speaker"]


def test_a_clip_differs_from_its_control_in_the_passage_alone(made: Path) -> None:
    table = rows(made)
    pairs = [(a, b) for a, b in pairwise(table) if (a["kind"], b["kind"]) == ("partial", "control")]
    assert pairs
    for one, other in pairs:
        a, b = samples(made, one), samples(made, other)
        differ = np.flatnonzero(np.abs(a - b) > 1e-4) / 16_000
        assert differ[0] >= min(float(row["start_seconds"]) for row in (one, other))
        assert differ[-1] <= max(float(row["end_seconds"]) for row in (one, other))
        assert differ[-1] - differ[0] > 0.8


def test_the_same_seed_makes_the_same_set(corpus: Path, made: Path, tmp_path: Path) -> None:
    make(corpus, "dev", tmp_path / "again", versions=2, seed=0)
    assert (tmp_path / "again" / TABLE).read_bytes() == (made / TABLE).read_bytes()


def test_a_corpus_with_too_little_is_refused(tmp_path: Path) -> None:
    short = make_corpus(tmp_path / "short", partitions=("dev",), speakers=2, clips=1)
    with pytest.raises(CorpusError, match=r"6 s of bonafide clips.*Received"):
        make(short, "dev", tmp_path / "out", seed=0)
    assert [path.name for path in tmp_path.iterdir()] == ["short"]
    with pytest.raises(ValueError, match=r"is written to an empty folder. Received: .*short"):
        make(short, "dev", short, seed=0)


def test_a_set_is_there_whole_or_not_at_all(corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(soundfile, "write", killed)
        with pytest.raises(KeyboardInterrupt):
            make(corpus, "dev", tmp_path / "out", versions=2, seed=0)
    assert not (tmp_path / "out").exists()
    assert make(corpus, "dev", tmp_path / "out", versions=2, seed=0)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def measured(made: Path, detector: FakeDetector, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> dict[str, Any]:
    monkeypatch.setattr(Detector, "load", lambda folder: detector)
    monkeypatch.setattr(Store, "resolve", lambda self, name: made)
    assert main(["partial", "measure", "--model", "fake", "--corpus", str(made), "--partition", "dev"]) == 0
    return dict(json.loads(capsys.readouterr().out))


def test_a_detector_that_hears_the_passage_finds_it(
    made: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    figures = measured(made, FakeDetector(), monkeypatch, capsys)
    assert figures["clips"] == {"partial spoof": 6, "control bonafide": 6, "whole bonafide": 3, "whole spoof": 3}
    assert figures["detection"]["lowest"]["partial"]["eer_percent"] == 0
    assert figures["detection"]["speech_weighted_mean"]["whole"]["eer_percent"] == 0
    said = {name: round(percent) for name, percent in figures["called_bonafide_percent"]["balanced"].items()}
    assert said == {"partial spoof": 100, "control bonafide": 100, "whole bonafide": 100, "whole spoof": 0}
    found = figures["localisation"]
    assert found["found_percent"] == 100
    assert found["found_blindly_percent"] < 60
    assert found["mean_distance_seconds"] < 0.2 < found["mean_distance_blindly_seconds"]
    assert found["frame_eer_percent"] < 15


def test_a_deaf_detector_does_not(
    made: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("tests.fake_detector.listen", lambda waveform: float(waveform[0]))
    figures = measured(made, FakeDetector(), monkeypatch, capsys)
    assert figures["detection"]["lowest"]["partial"]["eer_percent"] > 20
    assert figures["localisation"]["found_percent"] < 100


def test_the_lowest_window_is_of_those_with_speech() -> None:
    logits = np.array([-5.0, 1.0, 2.0], np.float32)
    assert POOLINGS["lowest"](logits, np.array([0.0, 1.0, 1.0])) == 1
    assert POOLINGS["lowest"](logits, np.zeros(3)) == -5


def test_a_segment_finds_a_passage_by_half_of_the_shorter() -> None:
    passage = Passage("partial", 2.0, 3.0)
    segment = {start: Segment(start, start + 3, 0.0, 0.0, 1.0) for start in (0.0, 2.5, 2.6)}
    assert [passage.found_by(s) for s in segment.values()] == [True, True, False]
    assert passage.distance(segment[0.0]) == pytest.approx(0.5)
    assert passage.distance(segment[2.5]) == pytest.approx(1.0)
    assert Passage("partial", 0.0, 9.0).found_by(segment[2.6])  # the segment lies within


def test_a_timeline_is_the_mean_of_the_segments_over_it() -> None:
    late = SimpleNamespace(segments=(Segment(0.5, 2.0, 4.0, 0.0, 1.0), Segment(1.0, 3.0, 0.0, 0.0, 1.0)))
    values = timeline(late)  # type: ignore[arg-type]
    assert values.size == round(3 / FRAME_SECONDS)
    assert values[[0, 9, 10, 19, 20, 29]].tolist() == [4, 4, 2, 2, 0, 0]
