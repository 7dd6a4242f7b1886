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


def test_its_digits_are_where_they_belong(monkeypatch: pytest.MonkeyPatch) -> None:
    def made(time_ns: int, chance: int) -> str:
        monkeypatch.setattr(ids, "time", SimpleNamespace(time_ns=lambda: time_ns))
        monkeypatch.setattr(ids, "random", SimpleNamespace(getrandbits=lambda bits: chance & (1 << bits) - 1))
        return new_id()

    assert made(0, 0) == 26 * "0"
    for bit in range(48):
        assert read(made((1 << bit) * 1_000_000, 0)) == 1 << bit + 80
    assert made(((1 << 48) - 1) * 1_000_000, 0) == "7ZZZZZZZZZ" + 16 * "0"
    assert made(999_999, 0) == 10 * "0" + f"{999_999:05X}" + 11 * "0"
    assert made(0, -1) == 15 * "0" + 11 * "F"


def test_those_of_two_processes_at_one_time_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ids, "time", SimpleNamespace(time_ns=lambda: 1_800_000_000_000_000_000))
    made = [new_id() for _ in range(1_000)]
    assert len({one[:15] for one in made}) == 1
    assert len({one[15:] for one in made}) == len(made)
