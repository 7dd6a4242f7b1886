"""Score files: what is written is read, and what breaks a rule is refused with its line."""

import gzip
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from training.trials import ScoreFileError, Scores, Trial, read_trials, write_trials

TRIALS = [
    Trial("LA_0001", "LA_E_1", None, "bonafide", 0.1 + 0.2),
    Trial("LA_0002", "LA_E_2", "A07", "spoof", -1e-17),
    Trial("-", "LA_E_3", None, "spoof", -3.0),
]


@pytest.mark.parametrize("name", ["scores.txt", "scores.txt.gz"])
def test_a_written_file_reads_back_to_the_last_bit(tmp_path: Path, name: str) -> None:
    write_trials(tmp_path / name, TRIALS)
    assert read_trials(tmp_path / name) == TRIALS
    assert (tmp_path / name).read_bytes().startswith(b"\x1f\x8b") == name.endswith(".gz")


def test_the_columns_are_those_of_asvspoof(tmp_path: Path) -> None:
    write_trials(tmp_path / "scores.txt", TRIALS[:2])
    lines = (tmp_path / "scores.txt").read_text().splitlines()
    assert lines == [
        "LA_0001 LA_E_1 - - bonafide 0.30000000000000004",
        "LA_0002 LA_E_2 - A07 spoof -1e-17",
    ]


def test_a_mark_before_the_text_is_no_part_of_a_name(tmp_path: Path) -> None:
    (tmp_path / "scores.txt").write_bytes(b"\xef\xbb\xbfLA_E_1 - bonafide 2.5\r\n")
    assert read_trials(tmp_path / "scores.txt") == [Trial("-", "LA_E_1", None, "bonafide", 2.5)]


def test_four_columns_are_the_format_of_submission(tmp_path: Path) -> None:
    path = tmp_path / "scores"
    path.write_bytes(gzip.compress(b"LA_E_1 - bonafide 2.5\n\nLA_E_2 A07 spoof -1\nLA_E_3 bonafide bonafide 0\n"))
    assert read_trials(path) == [
        Trial("-", "LA_E_1", None, "bonafide", 2.5),
        Trial("-", "LA_E_2", "A07", "spoof", -1.0),
        Trial("-", "LA_E_3", None, "bonafide", 0.0),
    ]


@pytest.mark.parametrize("fault", [lambda data: data[:-12], lambda data: data[:20] + b"\xff" * 9 + data[29:]])
def test_a_gzip_that_is_cut_or_broken_is_named(tmp_path: Path, fault: Callable[[bytes], bytes]) -> None:
    path = tmp_path / "scores.gz"
    path.write_bytes(fault(gzip.compress(b"".join(b"LA_E_%d - bonafide %d\n" % (n, n * n) for n in range(200)))))
    with pytest.raises(ScoreFileError, match=r"scores\.gz:\d+: "):
        read_trials(path)


@pytest.mark.parametrize(
    ("line", "rule"),
    [
        ("S LA_E_2 - A07 Spoof 1.0", "A key is bonafide or spoof. Received: 'Spoof'."),
        ("S LA_E_2 - A07 spoof high", "A score is a number. Received: 'high'."),
        ("S LA_E_2 - A07 spoof nan", "A score is finite. Received: 'nan'."),
        ("S LA_E_2 - A07 spoof -inf", "A score is finite. Received: '-inf'."),
        ("S LA_E_2 - A07 bonafide 1.0", "A bonafide trial has no attack. Received: 'A07'."),
        ("S LA_E_2 - spoof 1.0", "A trial has 4 or 6 columns. Received: 'S LA_E_2 - spoof 1.0'."),
        ("S LA_E_1 - - bonafide 2.0", "An utterance has one score. Received: 'LA_E_1' again, after line 1."),
    ],
)
def test_a_line_that_breaks_a_rule_is_refused_with_its_number(tmp_path: Path, line: str, rule: str) -> None:
    path = tmp_path / "scores.txt"
    path.write_text(f"S LA_E_1 - - bonafide 1.0\n\n{line}\n")
    with pytest.raises(ScoreFileError) as caught:
        read_trials(path)
    assert str(caught.value) == f"{path}:3: {rule}"


def test_a_file_that_holds_no_trials_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty.txt").write_text("\n")
    with pytest.raises(ScoreFileError, match=r"empty\.txt: A score file holds at least one trial"):
        read_trials(tmp_path / "empty.txt")
    (tmp_path / "audio.flac").write_bytes(b"fLaC\x80\xff\xfe")
    with pytest.raises(ScoreFileError, match=r"audio\.flac:0: .*utf-8"):
        read_trials(tmp_path / "audio.flac")


@pytest.mark.parametrize(
    "trial",
    [
        Trial("a speaker", "u", None, "bonafide", 1.0),
        Trial("", "u", None, "bonafide", 1.0),
        Trial("s", "u", "-", "spoof", 1.0),
        Trial("s", "u", None, "bonafide", float("nan")),
    ],
)
def test_what_could_not_be_read_back_is_not_written(tmp_path: Path, trial: Trial) -> None:
    with pytest.raises(ValueError, match="Received: "):
        write_trials(tmp_path / "scores.txt", [trial])
    assert not (tmp_path / "scores.txt").exists()


def test_scores_are_split_by_class() -> None:
    scores = Scores.of(TRIALS)
    assert scores.bonafide.tolist() == [0.1 + 0.2]
    assert scores.spoof.tolist() == [-1e-17, -3.0]
    assert scores.spoof.dtype == np.float64


def test_no_metric_gets_one_class_or_a_score_that_is_not_finite() -> None:
    with pytest.raises(ValueError, match=r"Both classes are needed.*Received: spoof scores of shape \(0,\)"):
        Scores.of(TRIALS[:1])
    with pytest.raises(ValueError, match=r"Scores are finite\. Received: nan among the bonafide scores"):
        Scores(bonafide=[1.0, np.nan], spoof=[0.0])
