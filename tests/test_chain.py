"""The audit trail's files: what is done to them is found."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from service import audit_files
from service.audit_files import Files
from service.chain import GENESIS, AuditError, AuditKey, hash_of, line_of, tail_of, tail_path
from service.chain_check import Verified, verify

PARTS = (3, 4, 2)  # decisions in each of an instance's files


@pytest.fixture
def key(tmp_path: Path) -> AuditKey:
    path = tmp_path / "key"
    path.write_bytes(bytes(range(32)))
    return AuditKey.read(path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "trail"
    made.mkdir()
    return made


def written(folder: Path, key: AuditKey, *, end: bool = True) -> list[Path]:
    """An instance's files, in order; each but the last rotated."""
    before = set(folder.glob("*.jsonl"))
    files, number = Files(folder, key, max_bytes=1 << 20), 0
    for part, count in enumerate(PARTS):
        if part:
            files.close("rotated")
        for _ in range(count):
            files.write([{"kind": "decision", "score": float(number)}])
            number += 1
        files.sync()
    if end:
        files.close("ended")
    return sorted(set(folder.glob("*.jsonl")) - before)


def lines(path: Path) -> list[bytes]:
    return path.read_bytes().splitlines(keepends=True)


def test_a_trail_as_it_was_written_is_right(folder: Path, key: AuditKey) -> None:
    paths = written(folder, key)
    assert len(paths) == 3
    entries = [json.loads(line) for path in paths for line in lines(path)]
    assert [entry["seq"] for entry in entries] == list(range(sum(PARTS) + 3))
    assert [entry["kind"] for entry in entries].count("head") == 3
    assert entries[0]["prev"] == GENESIS
    assert len(entries[0]["nonce"]) == 32
    assert entries[1]["prev"] == hash_of(lines(paths[0])[0])
    assert json.loads(lines(paths[1])[0])["prev"] == hash_of(lines(paths[0])[-1])  # through the rotation
    others = written(folder, key)  # of another process, at the same time
    assert not {path.name for path in paths} & {path.name for path in others}
    assert lines(paths[0])[0] != lines(others[0])[0]
    assert verify([*others, *reversed(paths)], key) == Verified([], [], 2 * len(entries))


def test_a_trail_that_is_written_while_it_is_read_is_right(
    folder: Path, key: AuditKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    files, read = Files(folder, key, max_bytes=1 << 20), Path.read_bytes

    def write() -> None:
        files.write([{"kind": "decision"}])
        files.sync()

    def read_and_write(path: Path) -> bytes:
        found = read(path)
        write()
        return found

    write()
    monkeypatch.setattr(Path, "read_bytes", read_and_write)
    assert verify(list(folder.glob("*.jsonl")), key).findings == []


def removed(text: list[bytes]) -> list[bytes]:
    return text[:2] + text[3:]


def changed(text: list[bytes]) -> list[bytes]:
    return [line.replace(b'"score":4.0', b'"score":9.0') for line in text]


def last_changed(text: list[bytes]) -> list[bytes]:
    return [line.replace(b'"score":6.0', b'"score":9.0') for line in text]


def moved(text: list[bytes]) -> list[bytes]:
    return [*text[:2], text[3], text[2], *text[4:]]


def renumbered(text: list[bytes]) -> list[bytes]:
    """Removed, and the numbers put right."""
    found = [json.loads(line) for line in removed(text)]
    first = found[0]["seq"]
    return [
        json.dumps(entry | {"seq": first + n}, separators=(",", ":")).encode() + b"\n" for n, entry in enumerate(found)
    ]


def made_anew(text: list[bytes]) -> list[bytes]:
    """Changed, and every hash after it put right: by somebody without the key."""
    out: list[bytes] = []
    for line in changed(text):
        entry = json.loads(line)
        seq, previous = entry.pop("seq"), entry.pop("prev")
        out.append(line_of(entry, seq=seq, previous=hash_of(out[-1]) if out else previous))
    return out


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (removed, "line 3 has the number 7 after 5: lines were removed or moved"),
        (changed, "line 4 was not written after line 3 as it is: one of them was changed"),
        (last_changed, "its tail is of other lines: they were changed"),
        (moved, "lines were removed or moved"),
        (renumbered, "line 3 was not written after line 2"),
        (made_anew, "the chain was made anew"),
        (lambda text: text[:-1], "its tail is at number 8, its last line at 7: the end was cut off"),
        (lambda text: [*text[:-1], text[-1][:9]], "the end was cut off"),
        (lambda text: text[1:], "its first line is not a head"),
        (lambda text: [], "its first line is not a head"),
        (lambda text: [*text, line_of({}, seq=9, previous=hash_of(text[-1]))], "they were added"),
        (lambda text: [*text, b"half a li"], "they were added"),
        (lambda text: [text[0], b"no entry\n", *text[2:]], "line 2 is not an entry"),
        (lambda text: [text[0], b"[]\n", *text[2:]], "line 2 is not an entry"),
    ],
)
def test_a_fault_in_a_file_is_found(
    folder: Path, key: AuditKey, fault: Callable[[list[bytes]], list[bytes]], said: str
) -> None:
    paths = written(folder, key)
    paths[1].write_bytes(b"".join(fault(lines(paths[1]))))
    findings = verify(paths, key).findings
    assert findings[0].startswith(paths[1].name)
    assert said in findings[0]


def test_a_file_that_is_gone_is_found(folder: Path, key: AuditKey) -> None:
    first, middle, last = written(folder, key)
    assert verify([first, last], key).findings == [
        f"{last.name}: does not follow {first.name}: files are missing, or were changed"
    ]
    assert verify([first, middle], key).findings == [f"{middle.name}: the file after it is missing"]
    assert verify([middle, last], key).findings == [f"{middle.name}: the file before it is missing"]
    assert verify([middle, last], key, partial=True).findings == []  # what is old was deleted
    assert verify([first, last], key, partial=True).findings != []


def test_a_tail_cannot_be_made_without_the_key(folder: Path, key: AuditKey, tmp_path: Path) -> None:
    first, middle, last = written(folder, key)
    usual = tail_path(middle).read_bytes()
    (tmp_path / "other").write_bytes(bytes(32))
    other = AuditKey.read(tmp_path / "other")
    cut = lines(middle)[:-1]
    forged = tail_of(other, file=middle.name, state="rotated", seq=7, last=hash_of(cut[-1]))
    for tail in (forged, tail_path(first).read_bytes(), usual.replace(b"rotated", b"ended"), b"{}", b""):
        tail_path(middle).write_bytes(tail)
        [finding, *_] = verify([first, middle, last], key).findings
        assert "its tail" in finding
    tail_path(middle).unlink()
    assert "cannot be read" in verify([first, middle, last], key).findings[0]
    tail_path(middle).write_bytes(usual)
    assert verify([first, middle, last], key).findings == []
    assert f"Received: {other.name}" in verify([last], other).findings[0]


def test_a_process_that_was_killed_leaves_a_trail_that_is_right(folder: Path, key: AuditKey) -> None:
    paths = written(folder, key, end=False)
    with paths[-1].open("ab") as file:  # written, not yet signed for; and the last of it not to its end
        file.write(line_of({"kind": "decision"}, seq=12, previous=hash_of(lines(paths[-1])[-1])) + b'{"half')
    result = verify(paths, key)
    assert result.findings == []
    assert result.notes == [
        f"{paths[-1].name}: it is being written, or its process was killed: 1 lines after its tail, and a part of one"
    ]


def test_files_end_by_size_and_by_day(folder: Path, key: AuditKey, monkeypatch: pytest.MonkeyPatch) -> None:
    files = Files(folder, key, max_bytes=1_000)
    for _ in range(20):
        files.write([{"kind": "decision", "text": 100 * "x"}])
    count = len(list(folder.glob("*.jsonl")))
    assert 3 <= count <= 7
    assert max(path.stat().st_size for path in folder.glob("*.jsonl")) < 1_400
    monkeypatch.setattr(files, "_day", "2000-01-01")
    files.write([{"kind": "decision"}])
    files.write([])
    assert len(list(folder.glob("*.jsonl"))) == count + 1
    files.close("ended")
    assert verify(sorted(folder.glob("*.jsonl")), key).findings == []
    assert {path.stat().st_mode & 0o777 for path in folder.glob("*.jsonl")} == {0o600}


def test_a_write_that_fails_halfway_leaves_nothing(
    folder: Path, key: AuditKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    files, usual, room = Files(folder, key, max_bytes=1 << 20), os.write, [1 << 20]

    def full(descriptor: int, data: bytes) -> int:
        if not room[0]:
            raise OSError(28, "No space left on device")
        done = usual(descriptor, data[: room[0]])
        room[0] -= done
        return done

    monkeypatch.setattr(audit_files.os, "write", full)
    files.write([{"kind": "decision", "n": 0}])
    for left in (0, 10, 300):  # no byte, part of a line, a line and a part
        room[0] = left
        with pytest.raises(OSError, match="No space"):
            files.write([{"kind": "decision", "text": 200 * "x"}] * 2)
    room[0] = 1 << 20
    files.write([{"kind": "decision", "n": 1}])
    files.close("ended")
    [path] = folder.glob("*.jsonl")
    assert verify([path], key) == Verified([], [], 3)
    assert [json.loads(line).get("n") for line in lines(path)] == [None, 0, 1]


def test_a_file_that_cannot_be_begun_is_not_left(folder: Path, key: AuditKey, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    files = Files(folder, key, max_bytes=1 << 20)
    with monkeypatch.context() as patched:
        patched.setattr(audit_files.os, "write", full)
        with pytest.raises(OSError, match="No space"):
            files.write([{"kind": "decision"}])
    assert list(folder.iterdir()) == []
    files.write([{"kind": "decision"}])
    files.close("ended")
    assert verify(list(folder.glob("*.jsonl")), key) == Verified([], [], 2)


def test_a_file_that_is_removed_or_moved_gets_no_more_lines(
    folder: Path, key: AuditKey, caplog: pytest.LogCaptureFixture
) -> None:
    files = Files(folder, key, max_bytes=1 << 20)
    files.write([{"kind": "decision", "n": 0}])
    files.sync()
    [first] = folder.glob("*.jsonl")
    first.rename(folder / "moved")
    files.write([{"kind": "decision", "n": 1}])
    [second] = folder.glob("*.jsonl")
    assert [json.loads(line).get("n") for line in lines(second)] == [None, 1]
    [told] = [record for record in caplog.records if record.levelname == "ERROR"]
    assert (told.file, told.sha256) == (first.name, hash_of(lines(folder / "moved")[-1]))  # type: ignore[attr-defined]
    files.close("ended")
    assert verify([second], key).findings == [f"{second.name}: the file before it is missing"]
    (folder / "moved").rename(first)
    assert verify([first, second], key).findings == []


def test_a_folder_that_is_gone_is_waited_for(folder: Path, key: AuditKey) -> None:
    files = Files(folder, key, max_bytes=1 << 20)
    files.write([{"kind": "decision", "n": 0}])
    shutil.rmtree(folder)
    for _ in range(2):
        with pytest.raises(FileNotFoundError):
            files.write([{"kind": "decision", "n": 1}])
    folder.mkdir()
    files.write([{"kind": "decision", "n": 1}])
    files.close("ended")
    [path] = folder.glob("*.jsonl")
    assert [json.loads(line).get("n") for line in lines(path)] == [None, 1]


def test_a_key_is_long_enough(tmp_path: Path) -> None:
    path = tmp_path / "key"
    with pytest.raises(AuditError, match="can be read"):
        AuditKey.read(path)
    path.write_bytes(bytes(31))
    with pytest.raises(AuditError, match="31 bytes"):
        AuditKey.read(path)
    path.write_bytes(bytes(32))
    found: Any = AuditKey.read(path)
    assert len({found.audio, found.tail, bytes(32)}) == 3
