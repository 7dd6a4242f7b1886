"""min t-DCF by hand, at its bounds, and on the organisers' own scores; `python -m training metrics`."""

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.metrics import equal_error_rate
from training.summary import add_arguments, run, summarise
from training.tandem import AsvScores, min_tdcf, read_asv_scores
from training.trials import ScoreFileError, Scores, Trial, read_trials

# Targets and nontargets are apart, so the threshold is 1 and both of the ASV system's errors about people are 0;
# half of the spoofs pass it. A miss then costs 0.9405 and a false accept 0.05 * 10 / 2 = 0.25.
ASV_LINES = "bonafide target 1\nbonafide target 2\nbonafide nontarget 0\nA07 spoof 1\nA08 spoof 0.5\n"


@pytest.fixture
def asv(tmp_path: Path) -> AsvScores:
    (tmp_path / "asv.txt").write_text(ASV_LINES)
    return read_asv_scores(tmp_path / "asv.txt")


def test_asv_scores_are_read_by_kind(asv: AsvScores) -> None:
    assert (asv.target.tolist(), asv.nontarget.tolist(), asv.spoof.tolist()) == ([1, 2], [0], [1, 0.5])


@pytest.mark.parametrize(
    "line", ["bonafide target", "bonafide spoof 1", "A07 target 1", "bonafide impostor 1", "A07 spoof loud"]
)
def test_an_asv_line_that_breaks_a_rule_is_refused_with_its_number(tmp_path: Path, line: str) -> None:
    (tmp_path / "asv.txt").write_text(ASV_LINES + line + "\n")
    with pytest.raises(ScoreFileError, match=r"asv\.txt:6: .*Received: "):
        read_asv_scores(tmp_path / "asv.txt")


def test_asv_scores_need_all_three_kinds(tmp_path: Path) -> None:
    (tmp_path / "asv.txt").write_text("bonafide target 1\nA07 spoof 1\n")
    with pytest.raises(ScoreFileError, match="Received: no nontarget one"):
        read_asv_scores(tmp_path / "asv.txt")


def test_min_tdcf_by_hand(asv: AsvScores) -> None:
    # At 1 a quarter of the spoofs passes: 0.25 * 0.25 / 0.25. At 2 a quarter of the bonafide clips is missed: 0.94.
    scores = Scores(bonafide=[1, 2, 3, 4], spoof=[0, 0, 0, 1.5])
    assert min_tdcf(scores, asv) == pytest.approx(0.25)
    # Now no spoof passes at 3, a tenth of the bonafide clips is missed: 0.9405 * 0.1 / 0.25.
    scores = Scores(bonafide=[1] + [3] * 9, spoof=[2, 2])
    assert min_tdcf(scores, asv) == pytest.approx(0.3762)


def test_what_the_asv_system_would_have_got_wrong_costs_less_to_miss() -> None:
    # At its EER the ASV system errs about a quarter of targets and of nontargets, and half of the spoofs pass.
    asv = AsvScores(
        target=np.array([0, 2, 2, 2]), nontarget=np.array([1, -1, -1, -1]), spoof=np.array([1, 1, 0.5, 0.5])
    )
    miss = 0.9405 * (1 - 1 / 4) - 0.0095 * 10 / 4
    scores = Scores(bonafide=[1] + [3] * 9, spoof=[2, 2])  # of which the detector misses a tenth
    assert min_tdcf(scores, asv) == pytest.approx(miss * 0.1 / 0.25)


def test_min_tdcf_is_0_for_a_perfect_detector_and_1_for_none(asv: AsvScores) -> None:
    assert min_tdcf(Scores(bonafide=[2, 3], spoof=[0, 1]), asv) == 0
    assert min_tdcf(Scores(bonafide=[1, 1], spoof=[1, 1]), asv) == pytest.approx(1)
    assert min_tdcf(Scores(bonafide=[0, 1], spoof=[2, 3]), asv) == pytest.approx(1)


@settings(deadline=None)
@given(*[st.lists(st.integers(0, 9), min_size=1, max_size=9)] * 2)
def test_min_tdcf_lies_between(bonafide: list[int], spoof: list[int]) -> None:
    asv = AsvScores(target=np.array([1.0, 2.0]), nontarget=np.array([0.0]), spoof=np.array([1.0, 0.5]))
    assert 0 <= min_tdcf(Scores(bonafide=bonafide, spoof=spoof), asv) <= 1 + 1e-12


def test_an_asv_system_that_stops_all_spoofs_has_no_tdcf(asv: AsvScores) -> None:
    deaf_to_spoofs = AsvScores(target=asv.target, nontarget=asv.nontarget, spoof=asv.spoof - 10)
    with pytest.raises(ValueError, match=r"Received: 0\.9405 per miss and 0 per false accept"):
        min_tdcf(Scores(bonafide=[1], spoof=[0]), deaf_to_spoofs)


def metrics(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> dict[str, Any]:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    assert run(parser.parse_args([str(argument) for argument in arguments])) == 0
    figures: dict[str, Any] = json.loads(capsys.readouterr().out)
    return figures


def test_the_organisers_baseline_has_its_published_figures(
    shared_data: Callable[[str], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = shared_data("asvspoof2019_la_reference")
    scores, asv = (
        folder / "B02_LFCC-GMM_LA_primary_eval.txt.gz",
        folder / "ASVspoof2019.LA.asv.eval.gi.trl.scores.txt.gz",
    )
    figures = metrics(capsys, "--cm", scores, "--asv", asv)
    assert figures["trials"] == {"all": 71_237, "bonafide": 7_355, "spoof": 63_882}
    assert round(figures["eer_percent"], 3) == 8.090
    assert round(figures["min_tdcf"], 4) == 0.2111
    assert figures["eer_interval_percent"][0] < 8.09 < figures["eer_interval_percent"][1]
    assert {attack: round(of["eer_percent"], 2) for attack, of in figures["attacks"].items()} == {
        "A07": 12.86, "A08": 0.37, "A09": 0.00, "A10": 18.97, "A11": 0.12, "A12": 4.92, "A13": 9.57,
        "A14": 1.22, "A15": 2.22, "A16": 6.31, "A17": 7.71, "A18": 3.58, "A19": 13.94,
    }  # fmt: skip
    # The planted fault: the sign of the scores turned over.
    right = Scores.of(read_trials(scores))
    upside_down = Scores(bonafide=-right.bonafide, spoof=-right.spoof)
    assert round(equal_error_rate(upside_down).rate, 4) == 0.9191
    assert min_tdcf(upside_down, read_asv_scores(asv)) == pytest.approx(1)


def test_each_attack_is_measured_against_all_bonafide_clips() -> None:
    trials = [Trial("S", f"b{score}", None, "bonafide", score) for score in (1.0, 2.0, 3.0, 4.0)]
    trials += [Trial("S", "s1", "A02", "spoof", 0.0), Trial("S", "s2", "A01", "spoof", 2.5)]
    trials += [Trial("S", "s3", "A01", "spoof", 0.0), Trial("S", "s4", None, "spoof", 9.0)]
    figures = summarise(trials)
    assert figures["min_tdcf"] is None
    assert list(figures["attacks"]) == ["A01", "A02", "unknown"]
    assert [of["spoof"] for of in figures["attacks"].values()] == [2, 1, 1]
    assert [of["mean_score"] for of in figures["attacks"].values()] == [1.25, 0, 9]
    assert [of["eer_percent"] for of in figures["attacks"].values()] == [50, 0, 100]
    assert json.loads(json.dumps(figures, allow_nan=False)) == figures
