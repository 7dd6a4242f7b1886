import argparse
import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.made_store import make_corpus
from training import ablate, dataset
from training.ablate import Plan, Row, table
from training.corpus import protocol_path

BASE = {
    "branches": {"main": {"options": {"filters": [2, 2, 2, 2], "dense": 4}, "front_end": {"bands": 32}}},
    "input": {"window_seconds": 1.0, "hop_seconds": 1.0},
    "fit": {"epochs": 1, "batch_size": 4},
}


def test_a_row_is_the_base_and_what_it_sets_and_the_seed() -> None:
    plan = Plan(base=BASE, rows=[Row(name="more bands", set={"branches.main.front_end.bands": 30, "fit.mask": 0.2})])
    config = plan.config(plan.rows[0], seed=3)
    assert (config.branches["main"].front_end.bands, config.fit.mask, config.fit.seed) == (30, 0.2, 3)
    assert config.fit.epochs == 1
    assert plan.base == BASE
    with pytest.raises(ValueError, match="depth"):
        plan.config(Row(name="wrong", set={"fit.depth": 1}), seed=0)


def test_every_row_is_trained_with_every_seed_and_none_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = tmp_path / "plan.json"
    plan.write_text(json.dumps({"base": BASE, "rows": [{"name": "plain"}, {"name": "mask", "set": {"fit.mask": 0.3}}]}))
    args = argparse.Namespace(
        plan=plan, corpus=[make_corpus(tmp_path / "made")], copies=[], seeds=2, out=tmp_path / "out"
    )
    assert ablate.run(args) == 0
    figures = json.loads((tmp_path / "out" / "ablation.json").read_text())
    assert {name: len(runs) for name, runs in figures.items()} == {"plain": 2, "mask": 2}
    assert set(figures["plain"][0]) == {"made dev original", "made dev telephone"}
    configs = [json.loads(path.read_text())["fit"] for path in sorted((tmp_path / "out").glob("*/config.json"))]
    assert sorted((fit["seed"], fit["mask"]) for fit in configs) == [(0, 0.0), (0, 0.3), (1, 0.0), (1, 0.3)]
    monkeypatch.setattr(ablate, "fit", lambda *_: pytest.fail("trained again"))
    assert ablate.run(args) == 0
    plan.write_text(json.dumps({"base": BASE, "rows": [{"name": "other", "set": {"fit.mask": 0.5}}]}))
    with pytest.raises(ValueError, match="the configuration that it began with"):
        ablate.run(args)
    assert json.loads((tmp_path / "out" / "ablation.json").read_text()) == figures


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([{"name": "plain"}, {"name": "typo", "set": {"fit.maks": 0.3}}], "The configuration of 'typo' .*fit.maks: "),
        ([{"name": "plain"}, {"name": "typo", "set": {"branches.main.family": "cnn"}}], "A family is one of"),
        ([{"name": "plain"}, {"nam": "typo"}], "A plan has keys .*rows.1.nam: "),
        ([], "A plan has keys .*rows: "),
    ],
)
def test_a_plan_that_cannot_be_meant_is_refused_before_its_first_row(
    tmp_path: Path, rows: list[dict[str, Any]], said: str
) -> None:
    plan = tmp_path / "plan.json"
    plan.write_text(json.dumps({"base": BASE, "rows": rows}))
    args = argparse.Namespace(
        plan=plan, corpus=[make_corpus(tmp_path / "made")], copies=[], seeds=1, out=tmp_path / "o"
    )
    with pytest.raises(ValueError, match=said) as told:
        ablate.run(args)
    assert "\n" not in str(told.value)
    assert not args.out.exists()


def test_another_eval_is_measured_anew_and_nothing_learned_again(tmp_path: Path) -> None:
    plan = tmp_path / "plan.json"
    plan.write_text(json.dumps({"base": BASE, "rows": [{"name": "plain"}]}))
    corpus = make_corpus(tmp_path / "made")
    args = argparse.Namespace(plan=plan, corpus=[corpus], copies=[], seeds=1, out=tmp_path / "out")

    def figures() -> dict[str, float]:
        dataset._load.cache_clear()  # as in another process
        assert ablate.run(args) == 0
        [found] = json.loads((args.out / "ablation.json").read_text())["plain"]
        return dict(found)

    before, learner = figures(), (args.out / "00-0" / "last.keras").read_bytes()
    dev, evaluated = (corpus / f"ASVspoof2019_LA_{partition}" for partition in ("dev", "eval"))
    evaluated.symlink_to(dev)
    lines = protocol_path(corpus, "dev").read_text()
    protocol_path(corpus, "eval").write_text(lines)
    same = figures()
    assert same == before | {f"made eval {of}": before[f"made dev {of}"] for of in ablate.CHANNELS}
    swapped = {"A01 spoof": "- bonafide", "A02 spoof": "- bonafide", "- bonafide": "A01 spoof"}
    changed = re.sub("|".join(swapped), lambda found: swapped[found[0]], lines)
    protocol_path(corpus, "eval").write_text(changed)
    other = figures()
    assert {name: other[name] for name in before} == before
    assert other["made eval original"] == pytest.approx(100 - same["made eval original"])
    assert (args.out / "00-0" / "last.keras").read_bytes() == learner


def test_no_row_is_another_s_and_no_corpus_either(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="Rows have names of their own. Received: plain, plain"):
        Plan(base=BASE, rows=[Row(name="plain"), Row(name="plain", set={"fit.mask": 0.2})])
    plan = tmp_path / "plan.json"
    plan.write_text(json.dumps({"base": BASE, "rows": [{"name": "plain"}]}))
    corpora = [make_corpus(tmp_path / "one" / "LA"), make_corpus(tmp_path / "two" / "LA")]
    args = argparse.Namespace(plan=plan, corpus=corpora, copies=[], seeds=1, out=tmp_path / "out")
    assert ablate.run(args) == 0
    figures = json.loads((tmp_path / "out" / "ablation.json").read_text())
    assert {name.split()[0] for name in figures["plain"][0]} == {"one", "two"}
    with pytest.raises(ValueError, match="--seeds is 1 or more"):
        ablate.run(argparse.Namespace(**vars(args) | {"seeds": 0}))


def test_the_table_has_means_and_extremes() -> None:
    assert table({"plain": [{"dev": 10.0}, {"dev": 14.0}], "to come": []}) == (
        "| what | seeds | dev |\n|---|---|---|\n| plain | 2 | 12.0 (10.0 to 14.0) |\n"
    )


@pytest.mark.parametrize("path", sorted(Path(ablate.__file__).parent.glob("plans/*.json")), ids=lambda path: path.stem)
def test_each_row_of_our_plans_is_a_configuration_of_its_own(path: Path) -> None:
    plan = Plan.model_validate_json(path.read_text())
    configs = [(plan.config(row, seed=0).model_dump_json(), row.copies) for row in plan.rows]
    assert len(set(configs)) == len({row.name for row in plan.rows}) == len(plan.rows)
