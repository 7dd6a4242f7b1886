"""Trials - an utterance, what it is, what it scored - and the ASVspoof score files that hold them."""

import gzip
import tempfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn, Self, TextIO, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from model_store.channel_class import ChannelClass
from training.corpus import KEYS, Key

FloatArray = NDArray[np.float64]
T = TypeVar("T")

NOTHING = "-"  # how ASVspoof writes an empty column


class ScoreFileError(ValueError):
    """A score file breaks a rule. The message says file, line, rule and what was received."""


@dataclass(frozen=True, slots=True)
class Trial:
    """One scored utterance. `attack` is None for bonafide, and for spoofs whose attack is not recorded.

    Score files have no place for `channel_class`: it is None for what was read from one.
    """

    speaker: str
    utterance: str
    attack: str | None
    key: Key
    score: float
    channel_class: ChannelClass | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores:
    """The scores of both classes: the one gate that every metric's input passes.

    Parameters
    ----------
    bonafide, spoof : array_like, shape (n,) and (m,)
        Higher speaks for bonafide. Keyword-only, because the two swapped turn every metric upside down.

    Raises
    ------
    ValueError
        Where a class is empty, is not one-dimensional, or holds NaN or infinity.
    """

    bonafide: FloatArray
    spoof: FloatArray

    def __post_init__(self) -> None:
        for key in KEYS:
            values = np.asarray(getattr(self, key), dtype=np.float64)
            if values.ndim != 1 or values.size == 0:
                raise ValueError(
                    "Both classes are needed, each as one row of scores. "
                    f"Received: {key} scores of shape {values.shape}."
                )
            if not np.isfinite(values).all():
                bad = values[~np.isfinite(values)][0]
                raise ValueError(f"Scores are finite. Received: {bad} among the {key} scores.")
            object.__setattr__(self, key, values)

    @classmethod
    def of(cls, trials: Iterable[Trial]) -> Self:
        """The scores of `trials`, each class in the order given."""
        by_key: dict[Key, list[float]] = {"bonafide": [], "spoof": []}
        for trial in trials:
            by_key[trial.key].append(trial.score)
        return cls(bonafide=np.array(by_key["bonafide"]), spoof=np.array(by_key["spoof"]))


def read_trials(path: Path) -> list[Trial]:
    """Read a detector's score file, plain or gzipped, in the file's order.

    Six columns ``SPEAKER UTTERANCE - ATTACK KEY SCORE`` (what `write_trials` writes) or four columns
    ``UTTERANCE ATTACK KEY SCORE`` (ASVspoof 2019's format of submission; the speaker is then ``-``).

    Raises
    ------
    ScoreFileError
        On an unknown key, a score that is not a finite number, a bonafide trial with an attack, an utterance
        that occurs twice, another number of columns, or a file without trials.
    """
    trials: dict[str, tuple[int, Trial]] = {}
    for number, trial in parsed_lines(path, _parse):
        if trial.utterance in trials:
            raise ScoreFileError(
                f"{path}:{number}: An utterance has one score. "
                f"Received: {trial.utterance!r} again, after line {trials[trial.utterance][0]}."
            )
        trials[trial.utterance] = number, trial
    if not trials:
        raise ScoreFileError(f"{path}: A score file holds at least one trial. Received: none.")
    return [trial for _, trial in trials.values()]


def write_trials(path: Path, trials: Iterable[Trial]) -> None:
    """Write a score file of six columns, gzipped where the name ends in ``.gz``; `read_trials` undoes it.

    Raises
    ------
    ValueError
        Where a trial could not be read back: an empty name or one with spaces, a score that is not finite.
    """
    lines = []
    for trial in trials:
        attack = trial.attack or NOTHING
        line = f"{trial.speaker} {trial.utterance} {NOTHING} {attack} {trial.key} {float(trial.score)!r}"
        if _parse(line.split()) != trial:
            refuse("Names in a score file are not empty and have no spaces", line)
        lines.append(line + "\n")
    with _open_to_write(path) as file:
        file.writelines(lines)


def see_writable(folder: Path) -> None:
    """Raise the OSError of writing to a folder, or where it would be made: before what takes hours, not after it."""
    nearest = next(path for path in (folder, *folder.parents) if path.exists())
    tempfile.TemporaryFile(dir=nearest).close()


def parsed_lines(path: Path, parse: Callable[[list[str]], T]) -> Iterator[tuple[int, T]]:
    """Number, from 1, and what `parse` makes of the columns, of each line that is not blank.

    A ValueError of `parse`, or of what cannot be read as text, becomes a ScoreFileError that says file and line.
    """
    with path.open("rb") as file:
        compressed = file.read(2) == b"\x1f\x8b"  # RFC 1952; the name of a file need not say it
    marked = "utf-8-sig"  # what Windows writes before a text is no part of it
    with gzip.open(path, "rt", encoding=marked) if compressed else path.open(encoding=marked) as text:
        number = 0
        try:
            for number, line in enumerate(text, start=1):
                if columns := line.split():
                    yield number, parse(columns)
        except (ValueError, EOFError, zlib.error) as error:  # of UTF-8, of columns; of a gzip that is cut, or broken
            raise ScoreFileError(f"{path}:{number}: {error}") from None


def parse_score(text: str) -> float:
    """A finite number, or a ValueError."""
    try:
        score = float(text)
    except ValueError:
        refuse("A score is a number", text)
    if not np.isfinite(score):
        refuse("A score is finite", text)
    return score


def refuse(rule: str, received: str) -> NoReturn:
    """Raise the ValueError that says both."""
    raise ValueError(f"{rule}. Received: {received!r}.")


def _parse(columns: list[str]) -> Trial:
    match columns:
        case [speaker, utterance, _, attack, key, score]:
            pass
        case [utterance, attack, key, score]:
            speaker = NOTHING
        case _:
            refuse("A trial has 4 or 6 columns", " ".join(columns))
    if key not in KEYS:
        refuse("A key is bonafide or spoof", key)
    if key == "bonafide" and attack not in {NOTHING, "bonafide"}:
        refuse("A bonafide trial has no attack", attack)
    named = key == "spoof" and attack != NOTHING
    return Trial(speaker, utterance, attack if named else None, key, parse_score(score))


def _open_to_write(path: Path) -> TextIO:
    if path.suffix == ".gz":
        return cast("TextIO", gzip.open(path, "wt", encoding="utf-8"))
    return path.open("w", encoding="utf-8")
