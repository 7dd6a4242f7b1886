"""Request ids are ULIDs, as Python's own base 32 reads them, and sort as they were made."""

import time
from types import SimpleNamespace

import pytest

from service import ids
from service.ids import new_id

_TO_PYTHONS = str.maketrans("ABCDEFGHJKMNPQRSTVWXYZ", "ABCDEFGHIJKLMNOPQRSTUV")


def read(made: str) -> int:
    """The number that it is."""
    assert len(made) == 26
    return int(made.translate(_TO_PYTHONS), 32)


def test_it_is_a_ulid_of_its_time() -> None:
    before_ms = time.time_ns() // 1_000_000
    made_ms = read(new_id()) >> 80
    assert before_ms <= made_ms <= time.time_ns() // 1_000_000


def test_they_sort_as_they_were_made_and_none_is_made_twice() -> None:
    made = [new_id() for _ in range(10_000)]
    assert made == sorted(set(made))


def test_its_bits_are_where_they_belong(monkeypatch: pytest.MonkeyPatch) -> None:
    def made(time_ns: int, chance: bytes) -> int:
        monkeypatch.setattr(ids, "time", SimpleNamespace(time_ns=lambda: time_ns))
        monkeypatch.setattr(ids, "os", SimpleNamespace(urandom=lambda _: chance))
        return read(new_id())

    first, ones = bytes(8), b"\xff" * 8
    assert made(0, first) == 0
    assert made(1_000_000, first) == 1 << 80
    assert made(999_999, first) == 999_999 << 60
    assert made(0, ones) == (1 << 60) - 1
    assert made(((1 << 48) - 1) * 1_000_000, first) == (1 << 48) - 1 << 80
    assert [made(0, (1 << bit).to_bytes(8)) for bit in range(60)] == [1 << bit for bit in range(60)]


def test_those_of_two_processes_at_one_time_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ids, "time", SimpleNamespace(time_ns=lambda: 1_800_000_000_000_000_000))
    made = [new_id() for _ in range(1_000)]
    assert len({one[:14] for one in made}) == 1
    assert len({one[14:] for one in made}) == len(made)
