"""Error rates by what a clip is: its language, its sample rate, its length, its coding, its source."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from training.channel_scores import ClipFacts
from training.confidence import eer_interval, proportion_interval
from training.kinds import Provenance, sources
from training.metrics import equal_error_rate
from training.summary import percent
from training.trials import Scores, Trial

Shares = dict[str, Any]

FEWEST = 10  # clips of a kind for a row of its own, and clips of either class for an EER
OTHERS = "others"
_BANDS_SECONDS = (1.0, 2.0, 3.0, 5.0)
_PARTITIONS = ("train", "dev", "eval")


def kinds(facts: Mapping[str, ClipFacts], provenance: Provenance) -> dict[str, dict[str, str]]:
    """Of each table's title the kind of each utterance; no table for what is not known, or the same of all.

    Kinds with fewer than ten clips are `OTHERS`.
    """

    def known(column: str) -> Callable[[str], str | None]:
        return lambda name: (provenance[name].get(column) or "none") if column in provenance.get(name, {}) else None

    titles: dict[str, Callable[[str], str | None]] = {
        "language": known("language"),
        "sample rate of the file": lambda name: f"{facts[name].sample_rate:,} Hz",
        "length": lambda name: _band(facts[name].seconds),
        "coding before": known("coding"),
        "source": _heard_before(provenance),
    }
    tables = {}
    for title, kind_of in titles.items():
        found = {name: kind for name in facts if (kind := kind_of(name)) is not None}
        clips = Counter(found.values())
        few = {kind for kind, count in clips.items() if count < FEWEST}
        others = f"{OTHERS} ({len(few)})"
        table = {name: others if kind in few else kind for name, kind in found.items()}
        if len(set(table.values())) > 1:
            tables[title] = table
    return tables


def by_kind(trials: Sequence[Trial], kind_of: Mapping[str, str], *, threshold: float, seed: int) -> dict[str, Shares]:
    """`shares` of each kind, the most frequent first and `OTHERS` last."""
    members: dict[str, list[Trial]] = {}
    for trial in trials:
        if trial.utterance in kind_of:
            members.setdefault(kind_of[trial.utterance], []).append(trial)
    order = sorted(members, key=lambda kind: (kind.startswith(OTHERS), -len(members[kind]), kind))
    return {kind: shares(members[kind], threshold=threshold, seed=seed) for kind in order}


def shares(trials: Sequence[Trial], *, threshold: float, seed: int) -> Shares:
    """Clips, EER and both error rates of trials that may lack a class: what cannot be said is None.

    Intervals are 95 %, over clips, in percent.
    """
    bonafide = [t.score for t in trials if t.key == "bonafide"]
    spoof = [t.score for t in trials if t.key == "spoof"]
    found: Shares = {"bonafide": len(bonafide), "spoof": len(spoof), "eer_percent": None, "eer_interval_percent": None}
    if min(len(bonafide), len(spoof)) >= FEWEST:
        scores = Scores.of(trials)
        found["eer_percent"] = 100 * equal_error_rate(scores).rate
        found["eer_interval_percent"] = percent(eer_interval(scores, seed=seed))
    for name, wrong in (
        ("false_accept", [score >= threshold for score in spoof]),
        ("false_reject", [score < threshold for score in bonafide]),
    ):
        found[f"{name}_percent"] = 100 * sum(wrong) / len(wrong) if wrong else None
        interval = percent(proportion_interval(sum(wrong), trials=len(wrong))) if wrong else None
        found[f"{name}_interval_percent"] = interval
    return found


def generators(attack_of: Mapping[str, str | None], provenance: Provenance) -> dict[str, str]:
    """What each attack is: its most frequent generator in the provenance, and how many more it has."""
    found: dict[str, Counter[str]] = {}
    for name, attack in attack_of.items():
        if attack and (generator := provenance.get(name, {}).get("generator")):
            found.setdefault(attack, Counter())[generator] += 1
    return {
        attack: counted.most_common(1)[0][0] + (f", and {len(counted) - 1} more" if len(counted) > 1 else "")
        for attack, counted in found.items()
    }


def _heard_before(provenance: Provenance) -> Callable[[str], str | None]:
    """Whether a clip's source gave clips to an earlier partition too, of which a model may know its sound."""
    source_of = sources(provenance)
    place = {
        name: _PARTITIONS.index(row["partition"])
        for name, row in provenance.items()
        if name in source_of and row.get("partition") in _PARTITIONS
    }
    first: dict[str, int] = {}
    for name, at in place.items():
        first[source_of[name]] = min(at, first.get(source_of[name], at))

    def kind(name: str) -> str | None:
        if name not in place:
            return None
        return "gave clips to an earlier partition" if first[source_of[name]] < place[name] else "new"

    return kind


def _band(seconds: float) -> str:
    low = 0.0
    for high in _BANDS_SECONDS:
        if seconds < high:
            return f"{low:g} to {high:g} s"
        low = high
    return f"{low:g} s or more"
