"""An ASVspoof 2019 LA folder and its protocols -> utterances.

The layout, as the organisers ship it and as other corpora may imitate it::

    LA/
    ├── ASVspoof2019_LA_cm_protocols/ASVspoof2019.LA.cm.{train.trn,dev.trl,eval.trl}.txt
    └── ASVspoof2019_LA_{train,dev,eval}/flac/<UTTERANCE>.flac

A protocol line reads ``SPEAKER UTTERANCE SOURCE ATTACK KEY``; the attack of a bonafide utterance is ``-``. The source
is the bonafide utterance that a spoof was made from, or ``-``, as throughout ASVspoof 2019 LA. A corpus may be the
whole of it or a subset, with or without an eval partition: the protocol says what is in it, and every utterance that
it names has to be there.

Reference: X. Wang et al., "ASVspoof 2019: a large-scale public database of synthesized, converted and replayed
speech", Computer Speech & Language 64 (2020).
"""

import hashlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, get_args

from model_store.errors import AudioError

Partition = Literal["train", "dev", "eval"]
Key = Literal["bonafide", "spoof"]

PARTITIONS: tuple[Partition, ...] = get_args(Partition)
KEYS: tuple[Key, ...] = get_args(Key)
NOT_SPEECH = (
    "not_speech"  # the attack of a spoof that is none: music or noise, which is not to be called bonafide either
)

_PROTOCOLS = "ASVspoof2019_LA_cm_protocols"
_PROTOCOL_FILES = {"train": "train.trn", "dev": "dev.trl", "eval": "eval.trl"}


class CorpusError(Exception):
    """A corpus that does not follow its layout. The message says the rule, where, and what was received."""


@dataclass(frozen=True, slots=True)
class Utterance:
    """One line of a protocol and, when read with its folder, the file that it names."""

    speaker: str
    id: str
    attack: str | None  # None for bonafide
    key: Key
    path: Path | None = None
    source: str | None = None  # the utterance that it was made from, of this corpus or another


def corpus_name(root: Path) -> str:
    """What a corpus is called in a manifest: its folder's name, or that of the folder around ``LA``."""
    folder = root.resolve()
    return folder.parent.name if folder.name == "LA" else folder.name


def corpus_names(roots: Iterable[Path]) -> list[str]:
    """What corpora that are taken together are called, each by a name of its own, or a CorpusError."""
    names = [corpus_name(root) for root in roots]
    if len(set(names)) < len(names):
        raise CorpusError(f"Corpora that are taken together have different names. Received: {', '.join(names)}.")
    return names


def protocol_path(root: Path, partition: Partition) -> Path:
    """Where the protocol of `partition` lies below `root`, which is the ``LA`` folder or the one around it."""
    for folder in (root, root / "LA"):
        if (folder / _PROTOCOLS).is_dir():
            return folder / _PROTOCOLS / f"ASVspoof2019.LA.cm.{_PROTOCOL_FILES[partition]}.txt"
    raise CorpusError(f"A corpus folder holds {_PROTOCOLS}/. Received: {root}, which has none.")


def partition_folder(layout: Path, partition: Partition) -> Path:
    """Where the clips of `partition` lie below `layout`, which is the folder that has the protocols' folder."""
    return layout / f"ASVspoof2019_LA_{partition}" / "flac"


def protocol_sha256(root: Path, partition: Partition) -> str:
    """The hash that a manifest records for the protocol that a model was made from."""
    return hashlib.sha256(protocol_path(root, partition).read_bytes()).hexdigest()


def read_protocol(path: Path) -> list[Utterance]:
    """Read a protocol without looking at audio.

    Raises
    ------
    CorpusError
        No such file or one that is not UTF-8, a line without five columns, an unknown key, a key and an attack that
        contradict each other, or an utterance named twice.
    """
    if not path.is_file():
        raise CorpusError(f"A partition has a protocol file. Received: none at {path}.")
    utterances: dict[str, Utterance] = {}
    for number, line in enumerate(read_utf8(path).splitlines(), start=1):
        if not line.strip():
            continue
        utterance = _parse(line, where=f"{path}:{number}")
        if utterance.id in utterances:
            raise CorpusError(f"{path}:{number}: an utterance is named once. Received: {utterance.id} again.")
        utterances[utterance.id] = utterance
    if not utterances:
        raise CorpusError(f"A protocol names at least one utterance. Received: {path}, which is empty.")
    return list(utterances.values())


def read_partition(root: Path, partition: Partition) -> list[Utterance]:
    """Read a partition: its protocol, with the path of each utterance.

    Raises
    ------
    CorpusError
        As `read_protocol`; and if any utterance that the protocol names has no file.
    """
    protocol = protocol_path(root, partition)
    utterances = read_protocol(protocol)
    folder = partition_folder(protocol.parent.parent, partition)
    # One listing instead of 71,237 look-ups.
    present = {entry.name for entry in folder.iterdir()} if folder.is_dir() else set()
    missing = [u.id for u in utterances if f"{u.id}.flac" not in present]
    if missing:
        raise CorpusError(
            f"Every utterance of a protocol has a file. Received: {len(missing)} of {len(utterances)} that "
            f"{protocol.name} names are not in {folder}, the first {missing[0]}.flac."
        )
    return [replace(u, path=folder / f"{u.id}.flac") for u in utterances]


def read_to_judge(root: Path, partition: Partition) -> list[Utterance]:
    """Read a partition whose errors are to be measured.

    Raises
    ------
    CorpusError
        As `read_partition`; and if it lacks a class, which is told before anything is scored.
    """
    utterances = read_partition(root, partition)
    bonafide, spoof = (sum(u.key == key for u in utterances) for key in KEYS)
    if not bonafide or not spoof:
        received = f"{bonafide} bonafide, {spoof} spoof in {partition} of {root}"
        raise CorpusError(f"Errors are measured on clips of both classes. Received: {received}.")
    return utterances


def read_not_speech(root: Path) -> list[Utterance]:
    """The eval partition of a corpus that nobody spoke, as `training/recipes/sounds.py` makes one.

    Raises
    ------
    CorpusError
        As `read_partition`; and if any utterance is of another attack than `NOT_SPEECH`, or of a person.
    """
    utterances = read_partition(root, "eval")
    if spoken := [u.id for u in utterances if u.attack != NOT_SPEECH]:
        rule = f"A corpus of sounds has clips of the attack {NOT_SPEECH} alone"
        raise CorpusError(f"{rule}. Received: {len(spoken):,} others in {root}, such as {spoken[0]}.")
    return utterances


def read_utf8(path: Path) -> str:
    """The text of a corpus' file, without the mark that Windows writes before it."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        received = f"byte {error.object[error.start]:#04x} in line {line}"
        raise CorpusError(f"{path}: the text of a corpus is UTF-8. Received: {received}.") from None


@contextmanager
def clip_named(path: Path) -> Iterator[None]:
    """Let a clip that cannot be decoded be a CorpusError that says which file it is."""
    try:
        yield
    except AudioError as error:
        raise CorpusError(f"{path}: {error}") from error


def write_protocol(path: Path, utterances: Iterable[Utterance]) -> None:
    """Write a protocol that `read_protocol` reads, in one step: no half of one is ever there."""
    lines = [f"{u.speaker} {u.id} {u.source or '-'} {u.attack or '-'} {u.key}\n" for u in utterances]
    temporary = path.with_name(f"new-{path.name}")
    temporary.write_text("".join(lines), encoding="utf-8")
    temporary.replace(path)


def attacks(utterances: Iterable[Utterance]) -> set[str]:
    """The attacks among `utterances`."""
    return {u.attack for u in utterances if u.attack is not None}


def _parse(line: str, *, where: str) -> Utterance:
    columns = line.split()
    if len(columns) != 5:
        raise CorpusError(f"{where}: a line reads SPEAKER UTTERANCE SOURCE ATTACK KEY. Received: {line!r}.")
    speaker, utterance, source, attack, key = columns
    if key not in KEYS:
        raise CorpusError(f"{where}: the key is one of {', '.join(KEYS)}. Received: {key!r}.")
    if (key == "bonafide") != (attack == "-"):
        raise CorpusError(f"{where}: bonafide has the attack '-', spoof has a name. Received: {attack!r}, {key}.")
    return Utterance(
        speaker, utterance, None if attack == "-" else attack, key, source=None if source == "-" else source
    )
