"""The commands as a researcher types them, from a corpus to a report."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from model_store import audio
from model_store.manifest import DetCurve
from model_store.signatures import TrustedKeys, make
from model_store.store import Store, verify
from tests.corpora import make_corpus as made_corpus
from tests.made_store import CONFIG, make_corpus
from training import train
from training.__main__ import COMMANDS, main
from training.corpus import NOT_SPEECH, Utterance, protocol_path, read_partition
from training.score import as_telephone, score_corpus
from training.trials import read_trials


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a corpus, a run of it, and a store that the run was published in."""
    root = tmp_path_factory.mktemp("commands")
    make_corpus(root / "made")
    (root / "config.json").write_text(CONFIG.model_dump_json())
    (root / "limits.md").write_text("It knows nothing.\n")
    learn = ["train", "--corpus", str(root / "made"), "--config", str(root / "config.json"), "--set", "fit.epochs=1"]
    assert main([*learn, "--out", str(root / "run")]) == 0
    publish = ["publish", "--run", str(root / "run"), "--store", str(root / "store"), "--licence", "made=none needed"]
    make(root / "key")
    publish += ["--limits", str(root / "limits.md"), "--no-gate", "nobody will rely on it", "--sign", str(root / "key")]
    assert main(publish) == 0
    return root


def test_a_published_run_says_what_it_was_made_from(made: Path) -> None:
    folder = Store(made / "store").resolve("simple_cnn@1")
    manifest = verify(folder, trusted=TrustedKeys.read(made / "key.pub"))
    assert manifest.training == CONFIG.model_copy(
        update={"fit": CONFIG.fit.model_copy(update={"epochs": 1})}
    ).model_dump(mode="json")
    (corpus,) = manifest.data
    assert (corpus.name, corpus.licence) == ("made", "none needed")
    assert set(corpus.protocols) == {"train", "dev"}
    assert len(manifest.metrics["history"]["dev_eer"]) == 1
    assert set(manifest.metrics["made"]) == {"dev"}  # this corpus has no eval to report
    assert {"original", "telephone", "gsm"} <= set(manifest.metrics["made"]["dev"])
    assert "A02" in manifest.metrics["made"]["dev"]["telephone"]["attacks"]
    assert set(manifest.metrics["made"]["dev"]["telephone"]["channel_classes"]) == {"coded"}
    for heard in manifest.metrics["made"]["dev"].values():
        curve = DetCurve.model_validate(heard["det_curve"])
        assert set(curve.operating_points) == set(manifest.output.operating_points)
        assert curve.false_accept_rate[-1] == curve.false_reject_rate[0] == 0.125  # of four clips each, half a clip
    # Thresholds come from attacks that training has not seen, and say so.
    assert "1 attacks not in training" in manifest.output.operating_points["balanced"].measured_on


@pytest.mark.parametrize("licence", ["maid=CC0", "CC0"])
def test_a_licence_is_of_a_corpus_of_the_run(made: Path, licence: str, capsys: pytest.CaptureFixture[str]) -> None:
    publish = ["publish", "--run", str(made / "run"), "--store", str(made / "other"), "--licence", licence]
    assert main(publish) == 1
    name = licence.partition("=")[0]
    assert capsys.readouterr().err == f"A licence is of one of made, as CORPUS=TEXT. Received: one of {name}.\n"
    assert not (made / "other").exists()


def test_the_card_holds_the_figures_of_the_manifest(made: Path) -> None:
    folder = Store(made / "store").resolve("simple_cnn@1")
    manifest, card = verify(folder), (folder / "card.md").read_text()
    figures = manifest.metrics["made"]["dev"]["telephone"]
    assert f"| made | dev | telephone | 4 | 4 | {figures['eer_percent']:.2f} %" in card
    point = manifest.output.operating_points["high_security"]
    assert f" {point.threshold:.3f} |" in card
    low, high = point.false_accept_interval
    assert f"{100 * point.false_accept_rate:.1f} ({100 * low:.1f} to {100 * high:.1f}) / " in card
    assert f"| coded | {manifest.output.calibration['coded'].slope:.3f} |" in card
    assert "It knows nothing." in card
    assert "none needed" in card


def test_scores_are_written_in_the_format_of_asvspoof_and_read_back(
    made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "scores.txt"
    score = ["score", "--store", str(made / "store"), "--model", "simple_cnn", "--corpus", str(made / "made")]
    assert main([*score, "--partition", "dev", "--out", str(out)]) == 0
    assert [line.split()[1] for line in out.read_text().splitlines()] == [f"dev{n}" for n in range(8)]
    assert {line.split()[3:5][0] for line in out.read_text().splitlines()} == {"-", "A02"}
    assert len(read_trials(out)) == 8
    capsys.readouterr()
    assert main(["metrics", "--cm", str(out)]) == 0
    said = json.loads(capsys.readouterr().out)
    published = verify(Store(made / "store").resolve("simple_cnn")).metrics["made"]["dev"]["original"]
    assert said["eer_percent"] == pytest.approx(published["eer_percent"])


def test_the_telephone_takes_what_lies_above_4_khz(made: Path) -> None:
    original = sorted((made / "made" / "ASVspoof2019_LA_dev" / "flac").iterdir())[1]
    clip = audio.decode(as_telephone(original), sample_rate=16_000)
    assert (clip.format, clip.sample_rate) == ("WAV/ULAW", 8_000)
    spectrum = np.abs(np.fft.rfft(clip.waveforms[0])) ** 2
    assert spectrum[len(spectrum) // 2 + 200 :].sum() < 1e-4 * spectrum.sum()


def test_scores_through_a_channel_are_other_scores(made: Path) -> None:
    wide, *narrow = (
        score_corpus(made / "store", "simple_cnn", made / "made", "dev", channel=channel)
        for channel in ("original", "telephone", "gsm")
    )
    for trials in narrow:
        assert [t.utterance for t in wide] == [t.utterance for t in trials]
        assert [t.score for t in wide] != [t.score for t in trials]
    with pytest.raises(ValueError, match="one of original, .* Received: pigeon"):
        score_corpus(made / "store", "simple_cnn", made / "made", "dev", channel="pigeon")


def test_evaluate_reports_on_a_published_model(made: Path, tmp_path: Path) -> None:
    command = ["evaluate", "--store", str(made / "store"), "--model", "simple_cnn@1", "--corpus", str(made / "made")]
    assert main([*command, "--partition", "dev", "--out", str(tmp_path / "report")]) == 0
    page = (tmp_path / "report" / "index.html").read_text()
    assert "simple_cnn@1" in page
    assert json.loads((tmp_path / "report" / "evaluation.json").read_text())


def test_what_does_not_pass_the_gate_is_published_only_with_a_reason(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    measure = {"level": {"value": 30.0, "at_most": 1.0, "of": "level_up"}}
    judged = {"seed": 0, "clips": 8, "measures": measure, "failures": ["level: at most 1 %. Received: 30."]}
    heard: list[str] = []

    def release(*_: object, sounds: Sequence[Utterance], **__: object) -> dict[str, object]:
        heard[:] = [u.id for u in sounds]
        return dict(judged)

    monkeypatch.setattr("training.publish.gate.release", release)
    command = ["publish", "--run", str(made / "run"), "--store", str(made / "store")]
    family = json.loads((made / "run" / "config.json").read_text())["name"]
    before = Store(made / "store").versions(family)
    assert main(command) == 1
    assert "level: at most 1 %. Received: 30." in capsys.readouterr().err
    assert main([*command, "--no-gate", " "]) == 1
    assert Store(made / "store").versions(family) == before
    assert main([*command, "--no-gate", "a test of it"]) == 0
    assert Store(made / "store").versions(family) == [*before, len(before) + 1]
    folder = Store(made / "store").resolve(family)
    assert verify(folder).metrics["gate"] == judged | {"waiver": "a test of it"}
    assert "published all the same: a test of it" in (folder / "card.md").read_text()
    judged["failures"] = []  # a reason that was not needed
    assert heard == []
    sounds = made_corpus(tmp_path / "sounds", partitions=("eval",), attacks=(NOT_SPEECH,))
    audit = ["audit", "--store", str(made / "store"), "--model", family, "--corpus", str(made / "made")]
    for of_speech in (command, [*audit, "--partition", "dev", "--out", str(tmp_path / "audit")]):
        assert main([*of_speech, "--sounds", str(sounds)]) == 1
        said = capsys.readouterr().err
        assert "A corpus of sounds has clips of the attack not_speech alone. Received: 12 others in" in said
    protocol = protocol_path(sounds, "eval")
    lines = [line for line in protocol.read_text().splitlines() if NOT_SPEECH in line]
    protocol.write_text("\n".join(lines))
    assert main([*command, "--no-gate", "a test of it", "--sounds", str(sounds)]) == 0
    assert heard == [u.id for u in read_partition(sounds, "eval")]
    folder = Store(made / "store").resolve(family)
    assert verify(folder).metrics["gate"] == judged | {"waiver": None}
    assert "did not pass" not in (folder / "card.md").read_text()


def test_a_run_goes_on_from_what_it_began_with(made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = made / "run"
    before = {name: (run / name).read_bytes() for name in ("config.json", "corpora.json", "model.keras")}
    command = ["train", "--config", str(made / "config.json"), "--set", "fit.epochs=1", "--out", str(run)]
    make_corpus(tmp_path / "other")
    assert main([*command, "--corpus", str(made / "made"), "--corpus", str(tmp_path / "other")]) == 1
    assert "with the corpora that it began with. Received: others than" in capsys.readouterr().err
    assert main([*command, "--corpus", str(tmp_path / "other"), "--set", "fit.seed=5"]) == 1
    assert "with the configuration that it began with. Received: another" in capsys.readouterr().err
    assert {name: (run / name).read_bytes() for name in before} == before


def test_what_has_learned_nothing_may_begin_with_other_corpora(made: Path, tmp_path: Path) -> None:
    corpora = [made / "made", make_corpus(tmp_path / "other")]
    for count in (1, 2):
        train.claim(tmp_path, CONFIG, corpora[:count])
    assert len(json.loads((tmp_path / "corpora.json").read_text())) == 2


def test_corpora_that_are_learned_from_together_have_different_names(
    made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = make_corpus(tmp_path / "made" / "LA")
    command = ["train", "--corpus", str(made / "made"), "--corpus", str(other), "--out", str(tmp_path / "run")]
    assert main(command) == 1
    assert "have different names. Received: made, made." in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "command",
    [
        ["train", "--out", "OUT"],
        ["synthesise", "--methods", "lpc", "--copies", "1", "--out", "OUT"],
        ["score", "--store", "STORE", "--model", "simple_cnn", "--partition", "train", "--out", "OUT"],
        [
            "score",
            "--store",
            "STORE",
            "--model",
            "simple_cnn",
            "--partition",
            "train",
            "--channel",
            "gsm",
            "--out",
            "OUT",
        ],
        ["audit", "--store", "STORE", "--model", "simple_cnn", "--partition", "train", "--out", "OUT"],
        ["partial", "make", "--partition", "train", "--out", "OUT"],
    ],
    ids=lambda command: " ".join(command[:2]),
)
def test_a_clip_that_cannot_be_decoded_is_named(
    made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], command: list[str]
) -> None:
    broken = make_corpus(tmp_path / "broken") / "ASVspoof2019_LA_train" / "flac" / "train4.flac"
    broken.write_bytes(broken.read_bytes()[:3000])
    paths = {"OUT": str(tmp_path / "out"), "STORE": str(made / "store")}
    assert main([*(paths.get(word, word) for word in command), "--corpus", str(tmp_path / "broken")]) == 1
    assert f"{broken}: A clip must be whole enough to decode. Received: 3,000 bytes" in capsys.readouterr().err


@pytest.mark.parametrize(
    "command",
    [
        ["score", "--model", "simple_cnn", "--out", "FILE/scores.txt"],
        ["score", "--model", "simple_cnn", "--out", "FOLDER"],
        ["evaluate", "--model", "simple_cnn", "--out", "FILE/report"],
        ["evaluate", "--model", "simple_cnn", "--out", "FOLDER", "--asv", "FOLDER/none.txt"],
        ["evaluate", "--model", "simple_cnn", "--out", "FOLDER", "--threshold", "nan"],
        ["audit", "--model", "simple_cnn", "--out", "FILE/report"],
        ["explore", "--out", "FILE/report"],
    ],
    ids=" ".join,
)
def test_what_cannot_be_read_or_written_is_told_before_any_clip_is_decoded(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: list[str]
) -> None:
    monkeypatch.setattr(audio, "decode", lambda *_, **__: pytest.fail("decoded a clip"))
    (tmp_path / "file").touch()
    words = [w.replace("FILE", str(tmp_path / "file")).replace("FOLDER", str(tmp_path)) for w in command]
    if command[0] != "explore":
        words += ["--store", str(made / "store"), "--partition", "dev"]
    assert main([*words, "--corpus", str(made / "made")]) == 1


def test_input_at_fault_is_one_sentence_and_exit_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--corpus", str(tmp_path), "--out", str(tmp_path / "run")]) == 1
    said = capsys.readouterr().err
    assert "A corpus folder holds ASVspoof2019_LA_cm_protocols/. Received:" in said
    assert "Traceback" not in said
    assert main(["metrics", "--cm", str(tmp_path / "none.txt")]) == 1


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([command, "--help"])
    assert ended.value.code == 0
    assert COMMANDS[command][1] in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize("seed", ["-1", "1.5", "x", ""])
@pytest.mark.parametrize("command", ["folds", "synthesise", "metrics"])
def test_a_seed_that_is_none_names_its_option(command: str, seed: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main([command, f"--seed={seed}"])
    rule = "argument --seed: A seed is a whole number, 0 or more"
    assert f"{rule}. Received: {seed!r}." in capsys.readouterr().err
