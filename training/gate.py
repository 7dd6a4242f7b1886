"""What an artifact has to hold to be published: limits on the measures of an audit, in one table.

They are about faults that no error rate shows: a detector that hears the level, the pause before a call or the line, or
that calls music on hold a person. Judged on dev, but for the calibration, which has to hold on eval where there is one.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from model_store.detector import Detector
from training.audit import DECIDING, SOUND_CHANNELS, audit
from training.channels import named
from training.corpus import Utterance
from training.transforms import TRANSFORMS

CLIPS = 400  # of dev: a limit of 1 % allows four of their verdicts to change
_EASIEST = "low_friction"  # the operating point where all is accepted that is at another
_LEAST_CLLR = 0.1  # bits: below, a multiple of the minimum says nothing

Measure = Callable[[Mapping[str, Any]], tuple[float, str]]  # audit -> its worst figure, and what that is of


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """A row of the gate. A measure that an audit lacks is a failure, unless the row is `optional`."""

    name: str
    measure: Measure
    at_most: float
    words: str  # what is limited; {} takes a figure
    why: str
    transforms: tuple[str, ...] = ()  # that the measure needs
    optional: bool = False


@dataclass(frozen=True, slots=True)
class Failure:
    """A limit that does not hold. `str` of it is a sentence."""

    limit: Limit
    value: float | None
    worst: str

    def __str__(self) -> str:
        most = f"{self.limit.name}: {self.limit.words.format(f'{self.limit.at_most:g}')}, since {self.limit.why}."
        if self.value is None:
            return f"{most} Received: no measure of it."
        return f"{most} Received: {self.value:.3g}, {self.worst}."


def moved(figures: Mapping[str, Any], *, transforms: Sequence[str]) -> tuple[float, str]:
    """The largest share of verdicts, in percent, that one of these transforms changes at the deciding point."""
    rows = [figures["transforms"][name] for name in transforms]
    worst = max(rows, key=lambda row: float(row["points"][DECIDING]["changed_percent"]))
    at = worst["points"][DECIDING]
    return float(at["changed_percent"]), f"{at['changed']} of {at['compared']} with {worst['words']}"


def unspoken(
    figures: Mapping[str, Any], *, channels: Sequence[str], point: str, recorded: bool = False
) -> tuple[float, str]:
    """The share, in percent, of signals that nobody spoke that are called bonafide at a point, in the worst channel.

    Raises
    ------
    KeyError
        Of such signals, made or `recorded`, there are none.
    """
    shares = {}
    for channel in channels:
        rows = {name: row for name, row in figures["non_speech"][channel].items() if row["recorded"] == recorded}
        if not rows:
            raise KeyError("signals")
        called = {name: row["bonafide"][point] for name, row in rows.items()}
        said = ", ".join(f"{count} of {name}" for name, count in called.items() if count)
        share = 100 * sum(called.values()) / sum(row["signals"] for row in rows.values())
        shares[share] = f"{said} {named(channel).words}" if said else "none"
    worst = max(shares)
    return worst, shares[worst]


def batch(figures: Mapping[str, Any]) -> tuple[float, str]:
    """How far a score moves when its clip is scored with others."""
    return float(figures["batch_difference"]), "the largest difference"


def calibration(figures: Mapping[str, Any]) -> tuple[float, str]:
    """Cllr over its minimum, of the worst of the `evaluated` corpora."""
    ratios = {name: row["cllr"] / max(row["min_cllr"], _LEAST_CLLR) for name, row in figures["evaluated"].items()}
    worst = max(ratios, key=lambda name: ratios[name])
    return ratios[worst], f"on {worst}"


def _moved(name: str, *transforms: str, percent: float, why: str) -> Limit:
    return Limit(
        name=name,
        measure=partial(moved, transforms=transforms),
        at_most=percent,
        words="at most {} % of the verdicts may change",
        why=why,
        transforms=transforms,
    )


_UNHEARD = "nobody hears it"

LIMITS = (
    _moved(
        "level",
        *("level_up", "level_down", "level_up_16", "level_down_16"),
        percent=1,
        why="how loud a caller is says nothing of who speaks",
    ),
    _moved(
        "silence",
        *("silence_before", "silence_after", "silence_around"),
        percent=1,
        why="a pause beside the speech is the recorder's, and the best known shortcut (arXiv:2106.12914)",
    ),
    _moved("polarity", "polarity", percent=1, why=_UNHEARD),
    _moved("offset", "offset", percent=2, why=_UNHEARD),
    _moved("sample rate", "rate_44100", "rate_48000", percent=2, why="a higher rate on the way takes nothing away"),
    _moved("shift", "shift", percent=2, why=_UNHEARD),
    _moved("dither", "dither", percent=2, why=_UNHEARD),
    _moved("gateway", "gateway_8000", "gateway_12000", percent=5, why="cheap gateways leave images, as vocoders do"),
    _moved("hum", "hum_50", "hum_60", percent=8, why="the mains are the building's, and a line's"),
    Limit(
        name="not speech",
        measure=partial(unspoken, channels=("original",), point=_EASIEST),
        at_most=0,
        words="at most {} % of the signals that nobody spoke may be called bonafide",
        why="silence, noise, tones and music are what a line carries before anyone speaks",
    ),
    Limit(
        name="not speech, coded",
        measure=partial(unspoken, channels=SOUND_CHANNELS[1:], point=DECIDING),
        at_most=1,
        words=f"at most {{}} % of them may be called bonafide through any speech codec, at {DECIDING}",
        why="such a codec makes something like a voice of any sound",
    ),
    Limit(
        name="recorded sounds",
        measure=partial(unspoken, channels=SOUND_CHANNELS, point=DECIDING, recorded=True),
        at_most=2,
        words=f"at most {{}} % of recorded music and sounds may be called bonafide, through any channel, at {DECIDING}",
        why="what is made by formulas does not stand for music on hold, or for what a caller's room sounds of",
        optional=True,
    ),
    Limit(
        name="batch",
        measure=batch,
        at_most=1e-4,
        words="a score may move by at most {} when its clip is scored with others",
        why="a caller's verdict must not depend on other callers",
    ),
    Limit(
        name="calibration",
        measure=calibration,
        at_most=1.3,
        words="Cllr may be at most {} times its minimum",
        why="a score is read as a log-likelihood ratio",
        optional=True,
    ),
)


def check(figures: Mapping[str, Any], *, limits: Sequence[Limit] = LIMITS) -> list[Failure]:
    """The limits that an audit does not hold, in the table's order; none is a pass.

    Parameters
    ----------
    figures : mapping
        What `training.audit.audit` found; with `evaluated`, corpus -> `training.summary.summarise`, the calibration
        is judged too.
    """
    return [failure for limit in limits if (failure := _judge(limit, figures)) is not None]


def release(
    detector: Detector,
    utterances: Sequence[Utterance],
    *,
    seed: int,
    clips: int = CLIPS,
    evaluated: Mapping[str, Mapping[str, Any]] | None = None,
    sounds: Sequence[Utterance] = (),
) -> dict[str, Any]:
    """Audit a detector as far as the gate asks and judge it, ready for JSON and a manifest's metrics.

    Parameters
    ----------
    utterances : sequence of Utterance
        Of dev, with files. Never of eval, of which no more than its calibration is a condition of release.
    evaluated : mapping, optional
        Corpus -> its figures on eval, with `cllr` and `min_cllr`: already made, and reported whatever they are.
    sounds : sequence of Utterance
        Recordings that nobody spoke, with files, of which training has heard none.

    Returns
    -------
    dict
        `seed`, `clips`, `measures` (name -> `value`, None where there is none, `at_most` and `of`, what it is the worst
        of) and `failures`, a sentence each.
    """
    transforms = {name: TRANSFORMS[name] for limit in LIMITS for name in limit.transforms}
    figures = audit(detector, utterances, clips=clips, seed=seed, transforms=transforms, sounds=sounds)
    if evaluated:
        figures["evaluated"] = evaluated
    measures = {}
    for limit in LIMITS:
        value, worst = _measured(limit, figures)
        measures[limit.name] = {"value": value, "at_most": limit.at_most, "of": worst}
    return {
        "seed": seed,
        "clips": figures["clips"]["transformed"],
        "measures": measures,
        "failures": [str(failure) for failure in check(figures)],
    }


def _judge(limit: Limit, figures: Mapping[str, Any]) -> Failure | None:
    value, worst = _measured(limit, figures)
    if value is None:
        return None if limit.optional else Failure(limit, None, worst)
    return None if value <= limit.at_most else Failure(limit, value, worst)  # NaN is not within a limit


def _measured(limit: Limit, figures: Mapping[str, Any]) -> tuple[float | None, str]:
    try:
        return limit.measure(figures)
    except KeyError:
        return None, ""
