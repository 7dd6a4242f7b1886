import argparse
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import soundfile

from tests.corpora import make_corpus
from training import explore
from training.clip_table import drawn, measured, read_corpora
from training.contents import contents, ranges
from training.corpus import CorpusError
from training.features import CORPUS, FEATURES, Feature, decode_as_is, measure
from training.findings import findings, rates, values
from training.shortcuts import HOW, constant, separation, together

BY_NAME = {feature.name: feature for feature in FEATURES}


def run(*arguments: object) -> None:
    parser = argparse.ArgumentParser()
    explore.add_arguments(parser)
    assert explore.run(parser.parse_args([str(argument) for argument in arguments])) == 0


def shortcuts_of(root: Path) -> set[str]:
    found, _ = explore.judge(measured(read_corpora([root])), FEATURES, seed=0)
    return {feature.name for feature, by_partition in found.items() if by_partition["train"].shortcut}


def table(bonafide: Any, spoof: Any, name: str = "duration_seconds", speakers: int = 5) -> pd.DataFrame:
    """A partition whose clips have the given values of one feature."""
    columns = [*bonafide, *spoof]
    return pd.DataFrame(
        {
            "id": [f"C{number}" for number in range(len(columns))],
            "speaker": [f"S{number % speakers}" for number in range(len(columns))],
            "key": ["bonafide"] * len(bonafide) + ["spoof"] * len(spoof),
            name: columns,
        }
    )


# The table -----------------------------------------------------------------------------------------------------


def sine(*, hertz: float, seconds: float = 1.0, amplitude: float = 0.5, sample_rate: int = 16_000) -> Any:
    return amplitude * np.sin(2 * np.pi * hertz * np.arange(round(seconds * sample_rate)) / sample_rate)


def test_a_tone_between_silences_measures_as_what_it_is() -> None:
    waveform = np.concatenate([np.zeros(3200), sine(hertz=1000), np.zeros(4800)]).astype(np.float32)
    found = measure(waveform, sample_rate=16_000)
    assert found.keys() == BY_NAME.keys()
    assert found["duration_seconds"] == 1.5
    assert found["leading_silence_seconds"] == pytest.approx(0.2, abs=0.011)
    assert found["trailing_silence_seconds"] == pytest.approx(0.3, abs=0.011)
    assert found["silence_share"] == pytest.approx(1 / 3, abs=0.01)
    assert found["digital_silence_share"] == pytest.approx(1 / 3, abs=0.001)
    assert found["peak_dbfs"] == pytest.approx(20 * np.log10(0.5), abs=0.01)
    assert found["rms_dbfs"] == pytest.approx(10 * np.log10(0.125 * 2 / 3), abs=0.01)
    assert found["crest_db"] == pytest.approx(found["peak_dbfs"] - found["rms_dbfs"])
    assert found["noise_floor_dbfs"] == pytest.approx(-120)
    assert found["dynamic_range_db"] == pytest.approx(120 + 10 * np.log10(0.125), abs=0.1)
    assert found["centroid_hz"] == pytest.approx(1000, abs=2)
    assert found["bandwidth_hz"] == pytest.approx(1000, abs=150)
    assert found["speech_seconds"] == 0
    assert all(type(value) is float for value in found.values())


def test_levels_at_the_ends_of_the_spectrum_are_relative_to_the_whole() -> None:
    low_and_middle = sine(hertz=32, seconds=2) + sine(hertz=1000, seconds=2) + 3 / 2**15
    found = measure(low_and_middle.astype(np.float32), sample_rate=16_000)
    assert found["below_60_hz_db"] == pytest.approx(10 * np.log10(1 / 2), abs=0.1)
    assert found["dc_offset_steps"] == pytest.approx(3, abs=0.01)
    assert found["above_7_khz_db"] < -60
    high = sine(hertz=7500, amplitude=0.2) + sine(hertz=1000, amplitude=0.4)
    assert measure(high.astype(np.float32), sample_rate=16_000)["above_7_khz_db"] == pytest.approx(
        10 * np.log10(1 / 5), abs=0.1
    )
    narrow = sine(hertz=1000, sample_rate=8000).astype(np.float32)
    assert np.isnan(measure(narrow, sample_rate=8000)["above_7_khz_db"])  # none, rather than very little


def test_digital_silence_and_the_shortest_clip_can_be_measured() -> None:
    for waveform in (np.zeros(4000, np.float32), np.full(4000, -1, np.float32)):
        found = measure(waveform, sample_rate=16_000)
        assert all(np.isfinite(value) for value in found.values())
    assert measure(np.zeros(4000, np.float32), sample_rate=16_000)["digital_silence_share"] == 1


@pytest.mark.parametrize("sample_rate", [8000, 16_000, 24_000])
def test_a_file_is_measured_at_its_own_rate(tmp_path: Path, sample_rate: int) -> None:
    soundfile.write(tmp_path / "clip.flac", sine(hertz=1000, sample_rate=sample_rate), sample_rate)
    waveform, rate = decode_as_is(tmp_path / "clip.flac")
    assert (rate, waveform.shape, waveform.dtype) == (sample_rate, (sample_rate,), np.float32)


def test_a_limit_draws_from_each_partition_and_class_by_the_seed(tmp_path: Path) -> None:
    utterances = read_corpora([make_corpus(tmp_path, speakers=3)])
    few = drawn(utterances, at_most=2, seed=1)
    assert few.groupby(["partition", "key"]).size().tolist() == [2, 2, 2, 2]
    assert few.equals(drawn(utterances, at_most=2, seed=1))
    assert not few.equals(drawn(utterances, at_most=2, seed=2))
    assert drawn(utterances, at_most=None, seed=1).equals(utterances)


def test_a_folder_without_any_protocol_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="protocols"):
        read_corpora([tmp_path])
    (tmp_path / "ASVspoof2019_LA_cm_protocols").mkdir()
    with pytest.raises(CorpusError, match="protocol file"):
        read_corpora([tmp_path])


# What it holds -------------------------------------------------------------------------------------------------


def test_contents_count_and_say_who_and_what_is_shared() -> None:
    rows = [
        ("train", "anna", "-", "bonafide"),
        ("train", "anna", "A01", "spoof"),
        ("train", "bert", "A02", "spoof"),
        ("dev", "anna", "-", "bonafide"),
        ("dev", "carl", "A02", "spoof"),
        ("dev", "carl", "A03", "spoof"),
    ]
    held = contents(pd.DataFrame(rows, columns=["partition", "speaker", "attack", "key"]))
    assert (held["clips"], held["speakers"]) == (6, 3)
    assert held["partitions"]["train"] == {
        "clips": {"bonafide": 1, "spoof": 2},
        "speakers": {"bonafide": 1, "spoof": 2, "all": 2},
        "speakers_of_both": 1,
        "attacks": ["A01", "A02"],
        "new_attacks": ["A01", "A02"],
    }
    assert held["partitions"]["dev"]["new_attacks"] == ["A03"]
    assert held["attacks"] == {
        "A01": {"train": 1, "dev": 0},
        "A02": {"train": 1, "dev": 1},
        "A03": {"train": 0, "dev": 1},
    }
    assert held["shared_speakers"] == [{"partitions": ["train", "dev"], "speakers": 1}]


@pytest.mark.parametrize(
    ("names", "text"),
    [
        (["A03", "A01", "A02", "A19"], "A01 to A03, A19"),
        (["A01", "A02"], "A01, A02"),
        (["A09", "A10", "A11"], "A09 to A11"),
        (["A1", "B2", "vocoder"], "A1, B2, vocoder"),
    ],
)
def test_consecutive_names_are_drawn_together(names: list[str], text: str) -> None:
    assert ranges(names) == text


# Shortcuts -----------------------------------------------------------------------------------------------------


def test_classes_that_nothing_but_the_label_tells_apart_have_no_shortcut(tmp_path: Path) -> None:
    assert shortcuts_of(make_corpus(tmp_path, partitions=["train"], speakers=10, clips=4)) == set()


@pytest.mark.parametrize(
    ("change", "gives_away"),
    [
        (lambda waveform: waveform + 20 / 2**15, {"dc_offset_steps", "below_60_hz_db"}),
        (lambda waveform: waveform / np.sqrt(np.mean(np.square(waveform))) / 16, {"rms_dbfs"}),  # all at one level
    ],
)
def test_a_shortcut_that_is_planted_is_found(tmp_path: Path, change: Any, gives_away: set[str]) -> None:
    found = shortcuts_of(make_corpus(tmp_path, partitions=["train"], speakers=10, clips=2, spoof=change))
    assert found & gives_away


def test_a_feature_counts_in_whichever_direction_it_separates() -> None:
    feature = BY_NAME["duration_seconds"]
    rng = np.random.default_rng(0)
    low, high, wide = rng.normal(0, 1, 200), rng.normal(2, 1, 200), rng.normal(0, 8, 200)
    for bonafide, spoof, how in [
        (high, low, "higher"),
        (low, high, "lower"),
        (low, wide, "near bonafide"),
        (wide, low, "near spoof"),
    ]:
        found = separation(table(bonafide, spoof), feature, seed=0)
        assert found is not None
        assert (found.how, found.shortcut) == (how, True)
        assert how in HOW
        assert found.eer == pytest.approx(0.16, abs=0.04)
        assert found.interval.low < found.eer < found.interval.high < 0.25
    alike = separation(table(low, rng.normal(0, 1, 200)), feature, seed=0)
    assert alike is not None
    assert not alike.shortcut
    assert alike.eer > 0.4


def test_categories_need_no_order() -> None:
    rate = BY_NAME["sample_rate"]
    clips = table([8000.0, 24_000.0] * 20, [16_000.0] * 40, name="sample_rate")
    found = separation(clips, rate, seed=0)
    assert found is not None
    assert (found.how, found.eer, found.shortcut) == ("category", 0, True)
    names = separation(table(["one"] * 40, ["other"] * 40, name="corpus"), CORPUS, seed=0)
    assert names is not None
    assert names.eer == 0
    same = separation(table([16_000.0] * 40, [16_000.0] * 40, name="sample_rate"), rate, seed=0)
    assert same is not None
    assert same.eer == 0.5


def test_intervals_are_over_speakers_where_there_are_ten() -> None:
    rng = np.random.default_rng(0)
    for speakers, over in ((10, "speakers"), (9, "clips")):
        clips = table(rng.normal(size=100), rng.normal(size=100), speakers=speakers)
        found = separation(clips, BY_NAME["duration_seconds"], seed=0)
        assert found is not None
        assert found.over == over


def test_a_feature_that_a_class_lacks_is_not_judged() -> None:
    clips = table([np.nan] * 20, [1.0] * 20)
    assert separation(clips, BY_NAME["duration_seconds"], seed=0) is None
    assert together(table([1.0] * 20, [1.0] * 20, speakers=4), [BY_NAME["duration_seconds"]], seed=0) is None


def test_features_that_tell_only_together_do_so() -> None:
    rng = np.random.default_rng(0)
    one, other = rng.choice([-1.0, 1.0], size=(2, 400))
    clips = pd.DataFrame(
        {
            "id": [f"C{number}" for number in range(400)],
            "speaker": [f"S{number % 20}" for number in range(400)],
            "key": np.where(one == other, "bonafide", "spoof"),
            "rms_dbfs": one + rng.normal(scale=0.1, size=400),
            "peak_dbfs": other + rng.normal(scale=0.1, size=400),
        }
    )
    pair = [BY_NAME["rms_dbfs"], BY_NAME["peak_dbfs"]]
    alone = [separation(clips, feature, seed=0) for feature in pair]
    both = together(clips, pair, seed=0)
    assert both is not None
    assert both.eer < 0.05
    assert all(found is not None and found.eer > 0.4 for found in alone)
    shuffled = clips.assign(key=rng.permutation(clips["key"]))
    chance = together(shuffled, pair, seed=0)
    assert chance is not None
    assert chance.eer == pytest.approx(0.5, abs=0.08)


def test_a_value_that_one_class_never_leaves_gives_away_what_has_another() -> None:
    feature = BY_NAME["digital_silence_share"]
    found = constant(table([0.0] * 90, [0.0] * 81 + [0.2] * 9, name=feature.name), feature)
    assert found is not None
    assert (found.key, found.value, found.given_away) == ("bonafide", 0, pytest.approx(0.1))
    assert constant(table([0.0] * 90, [0.0] * 90, name=feature.name), feature) is None
    assert constant(table([0.0] * 20, [0.2] * 20, name=feature.name), feature) is None  # too few to tell


# In words ------------------------------------------------------------------------------------------------------


def in_words(feature: Feature, **partitions: pd.DataFrame) -> str:
    judged: dict[str, Mapping[str, Any]] = {}
    for partition, clips in partitions.items():
        found = separation(clips, feature, seed=0)
        assert found is not None
        judged[partition] = rates(found) | values(clips, feature)
    claims = {feature.name: {"partitions": judged}}
    return " ".join(f["text"] for f in findings([feature], claims, learned_from="train"))


def test_a_shortcut_is_said_in_words() -> None:
    silence = BY_NAME["leading_silence_seconds"]
    apart = table([0.1, 0.2] * 20, [0.3, 0.4] * 20, name=silence.name)
    alike = table([0.1, 0.2] * 20, [0.1, 0.2] * 20, name=silence.name)
    assert in_words(silence, train=apart, dev=alike) == (
        "Knowing only the leading silence gives 0 % EER in train (dev 50 %): a model may learn this instead of speech. "
        "Median 0.15 s in bonafide, 0.35 s in spoof."
    )
    assert in_words(silence, train=alike, dev=apart).startswith(
        "Knowing only the leading silence gives 0 % EER in dev (train 50 %): train does not teach it"
    )
    assert in_words(silence, train=alike) == ""
    level = BY_NAME["rms_dbfs"]
    levelled = table(np.linspace(-40, 0, 80), np.linspace(-20.1, -19.9, 80), name=level.name)
    assert (
        in_words(level, train=levelled)
        .replace("\N{MINUS SIGN}", "-")
        .endswith("Nine in ten have -38.0 dBFS to -2.0 dBFS in bonafide, -20.1 dBFS to -19.9 dBFS in spoof.")
    )


def test_a_class_of_one_value_is_said_in_words() -> None:
    zeros = BY_NAME["digital_silence_share"]
    assert in_words(zeros, train=table([0.0] * 90, [0.0] * 81 + [0.2] * 9, name=zeros.name)) == (
        "The digital silence of every bonafide clip of train is 0 %, and 10 % of the spoof clips have another: "
        "they are given away."
    )


# The report ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a corpus whose spoofs start later, and with one clip that cannot be decoded."""
    folder = tmp_path_factory.mktemp("explore")
    leading = {"bonafide": (0.05, 0.15), "spoof": (0.12, 0.3)}
    root = make_corpus(folder / "made", speakers=10, clips=3, leading_seconds=leading)
    broken = root / "ASVspoof2019_LA_train" / "flac" / "MADE_T_0003.flac"
    broken.write_bytes(b"fLaC" + bytes(100))
    run("--corpus", root, "--out", folder / "out")
    return folder / "out"


def test_exactly_the_planted_shortcut_is_flagged(report: Path) -> None:
    claims = json.loads((report / "explore.json").read_text())
    assert claims["shortcuts"] == ["leading_silence_seconds"]
    assert next(iter(claims["features"])) == "leading_silence_seconds"
    assert claims["features"]["leading_silence_seconds"]["partitions"]["train"]["eer_percent"] < 25
    page = (report / "index.html").read_text()
    assert re.search(r"Knowing only the leading silence gives \d+ % EER in train \(dev \d+ %\)", page)
    assert page.count("Knowing only") == 1


def test_a_row_for_each_clip_and_a_reason_for_what_cannot_be_decoded(report: Path) -> None:
    clips = pd.read_csv(report / "clips.csv")
    assert list(clips) == ["corpus", "partition", "speaker", "id", "attack", "key", *BY_NAME, "problem"]
    assert len(clips) == 120
    broken = clips[clips["problem"].notna()]
    assert broken["id"].tolist() == ["MADE_T_0003"]
    assert broken["duration_seconds"].isna().all()
    assert clips.loc[clips["problem"].isna(), "sample_rate"].eq(16_000).all()
    assert "1 clip cannot be decoded" in (report / "index.html").read_text()


def test_the_page_needs_nothing_but_its_folder(report: Path) -> None:
    page = (report / "index.html").read_text()
    links = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert "clips.csv" in links
    assert all((report / link).is_file() for link in links)
    files = {str(path.relative_to(report)) for path in report.rglob("*.*")} - {"index.html"}
    assert files == set(links)
    assert "http" not in page


def test_examples_are_of_each_partition_and_attack(report: Path) -> None:
    page = (report / "index.html").read_text()
    shown = re.findall(r'<span class="(?:bonafide|spoof)">(bonafide|A\d\d)</span> · (\w+)', page)
    assert [name for name, _ in shown] == ["bonafide"] * 6 + ["A01", "A02"]
    assert [partition for _, partition in shown[:6]] == ["train"] * 3 + ["dev"] * 3


def test_two_corpora_are_judged_as_one_and_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(explore, "_draw_figures", lambda *_: None)  # seconds, for figures that another test has
    one = make_corpus(tmp_path / "one" / "LA", partitions=["train"])
    other = make_corpus(tmp_path / "other", partitions=["train"], seed=1)
    protocol = other / "ASVspoof2019_LA_cm_protocols" / "ASVspoof2019.LA.cm.train.trn.txt"
    protocol.write_text("".join(line + "\n" for line in protocol.read_text().splitlines() if "spoof" in line))
    run("--corpus", one, "--corpus", other, "--out", tmp_path / "out", "--examples", 0, "--limit", 10)
    claims = json.loads((tmp_path / "out" / "explore.json").read_text())
    assert claims["corpora"] == ["one", "other"]
    assert (claims["clips"], claims["measured"]) == (36, 20)
    assert "corpus" in claims["features"]
    assert not (tmp_path / "out" / "examples").exists()


def test_a_corpus_of_one_class_has_contents_but_no_shortcuts(tmp_path: Path) -> None:
    root = make_corpus(tmp_path / "made", partitions=["eval"], speakers=2)
    protocol = root / "ASVspoof2019_LA_cm_protocols" / "ASVspoof2019.LA.cm.eval.trl.txt"
    protocol.write_text("".join(line + "\n" for line in protocol.read_text().splitlines() if "bonafide" in line))
    run("--corpus", root, "--out", tmp_path / "out", "--examples", 0)
    claims = json.loads((tmp_path / "out" / "explore.json").read_text())
    assert (claims["features"], claims["shortcuts"], claims["clips"]) == ({}, [], 4)
    assert "no partition holds both" in (tmp_path / "out" / "index.html").read_text()


def test_what_cannot_be_explored_is_refused_in_a_sentence(tmp_path: Path) -> None:
    root = make_corpus(tmp_path / "made", partitions=["dev"], speakers=1, clips=1)
    with pytest.raises(ValueError, match=r"--limit 1 or more\. Received: 1, 0"):
        run("--corpus", root, "--out", tmp_path / "out", "--limit", 0)
    for path in root.rglob("*.flac"):
        path.write_bytes(b"no audio")
    with pytest.raises(ValueError, match="Received: 2, none of which can"):
        run("--corpus", root, "--out", tmp_path / "out")
    assert not (tmp_path / "out").exists()
