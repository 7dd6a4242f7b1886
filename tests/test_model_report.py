"""The report of a published model: an artificial detector's known errors, and a page made of a real small artifact."""

import json
import re
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest

from model_store.detector import Detector
from model_store.manifest import CARD_FILE, OperatingPoint
from model_store.store import DEFAULT_ROOT, Store, verify
from tests.made_store import make_corpus
from training import json_tables
from training.__main__ import main
from training.breakdown import OTHERS, by_kind, generators, kinds, shares
from training.card import limits_of
from training.channel_scores import ClipFacts, Heard, hear
from training.config import FrontEndConfig
from training.corpus import corpus_name, protocol_path, protocol_sha256, read_partition
from training.kinds import read_provenance
from training.model_facts import branches, data, heard_in_training, learned_attacks, role
from training.partition_figures import against_claim, partition_figures
from training.report import number
from training.score import score_utterances
from training.trials import Trial


def known_trials() -> list[Trial]:
    """10 bonafide clips of which 0 turns 2 away; of attack A01 0 of 10 pass, of A02 4 of 10."""
    bonafide = [Trial(f"S{n}", f"b{n}", None, "bonafide", -2.0 if n < 2 else 2.0 + n, "wideband") for n in range(10)]
    spoof = [Trial("-", f"a{n}", "A01", "spoof", -3.0 - n, "wideband") for n in range(10)]
    spoof += [Trial("-", f"c{n}", "A02", "spoof", 1.0 if n < 4 else -4.0, "wideband") for n in range(10)]
    return bonafide + spoof


def test_known_errors_are_counted_by_point_attack_and_kind(store: Path) -> None:
    trials = known_trials()
    manifest = verify(Store(store).resolve("simple_cnn"))
    point = OperatingPoint(
        threshold=0.0,
        false_accept_rate=0.1,
        false_accept_interval=[0.05, 0.15],
        false_reject_rate=0.1,
        false_reject_interval=[0.1, 0.3],
        measured_on="nothing",
    )
    points = dict.fromkeys(("low_friction", "balanced", "high_security"), point)
    manifest = manifest.model_copy(update={"output": manifest.output.model_copy(update={"operating_points": points})})
    facts = {t.utterance: ClipFacts(8_000 if t.attack == "A02" else 16_000, 1.5) for t in trials}
    found = partition_figures(
        Heard({"original": trials, "gsm": trials}, {"original": 3, "gsm": 0}, facts), manifest, provenance={}, seed=0
    )
    figures = found["channels"]["original"]
    assert found["shown"] == ["original"]
    assert (figures["inconclusive"], figures["heard"], found["channels"]["gsm"]["heard"]) == (3, True, False)
    assert figures["operating_points"]["balanced"]["false_accepts"] == 4
    claim = figures["claims"]["balanced"]
    assert (claim["false_accept_percent"], claim["false_accept_place"]) == (pytest.approx(20), "above")
    assert (claim["false_reject_percent"], claim["false_reject_place"]) == (pytest.approx(20), "within")
    assert figures["attacks"]["A02"]["false_accept_percent"] == pytest.approx(40)
    assert set(found["kinds"]) == {"sample rate of the file"}  # all are as long, and nothing else is known
    rows = found["kinds"]["sample rate of the file"]
    assert list(rows) == ["16,000 Hz", "8,000 Hz"]
    assert rows["16,000 Hz"]["original"]["false_accept_percent"] == 0
    narrow = rows["8,000 Hz"]["original"]
    assert (narrow["bonafide"], narrow["spoof"], narrow["eer_percent"], narrow["false_reject_percent"]) == (
        0,
        10,
        None,
        None,
    )
    assert narrow["false_accept_percent"] == pytest.approx(40)


def test_a_rate_below_the_claim_is_told_from_one_above() -> None:
    claim = OperatingPoint(
        threshold=100.0,
        false_accept_rate=0.1,
        false_accept_interval=[0.05, 0.15],
        false_reject_rate=0.1,
        false_reject_interval=[0.05, 0.15],
        measured_on="nothing",
    )
    found = against_claim(known_trials(), claim)
    assert (found["false_accept_place"], found["false_reject_place"]) == ("below", "above")


def test_shares_of_ten_clips_of_each_class_have_an_eer() -> None:
    trials = known_trials()
    found = shares(trials, threshold=0.0, seed=0)
    assert (found["bonafide"], found["spoof"], found["eer_percent"]) == (10, 20, pytest.approx(20))
    assert found["eer_interval_percent"][0] <= 20 <= found["eer_interval_percent"][1]
    assert shares(trials[1:], threshold=0.0, seed=0)["eer_percent"] is None


def test_kinds_come_from_files_and_provenance_and_few_clips_are_one_row(tmp_path: Path) -> None:
    trials = known_trials()
    lines = [f"{t.utterance},{'en' if n < 12 else 'de' if n < 24 else f'x{n}'},Maker" for n, t in enumerate(trials)]
    (tmp_path / "provenance.csv").write_text("\n".join(["id,language,generator", *lines]))
    (tmp_path / "LA").mkdir()
    beside = read_provenance(tmp_path / "LA")
    assert beside == read_provenance(tmp_path)
    tables = kinds({t.utterance: ClipFacts(16_000, n % 2 + 0.5) for n, t in enumerate(trials)}, beside)
    assert set(tables) == {"language", "length"}
    rows = by_kind(trials, tables["language"], threshold=0.0, seed=0)
    assert {kind: row["bonafide"] + row["spoof"] for kind, row in rows.items()} == {
        "de": 12,
        "en": 12,
        f"{OTHERS} (6)": 6,
    }
    assert list(rows)[-1].startswith(OTHERS)
    assert set(tables["length"].values()) == {"0 to 1 s", "1 to 2 s"}
    assert generators({t.utterance: t.attack for t in trials}, beside) == {"A01": "Maker", "A02": "Maker"}


def test_a_source_is_known_where_an_earlier_partition_has_clips_of_it() -> None:
    judged = [f"{source}{n}" for source in ("old", "later", "fresh") for n in range(10)]
    provenance = {
        "t": {"partition": "train", "source": "site/old/a.wav"},
        **{f"{name}": {"partition": "eval", "source": f"site/{name[:-1]}/{name}.wav"} for name in judged},
        "d": {"partition": "dev", "source": "site/fresh of dev/b.wav"},
        "other": {"partition": "eval", "source": ""},
    }
    facts = {name: ClipFacts(16_000, 1.0) for name in [*judged, "other"]}
    known = kinds(facts, provenance)["source"]
    assert {name for name, kind in known.items() if kind != "new"} == {f"old{n}" for n in range(10)}
    assert set(known) == set(judged)
    assert "source" not in kinds(facts, {name: {"source": row["source"]} for name, row in provenance.items()})


def test_a_clip_decoded_once_scores_as_if_decoded_for_each_channel(store: Path, tmp_path: Path) -> None:
    detector = Detector.load(Store(store).resolve("simple_cnn"))
    utterances = read_partition(make_corpus(tmp_path / "made"), "dev")
    heard = hear(detector, utterances, ["telephone", "original", "gsm"])
    for name, trials in heard.trials.items():
        alone = score_utterances(detector, utterances, channel=name)
        assert [t.utterance for t in trials] == [u.id for u in utterances]
        assert [t.channel_class for t in trials] == [t.channel_class for t in alone]
        np.testing.assert_allclose([t.score for t in trials], [t.score for t in alone], atol=1e-4)
    assert heard.trials["gsm"] != heard.trials["original"]
    assert heard.facts["dev0"] == ClipFacts(16_000, 1.0)
    with pytest.raises(ValueError, match="has a file"):
        hear(detector, [replace(utterances[0], path=None)], ["original"])


def test_what_training_heard_follows_from_its_configuration() -> None:
    drawn = {"augment": {"codec": 0.3, "codecs": ["gsm", "aac"], "narrowband": 0.1}}
    heard = [n for n in ("original", "telephone", "gsm", "aac", "opus", "packet_loss") if heard_in_training(n, drawn)]
    assert heard == ["original", "telephone", "gsm", "aac"]
    assert not heard_in_training("gsm", {"augment": {"codec": 0.0, "codecs": ["gsm"]}})
    assert not heard_in_training("telephone", {})
    with pytest.raises(ValueError, match="Received: pigeon"):
        heard_in_training("pigeon", {})


def test_only_a_protocol_with_the_hash_of_the_manifest_tells_what_was_learned(store: Path, tmp_path: Path) -> None:
    corpus = make_corpus(tmp_path / "other")
    manifest = verify(Store(store).resolve("simple_cnn"))
    assert learned_attacks(manifest, corpus) is None
    assert role(manifest, corpus, "dev") == "chose nothing"
    assert data(manifest, [corpus])[0]["partitions"]["train"]["clips"] is None
    protocols = {name: protocol_sha256(corpus, name) for name in ("train", "dev")}
    manifest = manifest.model_copy(update={"data": [manifest.data[0].model_copy(update={"protocols": protocols})]})
    assert learned_attacks(manifest, corpus) == {"A01"}
    assert "thresholds" in role(manifest, corpus, "dev")
    assert data(manifest, [corpus])[0]["partitions"]["train"]["clips"] == {"bonafide": 4, "spoof": 4, "attacks": 1}


def test_other_protocols_of_a_corpus_of_the_same_name_leave_a_part_unknown(store: Path, tmp_path: Path) -> None:
    corpus = make_corpus(tmp_path / "made")
    manifest = verify(Store(store).resolve("simple_cnn"))
    assert manifest.data[0].name == "made"
    own = {name: protocol_sha256(corpus, name) for name in ("train", "dev")}
    for protocols in (manifest.data[0].protocols, {}, {"train": own["train"], "dev": "1" * 64}):
        of_another = manifest.data[0].model_copy(update={"protocols": protocols})
        changed = manifest.model_copy(update={"data": [of_another]})
        assert {role(changed, corpus, p) for p in ("dev", "eval")} == {"had a part in the model that is not known"}
    same = manifest.model_copy(update={"data": [manifest.data[0].model_copy(update={"protocols": own})]})
    assert role(same, corpus, "eval") == "chose nothing"


def test_branches_are_told_with_their_size_and_of_old_configurations_too(store: Path) -> None:
    folder = Store(store).resolve("simple_cnn")
    model = keras.saving.load_model(folder / "model.keras", compile=False)
    (branch,) = branches(model, verify(folder).training)
    assert (branch["name"], branch["family"], branch["view"]) == (
        "main",
        "simple_cnn",
        "log_mel, 32 bands in frames of 25 ms",
    )
    assert 0 < branch["parameters"] <= model.count_params()
    before = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    (old,) = branches(before, {"family": "resnet50", "front_end": {"scale": "linear", "bands": 80}})
    assert (old["family"], old["view"]) == ("resnet50", "linear, 80 bands")
    assert (old["parameters"], old["weight"]) == (3, 1.0)


@pytest.mark.parametrize(
    ("front_end", "view"),
    [
        (FrontEndConfig(kind="waveform"), "the waveform"),
        (FrontEndConfig(kind="lfcc", coefficients=19), "lfcc, 19 coefficients"),
        (FrontEndConfig(kind="frame_lines", rates_hz=(50, 80)), "frame_lines, 2 rates"),
        (FrontEndConfig(kind="layer_images", moved=((200, (3, 4)), (250, (3,)))), "layer_images, 3 rates"),
    ],
)
def test_a_branch_is_told_by_what_it_sees(front_end: FrontEndConfig, view: str) -> None:
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    told = {"branches": {"main": {"family": "any", "front_end": front_end.model_dump()}}}
    assert [branch["view"] for branch in branches(model, told)] == [view]


def test_figures_of_any_shape_become_tables() -> None:
    errors = {"clips": 2, "errors": 1, "error_percent": 50.0, "error_interval_percent": [9.5, 90.5]}
    text = json_tables.tables(
        {
            "seed": 3,
            "moved": {
                "louder": {
                    "words": "a | b",
                    "points": {"low_friction": {"changed": 7}, "balanced": {"changed": 1, "changed_percent": 12.5}},
                }
            },
            "kinds": {"Language": {"en": {"bonafide": errors, "spoof": None}}},
            "missing": {"a": None},
            "flat": {"rate_percent": 1.0, "scores": [1, 2, 3]},
        }
    )
    assert "| seed | 3 |" in text
    assert "| louder | a \\| b | 12.50 |" in text
    assert "7" not in text
    assert "**kinds, Language**" in text
    assert "| en | 2 | 1 | 50.00 (9.50 to 90.50) | \N{EN DASH} |" in text
    assert "**missing**: none" in text
    assert "| rate (%) | 1.00 |" in text
    assert "scores" not in text


@pytest.fixture(scope="module")
def page(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("report")
    corpus = make_corpus(root / "secret" / "made")
    row = {"made dev original": 12.0}
    (root / "ablation.json").write_text(json.dumps({"base": [row, {"made dev original": 14.0}], "none yet": []}))
    (root / "audit.json").write_text(json.dumps({"subject": {"system": "x"}, "lengths": {"1": None}}))
    (root / "weak.md").write_text("It knows <nothing> & less.\n")
    command = ["report", "--store", str(store), "--model", "simple_cnn", "--corpus", str(corpus)]
    extras = ["--ablation", "ablation.json", "--audit", "audit.json", "--weaknesses", "weak.md"]
    paths = [str(root / given) if index % 2 else given for index, given in enumerate(extras)]
    assert main([*command, "--channels", "original,telephone,aac", *paths, "--out", str(root / "out")]) == 0
    return root / "out" / "report.md"


def test_the_page_has_every_section_and_its_pictures(page: Path) -> None:
    text = page.read_text()
    assert [line[3:5] for line in text.splitlines() if re.match(r"## \d", line)] == [f"{n}." for n in range(1, 8)]
    pictures = re.findall(r"!\[.+?\]\((.+?)\)", text)
    assert {path.name for path in page.parent.glob("*.png")} == set(pictures)
    assert len(pictures) == 4
    assert all(path.stat().st_size < 150_000 for path in page.parent.glob("*.png"))
    assert "| base | 2 | 13.0 (12.0 to 14.0) |" in text
    assert "It knows <nothing> & less." in text
    assert "**lengths**: none" in text
    assert "| made | dev | `aac`: through AAC at 24 kbit/s † | 4 | 4 |" in text
    assert "None" not in text


def test_what_a_card_says_of_limits_is_found() -> None:
    shipped = (Store(DEFAULT_ROOT).resolve("duo") / CARD_FILE).read_text()
    said = limits_of(shipped)
    assert said
    assert f"\n## Limits\n\n{said}\n\n## Made with\n" in shipped
    assert limits_of("# a card\n\n## Data\n\nof its own\n") == ""


def test_every_table_of_the_page_is_one(page: Path) -> None:
    tables = re.findall(r"(?:^\|.*\n)+", page.read_text(), flags=re.MULTILINE)
    assert len(tables) >= 6
    for table in tables:
        head, rule, *rows = table.splitlines()
        assert set(rule) <= set("|-"), table
        assert rows, table
        assert {len(re.findall(r"(?<!\\)\|", line)) for line in (head, rule, *rows)} == {head.count("|")}, table


def test_the_page_names_folders_wherever_they_lie(page: Path) -> None:
    text = page.read_text()
    assert "secret" not in text
    assert str(page.parent.parent) not in text
    command = "python -m training report --store path/to/store --model simple_cnn@1 --corpus path/to/made"
    assert f"{command} --channels original,telephone,aac --ablation ablation.json" in text


def test_the_pages_figures_are_those_that_evaluate_gives(page: Path, store: Path, tmp_path: Path) -> None:
    corpus = page.parent.parent / "secret" / "made"
    command = ["evaluate", "--store", str(store), "--model", "simple_cnn", "--corpus", str(corpus)]
    assert main([*command, "--partition", "dev", "--channel", "telephone", "--out", str(tmp_path)]) == 0
    found = json.loads((tmp_path / "evaluation.json").read_text())
    (row,) = [line for line in page.read_text().splitlines() if line.startswith("| made | dev | `telephone`")]
    cells = [cell.strip() for cell in row.split("|")]
    assert cells[6].startswith(f"{found['eer_percent']:.1f} (")
    assert cells[7] == f"{number(found['cllr'])}, {number(found['min_cllr'])}"


def test_input_at_fault_is_a_sentence(store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    corpus = make_corpus(tmp_path / "made")
    command = ["report", "--store", str(store), "--model", "simple_cnn", "--out", str(tmp_path / "out")]
    here = ["--corpus", str(corpus)]
    (tmp_path / "list.json").write_text("[1]")
    (tmp_path / "text.json").write_text("nothing")
    for extra, said in (
        ([*here, "--channels", "pigeon"], "A channel is one of"),
        ([*here, *here], "Corpora that are taken together have different names. Received: made, made."),
        ([*here, "--audit", str(tmp_path / "list.json")], "A file of figures is a JSON object"),
        ([*here, "--partial", str(tmp_path / "text.json")], "A file of figures is JSON"),
    ):
        assert main([*command, *extra]) == 1
        assert said in capsys.readouterr().err


@pytest.mark.parametrize("words", [["report"], ["evaluate", "--partition", "dev"], ["audit", "--partition", "dev"]])
def test_a_partition_of_one_class_is_told_before_it_is_scored(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    corpus = make_corpus(tmp_path / "made")
    protocol = protocol_path(corpus, "dev")
    protocol.write_text("".join(line for line in protocol.read_text().splitlines(True) if line.endswith("bonafide\n")))
    for clip in (corpus / "ASVspoof2019_LA_dev" / "flac").iterdir():
        clip.write_bytes(b"not to be decoded")
    paths = ["--corpus", str(corpus), "--out", str(tmp_path / "out")]
    assert main([*words, "--store", str(store), "--model", "simple_cnn", *paths]) == 1
    assert "on clips of both classes. Received: 4 bonafide, 0 spoof in dev of" in capsys.readouterr().err


def test_a_corpus_is_called_as_the_folder_around_la(tmp_path: Path) -> None:
    assert corpus_name(tmp_path / "mine" / "LA") == corpus_name(tmp_path / "mine") == "mine"
