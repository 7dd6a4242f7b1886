"""`python -m training explore`: what is in a corpus, and what a model could learn from it instead of speech.

Writes a folder that stands by itself: `index.html`, its figures, the clips that it shows, `clips.csv` with a row
for each clip that was measured, and `explore.json` with every figure of the page.
"""

import argparse
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from tqdm import tqdm

from training.clip_table import drawn, measured, read_corpora
from training.contents import contents, ranges
from training.corpus import PARTITIONS
from training.explore_plots import attack_bars, example, mirrored, shortcut_chart
from training.features import CORPUS, FEATURES, Feature, decode_as_is
from training.findings import findings, rates, values
from training.options import add_seed
from training.plots import save
from training.report import render
from training.shortcuts import HOW, LIMIT, Separation, separation, together
from training.trials import see_writable

BONAFIDE_EXAMPLES = 3  # of each partition, for one of each attack

Separations = dict[str, Separation]  # by partition


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `python -m training explore`."""
    parser.add_argument(
        "--corpus",
        type=Path,
        action="append",
        required=True,
        metavar="DIR",
        help="folder in the layout of ASVspoof 2019 LA; again for another, to look at what both make together",
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="where the report is written")
    parser.add_argument(
        "--examples",
        type=int,
        default=1,
        metavar="N",
        help=f"clips to show of each attack, and {BONAFIDE_EXAMPLES} times as many bonafide of each partition; the "
        "report then holds copies of them (default: 1)",
    )
    parser.add_argument(
        "--limit", type=int, metavar="N", help="measure at most N clips of each partition and class, drawn at random"
    )
    add_seed(parser, "every random choice")


def run(args: argparse.Namespace) -> int:
    """Write the report to `--out`.

    Raises
    ------
    CorpusError
        A folder that does not follow the layout.
    ValueError
        Arguments out of range, or no clip that can be decoded.
    """
    if args.examples < 0 or (args.limit is not None and args.limit < 1):
        raise ValueError(f"--examples is 0 or more, --limit 1 or more. Received: {args.examples}, {args.limit}.")
    utterances = read_corpora(args.corpus)
    see_writable(args.out)
    clips = measured(drawn(utterances, at_most=args.limit, seed=args.seed))
    readable = clips[clips["problem"].isna()]
    if readable.empty:
        raise ValueError(f"A corpus has clips that can be decoded. Received: {len(clips)}, none of which can.")
    features = [*FEATURES, CORPUS] if clips["corpus"].nunique() > 1 else list(FEATURES)
    found, combined = judge(readable, features, seed=args.seed)
    claims = _claims(utterances, clips, found, combined) | {"seed": args.seed}

    args.out.mkdir(parents=True, exist_ok=True)
    clips.drop(columns="path").to_csv(args.out / "clips.csv", index=False)
    (args.out / "explore.json").write_text(json.dumps(claims, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    _draw_figures(readable, found, combined, claims["attacks"], args.out)
    examples = list(_examples(readable, count=args.examples, seed=args.seed))
    for clip in tqdm(examples, desc="draw examples", unit="clip", disable=None):
        _write_example(clip, args.out)
    varying = [feature for feature in found if _varies(readable, feature)]
    render(
        "explore.html.j2",
        args.out / "index.html",
        varying=varying,
        unvarying=[feature for feature in found if feature not in varying],
        examples=examples,
        how=HOW,
        ranges=ranges,
        **claims,
    )
    return 0


def judge(
    clips: pd.DataFrame, features: Sequence[Feature], *, seed: int
) -> tuple[dict[Feature, Separations], Separations]:
    """How each feature separates the classes of each partition, and how all do together.

    The features come in order of their EER in the first partition, where a model would learn them; those that a
    class lacks altogether are left out.
    """
    by_partition = {p: clips[clips["partition"] == p] for p in PARTITIONS if (clips["partition"] == p).any()}
    judged: dict[Feature, Separations] = {}
    for feature in tqdm(features, desc="judge features", disable=None):
        separations = {p: separation(of_p, feature, seed=seed) for p, of_p in by_partition.items()}
        judged[feature] = {p: found for p, found in separations.items() if found is not None}
    ranked = sorted((f for f in judged if judged[f]), key=lambda f: next(iter(judged[f].values())).eer)
    combined = {p: together(of_p, features, seed=seed) for p, of_p in by_partition.items()}
    return {f: judged[f] for f in ranked}, {p: found for p, found in combined.items() if found is not None}


def _claims(
    utterances: pd.DataFrame, clips: pd.DataFrame, found: Mapping[Feature, Separations], combined: Separations
) -> dict[str, Any]:
    """Every figure of the report, ready for JSON."""
    readable = clips[clips["problem"].isna()]
    held = contents(utterances)
    judged = {
        feature.name: {
            "title": feature.title,
            "unit": feature.unit,
            "meaning": feature.meaning,
            "partitions": {
                p: rates(of_p) | values(readable[readable["partition"] == p], feature)
                for p, of_p in separations.items()
            },
        }
        for feature, separations in found.items()
    }
    learned_from = next(iter(held["partitions"]))  # train, where there is one
    return held | {
        "corpora": sorted(clips["corpus"].unique()),
        "measured": len(readable),
        "hours": float(readable["duration_seconds"].sum() / 3600),
        "unreadable": clips.loc[clips["problem"].notna(), ["id", "problem"]].to_dict("records"),
        "learned_from": learned_from,
        "limit_percent": 100 * LIMIT,
        "shortcuts": [f.name for f in found if any(of_p.shortcut for of_p in found[f].values())],
        "findings": findings(list(found), judged, learned_from=learned_from),
        "features": judged,
        "together": {p: rates(of_p) for p, of_p in combined.items()},
    }


def _varies(clips: pd.DataFrame, feature: Feature) -> bool:
    return bool(clips[feature.name].nunique() > 1)


def _draw_figures(
    clips: pd.DataFrame,
    found: Mapping[Feature, Separations],
    combined: Separations,
    attacks: Mapping[str, Mapping[str, int]],
    out: Path,
) -> None:
    varying = [feature for feature in found if _varies(clips, feature)]
    if varying:
        rows = {"All together": combined} if combined else {}
        save(shortcut_chart(rows | {feature.title: found[feature] for feature in varying}), out / "shortcuts.png")
    partitions = [p for p in PARTITIONS if (clips["partition"] == p).any()]
    for feature in varying:
        save(mirrored(clips, feature, partitions=partitions), out / f"feature_{feature.name}.png")
    if attacks:
        save(attack_bars(attacks), out / "attacks.png")


def _examples(clips: pd.DataFrame, *, count: int, seed: int) -> Iterator[dict[str, Any]]:
    """Clips to show: bonafide of each partition, then of each attack, drawn at random."""
    shuffled = clips.sample(frac=1, random_state=seed)
    is_spoof = shuffled["key"] == "spoof"
    bonafide = shuffled[~is_spoof].groupby("partition").head(BONAFIDE_EXAMPLES * count)
    bonafide = bonafide.sort_values("partition", key=lambda column: column.map(PARTITIONS.index), kind="stable")
    spoof = shuffled[is_spoof].groupby("attack").head(count).sort_values("attack", kind="stable")
    for number, row in enumerate(pd.concat([bonafide, spoof]).to_dict("records"), start=1):
        yield {str(name): value for name, value in row.items()} | {"file": f"examples/{number:03}_{row['id']}"}


def _write_example(clip: Mapping[str, Any], out: Path) -> None:
    waveform, sample_rate = decode_as_is(clip["path"])
    (out / "examples").mkdir(exist_ok=True)
    save(example(waveform, sample_rate=sample_rate, key=clip["key"]), out / f"{clip['file']}.png")
    shutil.copyfile(clip["path"], out / f"{clip['file']}.flac")
