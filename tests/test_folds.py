import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from model_store.manifest import Corpus
from model_store.store import Store, verify
from tests.corpora import make_corpus
from tests.made_store import CONFIG
from training.__main__ import main
from training.config import Config
from training.corpus import Utterance, attacks, protocol_path, protocol_sha256, read_partition, write_protocol
from training.folds import assign
from training.model_facts import learned_attacks, role
from training.publish import _recipe as recipe_of
from training.publish import publish


def utterances(*, speakers: int, kinds: int) -> list[Utterance]:
    human = [Utterance(f"S{n}", f"B{n}_{i}", None, "bonafide") for n in range(speakers) for i in range(1 + n % 3)]
    return human + [Utterance("T", f"P{n}_{i}", f"A{n}", "spoof") for n in range(kinds) for i in range(2 + n % 5)]


def test_no_attack_and_no_speaker_is_in_two_folds_and_each_has_its_share() -> None:
    made = utterances(speakers=40, kinds=15)
    fold_of = assign(made, folds=3, seed=1)
    for key, group in (("bonafide", "speaker"), ("spoof", "attack")):
        folds = [{getattr(u, group) for u in made if u.key == key and fold_of[u.id] == fold} for fold in range(3)]
        assert sum(map(len, folds)) == len(set().union(*folds))
        counts = [sum(u.key == key and fold_of[u.id] == fold for u in made) for fold in range(3)]
        assert max(counts) - min(counts) <= 6
    assert assign(made, folds=3, seed=1) == fold_of
    assert assign(made, folds=3, seed=2) != fold_of


def test_each_fold_needs_an_attack_and_a_speaker_of_its_own() -> None:
    with pytest.raises(ValueError, match="Received: 2 attacks"):
        assign(utterances(speakers=5, kinds=2), folds=3, seed=0)
    with pytest.raises(ValueError, match="Received: 2 bonafide speakers or sources"):
        assign(utterances(speakers=2, kinds=5), folds=3, seed=0)


def test_the_speakers_of_a_source_stay_together_unless_they_are_much_of_a_fold() -> None:
    made = utterances(speakers=40, kinds=15)
    bonafide = [u for u in made if u.key == "bonafide"]
    source_of = {u.id: "library" if int(u.speaker[1:]) < 25 else f"site {int(u.speaker[1:]) % 8}" for u in bonafide}
    fold_of = assign(made, folds=3, seed=1, source_of=source_of)
    held = {source: {fold_of[u.id] for u in bonafide if source_of[u.id] == source} for source in source_of.values()}
    assert held.pop("library") == {0, 1, 2}
    assert {len(folds) for folds in held.values()} == {1}
    assert {len({fold_of[u.id] for u in bonafide if u.speaker == f"S{n}"}) for n in range(40)} == {1}
    two_sites = next(u.id for u in bonafide if u.speaker == "S26")
    for seed in range(8):
        moved = assign(made, folds=3, seed=seed, source_of=source_of | {two_sites: "elsewhere"})
        assert len({moved[u.id] for u in bonafide if u.speaker == "S26"}) == 1


def test_no_corpus_takes_the_place_of_another_of_its_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one, other = (make_corpus(tmp_path / folder / "LA", partitions=("train",)) for folder in ("a/own", "b/own"))
    for option in ("--corpus", "--copies"):
        command = ["folds", "--corpus", str(one), option, str(other), "--folds", "2", "--out", str(tmp_path / "folds")]
        assert main(command) == 1
        assert "have different names. Received: own, own." in capsys.readouterr().err
        assert not (tmp_path / "folds").exists()


def test_several_corpora_are_dealt_out_as_one(tmp_path: Path) -> None:
    """Each has its part of every fold; one without dev is pooled from train alone."""
    first = make_corpus(tmp_path / "first", partitions=("train", "dev"), attacks=("A01", "A02"))
    second = make_corpus(tmp_path / "second", partitions=("train",), attacks=("B01", "B02"), speakers=4)
    command = ["folds", "--corpus", str(first), "--corpus", str(second), "--folds", "2", "--out", str(tmp_path / "f")]
    assert main(command) == 1  # both name the same utterances
    protocol = protocol_path(second, "train")
    protocol.write_text(protocol.read_text().replace("MADE_T", "ALSO_T"))
    for clip in (second / "ASVspoof2019_LA_train" / "flac").iterdir():
        clip.rename(clip.with_name(clip.name.replace("MADE_T", "ALSO_T")))
    rows = "".join(f"{u.id},maker/site/{u.id}.wav\n" for u in read_partition(second, "train") if u.key == "bonafide")
    (second / "provenance.csv").write_text("id,source\n" + rows)
    assert main(command) == 0
    everyone = {u.id for u in read_partition(second, "train")}
    assert {u.id for u in read_partition(tmp_path / "f" / "all" / "second", "train")} == everyone
    dev = [read_partition(tmp_path / "f" / fold / "second", "dev") for fold in ("1", "2")]
    assert {u.id for part in dev for u in part} == everyone
    assert json.loads((tmp_path / "f" / "all" / "second" / "pooled.json").read_text()).keys() == {"train"}


def test_without_sources_speakers_are_dealt_out_as_if_none_were_known(tmp_path: Path) -> None:
    corpus = make_corpus(tmp_path / "made", partitions=("train",), attacks=("A01", "A02"), speakers=20)
    voices = [u for u in read_partition(corpus, "train") if u.key == "bonafide"]
    speakers = sorted({u.speaker for u in voices})
    rows = "".join(f"{u.id},maker/site{speakers.index(u.speaker) // 2}/{u.id}.wav\n" for u in voices)
    (corpus / "provenance.csv").write_text("id,source\n" + rows)

    def held_out(out: str, *options: str) -> set[str]:
        command = ["folds", "--corpus", str(corpus), "--folds", "2", "--out", str(tmp_path / out)]
        assert main([*command, *options]) == 0
        return {u.id for u in read_partition(tmp_path / out / "1" / "made", "dev")}

    apart, shared = held_out("apart"), held_out("shared", "--no-sources")
    (corpus / "provenance.csv").unlink()
    assert shared == held_out("unknown") != apart


def test_a_spoof_that_names_its_source_is_not_learned_from_where_that_is_held_out(tmp_path: Path) -> None:
    corpus = make_corpus(tmp_path / "made", partitions=("train",), attacks=("A01", "A02"))
    human, spoofs = ([u for u in read_partition(corpus, "train") if u.key == key] for key in ("bonafide", "spoof"))
    named = [replace(spoof, source=u.id) for spoof, u in zip(spoofs[:-2], human[:-2], strict=True)]
    write_protocol(protocol_path(corpus, "train"), [*human, *named, *spoofs[-2:]])
    assert main(["folds", "--corpus", str(corpus), "--folds", "2", "--out", str(tmp_path / "folds")]) == 0
    dropped = 0
    for fold in ("1", "2"):
        learned, dev = (read_partition(tmp_path / "folds" / fold / "made", part) for part in ("train", "dev"))
        held_out = {u.id for u in dev}
        assert not {u.source for u in learned} & held_out
        missing = {u.id for u in [*named, *spoofs]} - {u.id for u in learned} - held_out
        assert missing == {u.id for u in named if u.source in held_out and u.id not in held_out}
        dropped += len(missing)
    assert dropped


@pytest.fixture(scope="module")
def folds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corpus of three partitions and copies of two of its bonafide clips, in two folds."""
    root = tmp_path_factory.mktemp("folds")
    corpus = make_corpus(root / "made", partitions=("train", "dev", "eval"), attacks=("A01", "A02", "A03"))
    copies = make_corpus(root / "copies", partitions=("train",))
    originals = [u for u in read_partition(corpus, "train") if u.key == "bonafide"]
    copied = [u for u in read_partition(copies, "train") if u.key == "spoof"]
    write_protocol(
        copies / "ASVspoof2019_LA_cm_protocols" / "ASVspoof2019.LA.cm.train.trn.txt",
        (Utterance(o.speaker, c.id, "V01", "spoof", source=o.id) for o, c in zip(originals, copied, strict=True)),
    )
    command = ["folds", "--corpus", str(corpus), "--copies", str(copies), "--folds", "2"]
    assert main([*command, "--out", str(root / "folds")]) == 0
    assert main([*command, "--out", str(root / "folds")]) == 1  # something is in the way
    return root


def test_folds_are_there_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    corpus = make_corpus(tmp_path / "made", partitions=("train",), attacks=("A01", "A02"), speakers=4)
    command = ["folds", "--corpus", str(corpus), "--folds", "2", "--out", str(tmp_path / "folds")]

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("training.folds.protocol_sha256", killed)  # when all but a note is written
        with pytest.raises(KeyboardInterrupt):
            main(command)
    assert not (tmp_path / "folds").exists()
    assert main(command) == 0
    assert {path.name for path in tmp_path.iterdir()} == {"made", "folds"}
    assert (tmp_path / "folds" / "all" / "made" / "pooled.json").exists()


def test_what_is_held_out_of_one_fold_is_learned_from_in_the_other(folds: Path) -> None:
    whole = {u.id for part in ("train", "dev") for u in read_partition(folds / "made", part)}
    held_out = []
    for fold in ("1", "2"):
        learned, dev = (read_partition(folds / "folds" / fold / "made", part) for part in ("train", "dev"))
        assert {u.id for u in learned} | {u.id for u in dev} == whole
        assert not attacks(learned) & attacks(dev)
        assert not {u.speaker for u in learned if u.key == "bonafide"} & {u.speaker for u in dev if u.key == "bonafide"}
        held_out += [u.id for u in dev]
        copies = read_partition(folds / "folds" / fold / "copies", "train")
        assert copies
        assert {u.source for u in copies} <= {u.id for u in learned}
    assert sorted(held_out) == sorted(whole)
    together = folds / "folds" / "all"
    assert {u.id for u in read_partition(together / "made", "train")} == whole
    assert len(read_partition(together / "copies", "train")) == 12
    assert protocol_sha256(together / "made", "eval") == protocol_sha256(folds / "made", "eval")


def test_a_model_of_everything_is_calibrated_on_what_others_had_not_learned(folds: Path, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(CONFIG.model_copy(update={"fusion": "mean"}).model_dump_json())
    make_corpus(tmp_path / "beside", speakers=2, attacks=("B01",))

    def train(fold: str, *overrides: str) -> None:
        command = ["train", "--corpus", str(folds / "folds" / fold / "made"), "--corpus", str(tmp_path / "beside")]
        command += ["--config", str(tmp_path / "config.json"), "--set", "fit.epochs=1", *overrides]
        assert main([*command, "--out", str(tmp_path / fold)]) == 0

    for fold, name in (("1", "held_out"), ("2", "simple_cnn"), ("all", "simple_cnn")):
        train(fold, "--set", f"name={name}", "--set", f'parts=[{{"name": "{name}", "start": "of {fold}"}}]')
    command = ["publish", "--run", str(tmp_path / "all"), "--store", str(tmp_path / "store"), "--no-onnx"]
    for fold in ("1", "2", "1"):  # a clip that two runs hold out counts once
        command += ["--held-out", str(tmp_path / fold)]
    assert main([*command, "--no-gate", "nobody will rely on it"]) == 0
    manifest = verify(Store(tmp_path / "store").resolve("simple_cnn@1"))

    on = manifest.output.operating_points["balanced"].measured_on
    assert on.startswith("beside, dev and made, held out in turn, original and telephone and narrowband: ")
    assert on.endswith(", 24 spoofs of 3 attacks not in training")  # beside's only attack is learned from
    assert set(manifest.metrics["made"]) == {"held out", "eval"}
    assert manifest.metrics["made"]["held out"]["gsm"]["trials"]["spoof"] == 24
    assert role(manifest, folds / "made", "dev") == "was learned from"
    assert role(manifest, folds / "made", "eval") == "chose nothing"
    assert learned_attacks(manifest, folds / "made") == {"A01", "A02", "A03"}

    def without_parts(corpus: Corpus) -> Corpus:
        named = {name: digest for name, digest in corpus.protocols.items() if not name.startswith("pooled")}
        return corpus.model_copy(update={"protocols": named})

    older = manifest.model_copy(update={"data": [without_parts(corpus) for corpus in manifest.data]})
    assert older.data != manifest.data
    assert role(older, folds / "made", "dev") == role(older, folds / "made", "train") == "was learned from"
    assert role(older, folds / "made", "eval") == "chose nothing"
    assert learned_attacks(older, folds / "made") == {"A01", "A02", "A03"}

    def refused(match: str, *runs: str, **changes: Any) -> None:
        kept = {run: (tmp_path / run / "config.json").read_text() for run in runs}
        for run, config in kept.items():
            changed = Config.model_validate_json(config).model_copy(update=changes)
            (tmp_path / run / "config.json").write_text(changed.model_dump_json())
        with pytest.raises(ValueError, match=match):
            publish(tmp_path / "all", tmp_path / "store", held_out=[tmp_path / "1"], licences={}, onnx=False)
        for run, config in kept.items():
            (tmp_path / run / "config.json").write_text(config)

    refused("of the recipe", "1", fit=CONFIG.fit.model_copy(update={"seed": 7}))
    refused("of the recipe", "1", augment=CONFIG.augment.model_copy(update={"noise": 0.5}))
    refused("of the recipe", "1", parts=({"fusion": "mean"},))
    refused("which shares abc with it", "1", "all", start="abc")
    refused("which shares abc with it", "1", "all", teachers=("abc",))
    refused("which shares of all with it", "1", parts=({"start": "of all"},))
    refused("which shares deep with it", "1", "all", parts=({"parts": ({"start": "deep"},)},))


def test_a_recipe_is_the_same_whatever_its_parts_began_with() -> None:
    one, other = (Config(parts=({"parts": ({"start": name, "name": name},)},)) for name in ("one", "other"))
    assert recipe_of(one) == recipe_of(other) != recipe_of(Config())
