"""What an exploration finds: figures for JSON, and the findings in plain words."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import pandas as pd

from training.corpus import KEYS
from training.features import Feature
from training.shortcuts import Separation, constant

QUANTILES = {"low": 0.05, "median": 0.5, "high": 0.95}

Claims = Mapping[str, Any]  # as `explore.json` has them


def rates(found: Separation) -> dict[str, Any]:
    """How well a feature separates the classes; rates in percent."""
    return {
        "eer_percent": 100 * found.eer,
        "interval_percent": [100 * end for end in found.interval],
        "interval_over": found.over,
        "how": found.how,
        "shortcut": found.shortcut,
    }


def values(clips: pd.DataFrame, feature: Feature) -> dict[str, Any]:
    """Quantiles of each class in `values`, unless the feature is a name; `constant`, if a class has one value."""
    found: dict[str, Any] = {}
    if feature.unit:
        by_key = {key: clips.loc[clips["key"] == key, feature.name] for key in KEYS}
        found["values"] = {
            key: {name: float(column.quantile(share)) for name, share in QUANTILES.items()}
            for key, column in by_key.items()
        }
    alike = constant(clips, feature)
    return found if alike is None else found | {"constant": asdict(alike)}


def findings(features: Sequence[Feature], judged: Mapping[str, Claims], *, learned_from: str) -> list[dict[str, str]]:
    """A sentence or two for each shortcut, and for each feature of which a class has one value.

    Parameters
    ----------
    features : sequence of Feature
        The order of the sentences.
    judged : mapping of str to mapping
        By name; in `partitions`, the `rates` and `values` of each.
    learned_from : str
        The partition that a model would learn from.

    Returns
    -------
    list of dict
        `kind`, `feature` and `text`.
    """
    found = []
    for feature in features:
        claims = judged[feature.name]["partitions"]
        flagged = [partition for partition in claims if claims[partition]["shortcut"]]
        if flagged:
            text = _shortcut(feature, claims, flagged, learned_from=learned_from)
            found.append({"kind": "Shortcut", "feature": feature.name, "text": text})
        elif one_sided := [partition for partition in claims if "constant" in claims[partition]]:
            text = _one_sided(feature, claims[one_sided[0]]["constant"], partition=one_sided[0])
            found.append({"kind": "One-sided", "feature": feature.name, "text": text})
    return found


def _shortcut(feature: Feature, claims: Claims, flagged: Sequence[str], *, learned_from: str) -> str:
    partition = learned_from if learned_from in flagged else flagged[0]
    others = ", ".join(f"{name} {claims[name]['eer_percent']:.0f} %" for name in claims if name != partition)
    text = f"Knowing only the {feature.words} gives {claims[partition]['eer_percent']:.0f} % EER in {partition}"
    text += f" ({others})" if others else ""
    text += (
        ": a model may learn this instead of speech."
        if learned_from in flagged
        else f": {learned_from} does not teach it, but what a detector reaches here may owe something to it."
    )
    return f"{text} {_difference(feature, claims[partition])}".strip()


def _difference(feature: Feature, claims: Claims) -> str:
    """Where the classes lie; nothing for categories, whose figure says it better."""
    if feature.categorical:
        return ""
    of_class = claims["values"]
    if claims["how"].startswith("near"):
        spans = {key: " to ".join(feature.text(of_class[key][end]) for end in ("low", "high")) for key in KEYS}
        return f"Nine in ten have {spans['bonafide']} in bonafide, {spans['spoof']} in spoof."
    medians = {key: feature.text(of_class[key]["median"]) for key in KEYS}
    return f"Median {medians['bonafide']} in bonafide, {medians['spoof']} in spoof."


def _one_sided(feature: Feature, constant: Claims, *, partition: str) -> str:
    other = "spoof" if constant["key"] == "bonafide" else "bonafide"
    value = feature.text(constant["value"]) if feature.unit else str(constant["value"])
    return (
        f"The {feature.words} of every {constant['key']} clip of {partition} is {value}, and "
        f"{100 * constant['given_away']:.0f} % of the {other} clips have another: they are given away."
    )
