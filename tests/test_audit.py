"""The audit counts what a known detector does, and its page says what its JSON says."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.image import imread

from model_store.detector import Detector
from model_store.store import Store
from tests.corpora import make_corpus
from tests.fake_detector import FakeDetector, Waveform, bright
from tests.test_evaluate import Page
from training import audit as module
from training.__main__ import main
from training.corpus import CorpusError, Key, Utterance, read_partition
from training.kinds import kinds, read_provenance
from training.non_speech import SIGNALS, random_window
from training.recordings import Recording, runs, stratified
from training.stability import Answer, agreed, movement
from training.transforms import TRANSFORMS

RATE = 16_000


def answer(value: float) -> Answer:
    return Answer(value, {"balanced": "bonafide" if value >= 0 else "spoof"})


def recording(name: str, *, speaker: str = "S1", seconds: float = 1.0, key: Key = "bonafide") -> Recording:
    utterance = Utterance(speaker, name, "A01" if key == "spoof" else None, key)
    return Recording(utterance, np.zeros(round(seconds * RATE), np.float32), RATE)


def test_movement_counts_what_changed_and_to_what() -> None:
    before = [answer(value) for value in (1.0, 1.0, -1.0, -1.0)]
    after = [answer(1.5), answer(-1.0), Answer(-1.0, {"balanced": "inconclusive"}), answer(-1.0)]
    keys: list[Key] = ["bonafide", "bonafide", "spoof", "spoof"]
    figures = movement(before, after, keys, points=["balanced"], seed=0)
    at = figures["points"]["balanced"]
    assert (at["compared"], at["changed"], at["changed_percent"]) == (4, 2, 50)
    assert (at["to_spoof_percent"], at["to_inconclusive_percent"], at["to_bonafide_percent"]) == (25, 25, 0)
    assert at["changed_interval_percent"] == pytest.approx([15.0, 85.0], abs=0.1)  # Wilson's of 2 of 4
    assert figures["mean_change"] == pytest.approx(2.5 / 4)
    assert figures["mean_shift"] == pytest.approx(-1.5 / 4)
    assert figures["eer_percent"] == 25
    assert movement(before, before, keys, points=["balanced"], seed=0)["points"]["balanced"]["changed"] == 0
    assert movement(before[:2], after[:2], keys[:2], points=["balanced"], seed=0)["eer_percent"] is None


def test_clips_that_disagree_are_not_compared_when_joined() -> None:
    both = [agreed(answer(1.0), answer(3.0)), agreed(answer(1.0), answer(-1.0)), agreed(answer(-1.0), answer(-1.0))]
    assert [a.value for a in both] == [2, 0, -1]
    at = movement(both, [answer(-1)] * 3, ["bonafide"] * 3, points=["balanced"], seed=0)["points"]["balanced"]
    assert (at["compared"], at["changed"]) == (2, 1)


def test_a_draw_has_as_many_of_each_class_and_attack_and_grows_by_appending() -> None:
    utterances = [Utterance("S", f"b{n}", None, "bonafide") for n in range(50)]
    utterances += [Utterance("S", f"s{n}", "A01" if n < 90 else "A02", "spoof") for n in range(100)]
    drawn = stratified(utterances, count=40, seed=0)
    assert sum(u.key == "bonafide" for u in drawn) == 20
    assert [sum(u.attack == attack for u in drawn) for attack in ("A01", "A02")] == [10, 10]
    assert stratified(utterances, count=60, seed=0)[:40] == drawn != stratified(utterances, count=40, seed=1)
    everything = stratified(utterances, count=1000, seed=0)
    assert sorted(u.id for u in everything) == sorted(u.id for u in utterances)


def test_runs_keep_to_one_voice() -> None:
    recordings = [recording(f"{s}{n}", speaker=s) for n in range(5) for s in ("S1", "S2")]
    recordings.append(recording("x", speaker="S1", key="spoof"))
    found = runs(recordings, samples=2 * RATE)
    assert [[r.utterance.id for r in run] for run in found] == [
        ["S10", "S11"],
        ["S20", "S21"],
        ["S12", "S13"],
        ["S22", "S23"],
    ]


def test_kinds_count_errors_by_what_is_known(tmp_path: Path) -> None:
    (tmp_path / "provenance.csv").write_text("id,language,coding\na,en,\nb,en,MP3\nc,de,\n")
    provenance = read_provenance(tmp_path / "LA")
    assert provenance == read_provenance(tmp_path)
    recordings = [recording("a"), recording("b", seconds=2.5), recording("c", key="spoof"), recording("d")]
    tables = kinds(recordings, [answer(v) for v in (1, -1, 1, 1)], provenance, sample_rate=RATE, point="balanced")
    assert set(tables["Language"]) == {"en", "de"}
    assert (tables["Language"]["en"]["bonafide"]["clips"], tables["Language"]["en"]["bonafide"]["errors"]) == (2, 1)
    assert tables["Language"]["en"]["spoof"] is None
    assert tables["Language"]["de"]["spoof"]["error_percent"] == 100
    assert set(tables["Coding"]) == {"none", "MP3"}
    assert set(tables["Duration"]) == {"0 to 1.5 s", "2 to 3 s"}
    assert set(tables["Attack"]) == {"A01"}
    assert "Language" not in kinds(recordings[:1], [answer(1)], {}, sample_rate=RATE, point="balanced")


def test_provenance_has_ids_whatever_wrote_it(tmp_path: Path) -> None:
    table = tmp_path / "provenance.csv"
    table.write_bytes(b"\xef\xbb\xbfid,language\r\na,en\r\n")
    assert read_provenance(tmp_path) == {"a": {"id": "a", "language": "en"}}
    table.write_text("id;language\na;en\n")
    with pytest.raises(CorpusError, match="provenance.csv: a column is called id, between commas. Received: id;langu"):
        read_provenance(tmp_path)


def _pauses(waveform: Waveform) -> float:
    return 0.0 if waveform[:100].any() else -20.0


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a detector that calls all that begins with silence a spoof."""
    root = tmp_path_factory.mktemp("audit")
    make_corpus(root / "LA", partitions=("dev",), speakers=2, clips=3, spoof=bright)
    few = ("level_up", "silence_before", "silence_after", "pink_0", "telephone")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Detector, "load", lambda folder: FakeDetector(_pauses))
        patch.setattr(Store, "resolve", lambda self, name: root)
        patch.setattr(module, "SIGNALS", {"digital silence": SIGNALS["digital silence"]})
        patch.setattr(module.audit, "__kwdefaults__", {**module.audit.__kwdefaults__, "transforms": chosen(few)})
        command = ["audit", "--model", "fake", "--corpus", str(root / "LA"), "--partition", "dev", "--clips", "8"]
        assert main([*command, "--out", str(root / "out")]) == 0
    return root / "out"


def chosen(names: tuple[str, ...]) -> dict[str, Any]:
    return {name: TRANSFORMS[name] for name in names}


def test_an_audit_finds_what_moves_the_verdicts(report: Path) -> None:
    figures = json.loads((report / "audit.json").read_text())
    assert figures["clips"] == {"transformed": 8, "scored": 12}
    assert figures["summary"]["eer_percent"] == 0
    moved = {name: row["points"]["balanced"] for name, row in figures["transforms"].items()}
    assert (moved["level_up"]["changed"], moved["silence_after"]["changed"]) == (0, 0)
    assert (moved["silence_before"]["changed"], moved["silence_before"]["to_spoof_percent"]) == (4, 50)  # all bonafide
    assert figures["joined"]["points"]["balanced"]["changed"] == 0
    assert figures["lengths"]["3"]["bonafide"]["errors"] == 0
    assert figures["lengths"]["10"] is None  # nobody has as much
    assert figures["non_speech"]["original"]["digital silence"]["bonafide"] == {
        "low_friction": 0,
        "balanced": 0,
        "high_security": 0,
    }
    assert figures["batch_difference"] == 0


def test_the_page_stands_alone_and_says_what_the_json_says(report: Path) -> None:
    page = Page(report / "index.html")
    assert {link for link in page.links if not (report / link).is_file()} == set()
    assert {picture["src"] for picture in page.pictures} == {path.name for path in report.glob("*.png")}
    assert "://" not in (report / "index.html").read_text()
    for claim in (
        "Audit of fake@1",
        "8 clips transformed, 12 scored",
        "Verdicts moved at worst 50.0 %",
        "by 0.5 s of digital silence before, which should move none",
        "Called bonafide unspoken 0 of 32",
    ):
        assert claim in page.text


def test_each_picture_shows_something(report: Path) -> None:
    for path in report.glob("*.png"):
        pixels = imread(path)[..., :3]
        assert min(pixels.shape[:2]) > 200, path
        assert np.mean(pixels.min(axis=-1) < 0.5) > 0.001, path


def test_a_transform_does_to_a_clip_what_it_does_whatever_else_is_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SIGNALS", {})
    root = make_corpus(tmp_path / "LA", partitions=("dev",), speakers=1, clips=2, spoof=bright)
    utterances = read_partition(root, "dev")
    few, more = (
        module.audit(FakeDetector(), utterances, clips=2, transforms=chosen(names))  # type: ignore[arg-type]
        for names in (("pink_0",), ("white_20", "pink_0"))
    )
    assert few["transforms"]["pink_0"] == more["transforms"]["pink_0"]


def test_an_audit_takes_both_classes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["audit", "--model", "fake", "--corpus", str(tmp_path), "--out", str(tmp_path), "--clips", "1"]
    assert main(command) == 1
    assert "at least one clip of each class. Received: --clips 1" in capsys.readouterr().err


def test_a_random_window_is_any_signal_at_any_level() -> None:
    rng = np.random.default_rng(0)
    windows = [random_window(rng, samples=8_000, sample_rate=16_000) for _ in range(60)]
    assert {(window.shape, window.dtype.name) for window in windows} == {((8_000,), "float32")}
    levels = [10 * np.log10(np.mean(np.square(window))) for window in windows if window.any()]
    assert min(levels) < -45
    assert max(levels) > -20
    assert len({window.tobytes() for window in windows}) > 50
