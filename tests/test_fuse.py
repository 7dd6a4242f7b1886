import json
from pathlib import Path

import keras
import numpy as np
import pytest

from tests.made_store import CONFIG, make_corpus
from training import train
from training.__main__ import main
from training.config import Config
from training.model import FUSION

NOISE = (np.random.default_rng(0).standard_normal((3, 16_000)) * 0.1).astype(np.float32)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two runs on one corpus: the branch ``main``, and another view of the same with another seed, ``other``."""
    root = tmp_path_factory.mktemp("fuse")
    make_corpus(root / "made")
    found = []
    for name, seed in (("main", 0), ("other", 1)):
        config = CONFIG.model_copy(
            update={
                "branches": {name: CONFIG.branches["main"]},
                "fit": CONFIG.fit.model_copy(update={"epochs": 1, "seed": seed}),
            }
        )
        (root / "config.json").write_text(config.model_dump_json())
        arguments = ["train", "--corpus", str(root / "made"), "--config", str(root / "config.json")]
        assert main([*arguments, "--out", str(root / name)]) == 0
        found.append(root / name)
    return found


def test_a_fused_run_says_what_both_say(runs: list[Path], tmp_path: Path) -> None:
    assert main(["fuse", *(f"--run={run}" for run in runs), "--out", str(tmp_path / "both")]) == 0
    alone = [keras.saving.load_model(run / "model.keras", compile=False) for run in runs]
    fused = keras.saving.load_model(tmp_path / "both" / "model.keras", compile=False)
    weights = fused.get_layer(FUSION).get_weights()[0][:, 0]
    own = [model.get_layer(FUSION).get_weights()[0][0, 0] for model in alone]
    logits = [np.asarray(model(NOISE)) / weight for model, weight in zip(alone, own, strict=True)]
    assert np.asarray(fused(NOISE)) == pytest.approx(weights @ np.stack(logits), abs=1e-4)
    config = Config.model_validate_json((tmp_path / "both" / "config.json").read_text())
    assert list(config.branches) == ["main", "other"]
    assert [part["fit"]["seed"] for part in config.parts] == [0, 1]
    assert len(json.loads((tmp_path / "both" / train.CORPORA_FILE).read_text())) == 1


def test_weights_may_be_given(runs: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["fuse", *(f"--run={run}" for run in runs), "--out", str(tmp_path / "both"), "--weight", "other=2"]
    assert main(command) == 1
    assert "Weights are of all branches, main, other. Received: of other." in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main([*command, "--weight", "main"])
    assert "A weight reads BRANCH=WEIGHT. Received: 'main'." in capsys.readouterr().err
    assert main([*command, "--weight", "main=0.5"]) == 0
    fused = keras.saving.load_model(tmp_path / "both" / "model.keras", compile=False)
    assert fused.get_layer(FUSION).get_weights()[0][:, 0].tolist() == [0.5, 2]
    config = Config.model_validate_json((tmp_path / "both" / "config.json").read_text())
    assert config.fusion == {"main": 0.5, "other": 2}


def test_what_was_fused_may_be_fused_again(runs: list[Path], tmp_path: Path) -> None:
    assert main(["fuse", f"--run={runs[0]}", "--weight", "main=3", "--out", str(tmp_path / "first")]) == 0
    command = ["fuse", f"--run={tmp_path / 'first'}", f"--run={runs[1]}", "--out", str(tmp_path / "again")]
    assert main([*command, "--weight", "main=1", "--weight", "other=2"]) == 0
    once = ["fuse", *(f"--run={run}" for run in runs), "--weight", "main=1", "--weight", "other=2"]
    assert main([*once, "--out", str(tmp_path / "once")]) == 0
    again, both = (
        keras.saving.load_model(tmp_path / name / "model.keras", compile=False) for name in ("again", "once")
    )
    assert np.asarray(again(NOISE)) == pytest.approx(np.asarray(both(NOISE)), abs=1e-5)


def test_a_branch_may_be_left_out(runs: list[Path], tmp_path: Path) -> None:
    command = ["fuse", *(f"--run={run}" for run in runs), "--without", "main", "--out", str(tmp_path / "one")]
    assert main([*command, "--name", "lite"]) == 0
    config = Config.model_validate_json((tmp_path / "one" / "config.json").read_text())
    assert (config.name, list(config.branches)) == ("lite", ["other"])


def test_weights_of_two_rounds_become_their_mean(
    runs: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, other = runs
    again = ["train", "--corpus", str(first.parent / "made"), "--config", str(first / "config.json")]
    assert main([*again, "--set", "fit.seed=5", "--start", str(first), "--out", str(tmp_path / "second")]) == 0
    rounds = [f"--run={first}", f"--run={tmp_path / 'second'}"]
    assert main(["fuse", *rounds, "--share=0.25", "--share=0.75", "--out", str(tmp_path / "mean")]) == 0
    one, two, mean = (
        keras.saving.load_model(run / "model.keras", compile=False).get_weights()
        for run in (first, tmp_path / "second", tmp_path / "mean")
    )
    assert any(not np.array_equal(a, b) for a, b in zip(one, two, strict=True))
    for a, b, found in zip(one[:-2], two[:-2], mean[:-2], strict=True):  # the last two weigh branches, fitted on dev
        assert found == pytest.approx(0.25 * a + 0.75 * b, abs=1e-6)
    config = Config.model_validate_json((tmp_path / "mean" / "config.json").read_text())
    assert (list(config.branches), config.shares) == (["main"], (0.25, 0.75))
    for shares, runs_, message in (
        (["--share=1"], rounds, "Each run has a share, 0 or more, and all add up to 1. Received: [1.0] for 2 runs."),
        (["--share=-0.5", "--share=1.5"], rounds, "0 or more, and all add up to 1. Received: [-0.5, 1.5]"),
        (["--share=0.5", "--share=0.6"], rounds, "all add up to 1. Received: [0.5, 0.6]"),
        (["--share=0.5", "--share=0.5"], [rounds[0], f"--run={other}"], "have the same branches. Received: "),
    ):
        assert main(["fuse", *runs_, *shares, "--out", str(tmp_path / "none")]) == 1
        assert message in capsys.readouterr().err


def test_runs_that_do_not_go_together_are_refused(
    runs: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["fuse", f"--run={runs[0]}", f"--run={runs[0]}", "--out", str(tmp_path / "twice")]) == 1
    assert "names of their own. Received: 'main' twice" in capsys.readouterr().err
    assert main(["fuse", f"--run={runs[0]}", "--without", "main", "--out", str(tmp_path / "none")]) == 1
    assert "without main, which leaves none" in capsys.readouterr().err
    assert main(["fuse", f"--run={runs[0]}", "--without", "mian", "--out", str(tmp_path / "none")]) == 1
    assert "is one of a run. Received: mian." in capsys.readouterr().err
    assert main(["fuse", f"--run={runs[0]}", "--name", "My Model", "--out", str(tmp_path / "none")]) == 1
    assert "Received: name: String should match pattern" in capsys.readouterr().err
    assert not (tmp_path / "none").exists()
    before = {path.name: path.read_bytes() for path in runs[0].iterdir()}
    assert main(["fuse", *(f"--run={run}" for run in runs), "--out", str(runs[0])]) == 1
    assert "the configuration that it began with" in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in runs[0].iterdir()} == before
    other = tmp_path / "other"
    other.mkdir()
    config = CONFIG.model_copy(update={"fit": CONFIG.fit.model_copy(update={"loss": "p2sgrad"})})
    (other / "config.json").write_text(config.model_dump_json())
    assert main(["fuse", f"--run={runs[0]}", f"--run={other}", "--out", str(tmp_path / "no")]) == 1
    assert "the same windows and have the same loss" in capsys.readouterr().err
