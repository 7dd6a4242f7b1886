"""The evaluation and its report: known counts, and a page that says what the JSON says and needs no network."""

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import jinja2
import numpy as np
import pytest
from matplotlib.image import imread

from training import evaluate as module
from training.evaluate import Subject, add_arguments, evaluate, run, write_report
from training.report import render
from training.summary import summarise
from training.trials import Trial, write_trials

HISTORY = {"loss": [0.9, 0.5, 0.2, 0.1], "dev_loss": [0.8, 0.6, 0.5, 0.9], "dev_eer": [0.3, 0.1, 0.2, 0.2]}
SUBJECT = Subject(
    system="small <cnn>", corpus="Made", partition="dev", channel="through G.711", operating_point="chosen by hand"
)


@pytest.fixture(scope="module")
def trials() -> list[Trial]:
    """20 bonafide clips and 100 spoofs, of which the threshold 0 gets 2 and 10 wrong."""
    scores = np.linspace(0.5, 3, 120)
    bonafide = [Trial(f"S{n % 10}", f"b{n}", None, "bonafide", scores[n] * (-1 if n < 2 else 1)) for n in range(20)]
    spoof = [
        Trial(f"S{n % 10}", f"s{n}", "A01" if n < 60 else "A02", "spoof", scores[n] * (1 if n >= 90 else -1))
        for n in range(100)
    ]
    return bonafide + spoof


def test_errors_are_counted_at_the_threshold(trials: list[Trial]) -> None:
    figures = evaluate(trials, threshold=0)
    point = figures["operating_point"]
    assert (point["false_accepts"], point["false_rejects"]) == (10, 2)
    assert (point["false_accept_percent"], point["false_reject_percent"]) == (10, 10)
    assert point["false_accept_interval_percent"][0] < 10 < point["false_accept_interval_percent"][1]
    assert figures["natural"]["confusion"] == [[18, 2], [10, 90]]
    assert figures["natural"]["accuracy_percent"] == pytest.approx(90)
    assert figures["natural"]["bonafide"]["precision_percent"] == pytest.approx(100 * 18 / 28)


def test_the_balanced_set_has_as_many_of_each(trials: list[Trial]) -> None:
    balanced = evaluate(trials, threshold=0, seed=3)["balanced"]
    assert balanced["confusion"][0] == [18, 2]
    assert sum(balanced["confusion"][1]) == 20
    # The same recall and another mixture: more of what is called bonafide is bonafide.
    assert balanced["bonafide"]["precision_percent"] > 75


def test_each_attack_has_its_false_accepts(trials: list[Trial]) -> None:
    attacks = evaluate(trials, threshold=0)["attacks"]
    assert [attacks[name]["spoof"] for name in ("A01", "A02")] == [60, 40]
    assert [attacks[name]["false_accepts"] for name in ("A01", "A02")] == [0, 10]
    assert attacks["A02"]["false_accept_percent"] == 25
    assert attacks["A01"]["false_accept_interval_percent"][1] > 5  # 0 of 60 is not certainty


def test_an_evaluation_is_json_and_repeats_with_its_seed(trials: list[Trial]) -> None:
    figures = evaluate(trials, threshold=0, history=HISTORY, seed=1)
    assert json.loads(json.dumps(figures, allow_nan=False)) == figures
    assert figures == evaluate(trials, threshold=0, history=HISTORY, seed=1)
    assert figures != evaluate(trials, threshold=0, history=HISTORY, seed=2)
    assert figures["history"] == HISTORY
    assert summarise(trials, seed=1)["eer_interval_percent"] == figures["eer_interval_percent"]


def test_each_operating_point_and_each_class_of_channel_has_its_errors(trials: list[Trial]) -> None:
    heard = [replace(t, channel_class="coded" if n % 2 else "wideband") for n, t in enumerate(trials)]
    figures = evaluate(heard, threshold=0, points={"low": -9, "high": 9})
    assert figures["operating_points"]["low"]["false_accepts"] == 100
    assert figures["operating_points"]["high"]["false_rejects"] == 20
    classes = figures["channel_classes"]
    assert set(classes) == {"coded", "wideband"}
    for count in ("bonafide", "spoof"):
        assert sum(classes[name][count] for name in classes) == figures["trials"][count]
    assert sum(classes[name]["false_accepts"] for name in classes) == 10
    assert evaluate(trials, threshold=0)["channel_classes"] == {}  # a score file does not tell


def test_a_threshold_is_finite(trials: list[Trial]) -> None:
    with pytest.raises(ValueError, match=r"A threshold is finite\. Received: nan"):
        evaluate(trials, threshold=float("nan"))


class Page(HTMLParser):
    """What a page shows and where it points to."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.pictures: list[dict[str, str | None]] = []
        self.words: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.links += [value for name, value in attributes if name in {"src", "href"} and value]
        if tag == "img":
            self.pictures.append(dict(attributes))

    def handle_data(self, data: str) -> None:
        if not self.rawdata.startswith("<style"):
            self.words.append(data)


@pytest.fixture(scope="module")
def report(trials: list[Trial], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("reports") / "new" / "folder"
    page = write_report(evaluate(trials, threshold=0, history=HISTORY), trials, folder, subject=SUBJECT)
    assert page == folder / "index.html"
    return folder


def test_the_page_stands_alone_in_its_folder(report: Path) -> None:
    page = Page(report / "index.html")
    assert {link for link in page.links if not (report / link).is_file()} == set()
    assert {picture["src"] for picture in page.pictures} == {path.name for path in report.glob("*.png")}
    assert len(page.pictures) == 8
    assert all(picture["alt"] for picture in page.pictures)
    assert "://" not in (report / "index.html").read_text()


def test_each_picture_shows_something_on_white(report: Path) -> None:
    for path in report.glob("*.png"):
        pixels = imread(path)[..., :3]
        assert min(pixels.shape[:2]) > 300, path
        assert pixels[:3, :3].min() == 1, path
        assert np.mean(pixels.min(axis=-1) < 0.5) > 0.002, path


def test_the_page_says_what_the_json_says(report: Path, trials: list[Trial]) -> None:
    figures = json.loads((report / "evaluation.json").read_text())
    assert figures.pop("subject")["channel"] == "through G.711"
    assert figures == evaluate(trials, threshold=0, history=HISTORY)
    text = Page(report / "index.html").text
    for claim in (
        "Evaluation of small <cnn>",
        "120 clips · Made · dev partition · through G.711",
        "20 bonafide , which are people speaking, and 100 spoof ,",
        "0.000 or more: chosen by hand",
        "10.0 of 100 spoofs pass, and 10.0 of 100 bonafide clips are turned away",
        f"{figures['eer_percent']:.2f} % here",
        "with other speakers too, the EER's is {:.2f} to {:.2f} %".format(
            *figures["eer_interval_over_speakers_percent"]
        ),
        f"A02 40 {figures['attacks']['A02']['eer_percent']:.2f} %",
        "All clips 90.00 % 64.29 % 90.00 % 75.00 % 97.83 % 90.00 % 93.75 %",
        f"the scores cost {figures['cllr']:.3f} bits",
        "grey on the training clips, black on held-out ones",
    ):
        assert claim.lower() in text.lower()
    assert "t-DCF" not in text  # there were no ASV scores


def test_a_page_without_history_or_speakers_claims_neither(tmp_path: Path, trials: list[Trial]) -> None:
    nameless = [Trial("-", t.utterance, None, t.key, t.score) for t in trials]
    figures = evaluate(nameless, threshold=99)
    write_report(figures, nameless, tmp_path, subject=SUBJECT)
    page = Page(tmp_path / "index.html")
    assert figures["history"] is None
    assert figures["natural"]["bonafide"]["precision_percent"] is None
    assert not (tmp_path / "training.png").exists()
    assert "epoch" not in page.text
    assert "other speakers too" not in page.text
    assert "unknown 100" in page.text


def test_a_template_that_needs_more_than_it_gets_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(jinja2.UndefinedError):
        render("evaluation.html.j2", tmp_path / "index.html")


def arguments(*words: str | Path) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return parser.parse_args([str(word) for word in words])


def test_a_report_on_a_file_of_scores(tmp_path: Path, trials: list[Trial]) -> None:
    write_trials(tmp_path / "scores.txt", trials)
    (tmp_path / "asv.txt").write_text("bonafide target 1\nbonafide nontarget 0\nA01 spoof 2\n")
    words = ("--scores", tmp_path / "scores.txt", "--asv", tmp_path / "asv.txt", "--out", tmp_path / "out")
    with pytest.raises(ValueError, match="need a --threshold"):
        run(arguments(*words))
    assert run(arguments(*words, "--threshold", "0", "--partition", "eval")) == 0
    figures = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    assert figures["subject"]["system"] == "scores.txt"
    assert figures["subject"]["channel"] == "through a channel that was not named"
    assert figures["operating_point"]["false_accepts"] == 10
    assert f"min t-DCF {figures['min_tdcf']:.4f}" in Page(tmp_path / "out" / "index.html").text


def test_a_report_on_an_artifact_takes_its_threshold_and_history_from_the_manifest(
    tmp_path: Path, trials: list[Trial], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []

    def score_corpus(store: Path, model: str, corpus: Path, partition: str, *, channel: str) -> list[Trial]:
        asked.append((store, model, corpus, partition, channel))
        return trials

    def read_manifest(folder: Path) -> SimpleNamespace:
        assert folder == tmp_path / "cnn" / "2"
        point = SimpleNamespace(threshold=-1.0)
        output = SimpleNamespace(operating_points={"balanced": point})
        return SimpleNamespace(name="cnn@2", output=output, metrics={"history": HISTORY})

    scorer = ModuleType("training.score")
    scorer.score_corpus = score_corpus  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "training.score", scorer)
    monkeypatch.setattr(module, "read_manifest", read_manifest)
    monkeypatch.setattr(module, "read_to_judge", lambda corpus, partition: [])
    (tmp_path / "cnn" / "2").mkdir(parents=True)
    words = ("--store", tmp_path, "--model", "cnn", "--out", tmp_path / "out")
    with pytest.raises(ValueError, match="needs a --corpus"):
        run(arguments(*words))
    assert run(arguments(*words, "--corpus", tmp_path / "made" / "LA", "--channel", "telephone")) == 0
    assert asked == [(tmp_path, "cnn@2", tmp_path / "made" / "LA", "eval", "telephone")]
    figures = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    assert figures["threshold"] == -1
    assert figures["history"] == HISTORY
    assert figures["subject"] == {
        "system": "cnn@2",
        "corpus": "made",
        "partition": "eval",
        "channel": "through 8 kHz mu-law",
        "operating_point": "the artifact's balanced operating point",
    }


def test_a_report_has_one_source_of_scores(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words in ((), ("--scores", "scores.txt", "--model", "cnn")):
        with pytest.raises(SystemExit):
            arguments("--out", tmp_path, *words)
        assert "--scores" in capsys.readouterr().err


def test_the_organisers_baseline_is_reported_whole(shared_data: Callable[[str], Path], tmp_path: Path) -> None:
    folder = shared_data("asvspoof2019_la_reference")
    words = ("--scores", folder / "B02_LFCC-GMM_LA_primary_eval.txt.gz", "--threshold", "1.030105")
    asv = folder / "ASVspoof2019.LA.asv.eval.gi.trl.scores.txt.gz"
    run(arguments(*words, "--asv", asv, "--out", tmp_path))
    text = Page(tmp_path / "index.html").text
    assert "Equal error rate 8.09 %" in text
    assert "min t-DCF 0.2111" in text
    assert "8.1 of 100 spoofs pass, and 8.1 of 100 bonafide clips are turned away" in text
    assert "from 13 attacks" in text
