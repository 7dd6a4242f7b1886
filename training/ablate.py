"""`python -m training ablate`: what each part of a recipe buys, over several seeds.

A plan is a JSON file: a ``base`` configuration, and ``rows``, each with the overrides that make it differ from the base
and whether it learns from the copies too. Every row is trained with every seed; dev is what one would choose by, eval
is what one then gets. Nothing is chosen here.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
from pydantic import BaseModel, ConfigDict, Field, field_validator

from training import channels, dataset
from training.config import Config, override, read_object, validated
from training.corpus import corpus_name, protocol_path, protocol_sha256
from training.fit import clip_logits, fit
from training.metrics import equal_error_rate
from training.model import make_branches
from training.train import claim
from training.trials import Scores

CHANNELS = ("original", "telephone")


class Row(BaseModel):
    """One line of the table."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    set: dict[str, Any] = Field(default={}, description="what differs from the base, as --set of train has it")
    copies: bool = Field(default=False, description="whether the corpora of --copies are learned from too")


class Plan(BaseModel):
    """A table to make."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    base: dict[str, Any]
    rows: list[Row] = Field(min_length=1)

    @field_validator("rows")
    @classmethod
    def _have_names_of_their_own(cls, rows: list[Row]) -> list[Row]:
        names = [row.name for row in rows]
        if len(set(names)) < len(names):
            raise ValueError(f"Rows have names of their own. Received: {', '.join(names)}.")
        return rows

    def config(self, row: Row, *, seed: int) -> Config:
        """The configuration of a row's run."""
        data = json.loads(json.dumps(self.base))
        for name, value in {**row.set, "fit.seed": seed}.items():
            override(data, name, value)
        return validated(Config, data, what=f"The configuration of {row.name!r}")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("--plan", type=Path, required=True, help="JSON: a base configuration, and rows")
    parser.add_argument("--corpus", type=Path, action="append", required=True, help="as train has it")
    parser.add_argument(
        "--copies", type=Path, action="append", default=[], help="a corpus of copies, for rows with them"
    )
    parser.add_argument("--seeds", type=int, default=3, metavar="N", help="seeds 0 to N - 1 (default: 3)")
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        help="runs and the table; goes on where it was interrupted, with the same rows in the same places",
    )


def run(args: argparse.Namespace) -> int:
    """Train whatever is missing, and write ``ablation.json`` and ``ablation.md`` after each run.

    Raises
    ------
    ValueError
        No seed, a row that is no configuration, two rows of one name, or `--out` holds runs of other rows or corpora.
    """
    if args.seeds < 1:
        raise ValueError(f"--seeds is 1 or more. Received: {args.seeds}.")
    plan = validated(Plan, read_object(args.plan, what="A plan"), what="A plan")
    for row in plan.rows:  # before the first is trained: the last one's turn may come in days
        make_branches(plan.config(row, seed=0))
    evaluated = {corpus_name(c): protocol_sha256(c, "eval") for c in args.corpus if protocol_path(c, "eval").exists()}
    figures: dict[str, list[dict[str, float]]] = {row.name: [] for row in plan.rows}
    for seed in range(args.seeds):
        for number, row in enumerate(plan.rows):
            folder = args.out / f"{number:02}-{seed}"
            found = folder / "errors.json"
            config = plan.config(row, seed=seed)
            corpora = [*args.corpus, *(args.copies if row.copies else [])]
            claim(folder, config, corpora)
            kept = json.loads(found.read_text()) if found.exists() else {}
            if kept.get("eval") != evaluated:  # train and dev are as they were: `claim` has seen to it
                model = fit(config, corpora, folder)
                kept = {"eval": evaluated, "percent": errors(model, config, args.corpus)}
                found.write_text(json.dumps(kept, indent=1))
            figures[row.name].append(kept["percent"])
            (args.out / "ablation.json").write_text(json.dumps(figures, indent=1))
            (args.out / "ablation.md").write_text(table(figures))
    print(table(figures))
    return 0


def errors(path: Path, config: Config, corpora: Sequence[Path]) -> dict[str, float]:
    """EER in percent of a run's model on dev and eval of each corpus, by ``corpus partition channel``."""
    model = keras.saving.load_model(path, compile=False)
    by_window = keras.Model(model.input, keras.ops.expand_dims(model.output, -1))
    found = {}
    for corpus in corpora:
        for partition in ("dev", "eval"):
            if not protocol_path(corpus, partition).exists():
                continue
            recordings = dataset.load([corpus], partition, sample_rate=config.input.sample_rate)
            bonafide = np.array([r.utterance.key == "bonafide" for r in recordings])
            for channel in CHANNELS:
                through = [_through(recording, channel, config) for recording in recordings]
                logits = clip_logits(by_window, through, config)[:, 0]
                rate = equal_error_rate(Scores(bonafide=logits[bonafide], spoof=logits[~bonafide])).rate
                found[f"{corpus_name(corpus)} {partition} {channel}"] = 100 * rate
    return found


def table(figures: Mapping[str, Sequence[Mapping[str, float]]]) -> str:
    """Markdown: for each row and column the mean over seeds, and the lowest and the highest."""
    columns = list(dict.fromkeys(name for runs in figures.values() for of_seed in runs for name in of_seed))
    lines = ["| what | seeds | " + " | ".join(columns) + " |", "|---|---|" + "---|" * len(columns)]
    for row, runs in figures.items():
        if runs:
            values = [[of_seed[column] for of_seed in runs] for column in columns]
            cells = [f"{np.mean(v):.1f} ({min(v):.1f} to {max(v):.1f})" for v in values]
            lines.append(f"| {row} | {len(runs)} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _through(recording: dataset.Recording, channel: str, config: Config) -> dataset.Recording:
    change = channels.named(channel).apply
    return recording.changed(lambda waveform: change(waveform, sample_rate=config.input.sample_rate))
