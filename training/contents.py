"""What a corpus holds, by its protocols alone: clips, speakers and attacks, and which partitions share them."""

import re
from collections.abc import Iterable
from itertools import combinations
from typing import Any

import pandas as pd

from training.corpus import KEYS, PARTITIONS


def contents(table: pd.DataFrame) -> dict[str, Any]:
    """Count a corpus, ready for JSON.

    Parameters
    ----------
    table : DataFrame
        A row for each utterance, with the columns `partition`, `speaker`, `attack` and `key`.

    Returns
    -------
    dict
        `partitions`: of each, `clips` and `speakers` by class, `speakers_of_both` classes, its `attacks`, and
        those of them that no partition before it has (`new_attacks`). `attacks`: clips of each by partition.
        `shared_speakers`: of each pair of partitions, how many speak bonafide in both.
    """
    present = [p for p in PARTITIONS if (table["partition"] == p).any()]
    partitions: dict[str, Any] = {}
    seen: set[str] = set()
    for partition in present:
        of_partition = table[table["partition"] == partition]
        by_key = {key: of_partition[of_partition["key"] == key] for key in KEYS}
        speakers = {key: set(by_key[key]["speaker"]) for key in KEYS}
        attacks = set(by_key["spoof"]["attack"])
        partitions[partition] = {
            "clips": {key: len(by_key[key]) for key in KEYS},
            "speakers": {key: len(speakers[key]) for key in KEYS} | {"all": len(set.union(*speakers.values()))},
            "speakers_of_both": len(speakers["bonafide"] & speakers["spoof"]),
            "attacks": sorted(attacks),
            "new_attacks": sorted(attacks - seen),
        }
        seen |= attacks
    spoofs = table[table["key"] == "spoof"]
    return {
        "clips": len(table),
        "speakers": int(table["speaker"].nunique()),
        "partitions": partitions,
        "attacks": {
            attack: {p: int((spoofs["attack"].eq(attack) & spoofs["partition"].eq(p)).sum()) for p in present}
            for attack in sorted(seen)
        },
        "shared_speakers": [
            {"partitions": list(pair), "speakers": len(_bonafide_speakers(table, pair[0], pair[1]))}
            for pair in combinations(present, 2)
        ],
    }


def ranges(names: Iterable[str]) -> str:
    """Names with their consecutive numbers drawn together: `A01 to A06, A19`."""
    runs: list[list[str]] = []
    for name in sorted(names):
        if runs and _follows(runs[-1][-1], name):
            runs[-1].append(name)
        else:
            runs.append([name])
    return ", ".join(f"{run[0]} to {run[-1]}" if len(run) > 2 else ", ".join(run) for run in runs)


def _follows(name: str, other: str) -> bool:
    this, that = (re.fullmatch(r"(.*?)(\d+)", text) for text in (name, other))
    return bool(this and that and this[1] == that[1] and int(this[2]) + 1 == int(that[2]))


def _bonafide_speakers(table: pd.DataFrame, first: str, second: str) -> set[str]:
    """Who speaks bonafide in both partitions."""
    bonafide = table[table["key"] == "bonafide"]
    return set(bonafide.loc[bonafide["partition"] == first, "speaker"]) & set(
        bonafide.loc[bonafide["partition"] == second, "speaker"]
    )
