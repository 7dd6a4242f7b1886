"""Is an audit trail as it was written: what was removed, changed, moved or cut off."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from service.chain import GENESIS, AuditKey, hash_of, tail_of, tail_path


@dataclass(slots=True)
class Verified:
    """What is wrong with a trail, what is only to be known, and how many lines are in order."""

    findings: list[str]
    notes: list[str]
    lines: int = 0


@dataclass(frozen=True, slots=True)
class _Chain:
    """A file that is right by itself."""

    name: str
    head: dict[str, Any]
    last_seq: int
    last_hash: str
    tail: dict[str, Any]


class _Wrong(Exception):
    """What is wrong with a file. The first thing is told: what comes after it cannot be judged."""


def verify(paths: Sequence[Path], key: AuditKey, *, partial: bool = False) -> Verified:
    """Find what is wrong in files of a trail, of one instance or of several.

    Parameters
    ----------
    paths : in any order
    partial : whether an instance's first or last files may be missing, as after what is old has been deleted
    """
    result = Verified([], [])
    chains: list[_Chain] = []
    for path in paths:
        try:
            chain = _read(path, key, result.notes)
        except _Wrong as error:
            result.findings.append(f"{path.name}: {error}")
            continue
        chains.append(chain)
        result.lines += chain.last_seq - int(chain.head["seq"]) + 1
    chains.sort(key=lambda chain: (chain.head["instance"], chain.head["part"]))
    for before, after in zip([None, *chains], [*chains, None], strict=True):
        result.findings += _between(before, after, partial=partial)
    return result


def _between(before: _Chain | None, after: _Chain | None, *, partial: bool) -> list[str]:
    """What is wrong where one file ends and the next begins."""
    if before and after and before.head["instance"] == after.head["instance"]:
        head = after.head
        ends = (before.last_hash, before.last_seq + 1, before.head["part"] + 1)
        if (head["prev"], head["seq"], head["part"]) != ends:
            return [f"{after.name}: does not follow {before.name}: files are missing, or were changed"]
        return []
    if partial:
        return []
    found = []
    if before and before.tail["state"] == "rotated":
        found.append(f"{before.name}: the file after it is missing")
    if after and (after.head["part"], after.head["prev"], after.head["seq"]) != (1, GENESIS, 0):
        found.append(f"{after.name}: the file before it is missing")
    return found


def _read(path: Path, key: AuditKey, notes: list[str]) -> _Chain:
    try:
        signed = tail_path(path).read_bytes()  # first: of a file that is being written, a later tail is of later lines
        lines = path.read_bytes().splitlines(keepends=True)
    except OSError as error:
        raise _Wrong(f"{Path(error.filename).name} cannot be read: {error.strerror}") from None
    tail = _parsed(signed, "its tail is not one", seq=int, hash=str, state=str)
    cut = bool(lines) and not lines[-1].endswith(b"\n")
    whole = lines[:-1] if cut else lines
    entries = _linked(whole)
    if not entries or entries[0].get("kind") != "head":
        raise _Wrong("its first line is not a head: lines were removed or moved")
    head = _parsed(whole[0], "its head is not one: it was changed", instance=str, part=int)
    if head.get("key") != key.name:
        raise _Wrong(f"it was written with the key {head.get('key')}. Received: {key.name}")
    if signed != tail_of(key, file=path.name, state=tail["state"], seq=tail["seq"], last=tail["hash"]):
        raise _Wrong("its tail was not signed with this key: it was changed, or is of another file")
    last_seq = int(entries[-1]["seq"])
    if tail["seq"] > last_seq:
        raise _Wrong(f"its tail is at number {tail['seq']}, its last line at {last_seq}: the end was cut off")
    if tail["seq"] < head["seq"] or hash_of(whole[tail["seq"] - head["seq"]]) != tail["hash"]:
        raise _Wrong("its tail is of other lines: they were changed, or the chain was made anew")
    if tail["state"] == "open":
        more = f"{last_seq - tail['seq']} lines after its tail{', and a part of one' if cut else ''}"
        notes.append(f"{path.name}: it is being written, or its process was killed: {more}")
    elif cut or last_seq > tail["seq"]:
        raise _Wrong("there are lines after its end: they were added")
    return _Chain(path.name, head, last_seq, hash_of(whole[-1]), tail)


def _linked(lines: list[bytes]) -> list[dict[str, Any]]:
    """The entries of lines of which each follows the one before."""
    entries: list[dict[str, Any]] = []
    for number, line in enumerate(lines, 1):
        entry = _parsed(line, f"line {number} is not an entry: it was changed", seq=int, prev=str)
        if entries and entry["seq"] != entries[-1]["seq"] + 1:
            seq, before = entry["seq"], entries[-1]["seq"]
            raise _Wrong(f"line {number} has the number {seq} after {before}: lines were removed or moved")
        if entries and entry["prev"] != hash_of(lines[number - 2]):
            raise _Wrong(f"line {number} was not written after line {number - 1} as it is: one of them was changed")
        entries.append(entry)
    return entries


def _parsed(data: bytes, otherwise: str, **types: type) -> dict[str, Any]:
    try:
        entry = json.loads(data)
    except ValueError:
        raise _Wrong(otherwise) from None
    if not isinstance(entry, dict) or not all(isinstance(entry.get(name), kind) for name, kind in types.items()):
        raise _Wrong(otherwise)
    return entry
