"""Clipping is found at any rate, in any encoding, at any level; speech that only peaks has none."""

import tracemalloc

import numpy as np
import pytest

from model_store import audio
from model_store.clipping import FlatTops
from tests.signals import clip, speech


def fraction(signal: np.ndarray, *, rate: int, codec: str) -> float:
    sent = clip(signal, sample_rate=rate, codec=codec)
    return audio.decode(sent, sample_rate=16_000).clipped_fractions[0]


@pytest.mark.parametrize("rate", [8_000, 16_000, 44_100])
@pytest.mark.parametrize("codec", ["PCM_16", "ULAW", "FLOAT"])
@pytest.mark.parametrize("level", [1.0, 0.2])
def test_flat_tops_are_found_and_peaks_are_not(rate: int, codec: str, level: float) -> None:
    clean = speech(seconds=2, sample_rate=rate)
    assert fraction(level * clean / np.abs(clean).max(), rate=rate, codec=codec) < 0.01
    clipped = level * np.clip(20 * clean, -1, 1)  # turned down after it clipped
    assert fraction(clipped, rate=rate, codec=codec) > 0.1


def test_each_channel_is_counted_by_itself_and_so_is_each_side() -> None:
    clean = speech(seconds=2)
    lopsided = np.clip(20 * clean - 0.5, -1, 0.3)
    found = audio.decode(clip(np.column_stack([clean, lopsided]), sample_rate=16_000), sample_rate=16_000)
    assert found.clipped_fractions[0] < 0.01
    assert found.clipped_fractions[1] > 0.1
    (only,) = audio.decode(
        clip(np.column_stack([clean, lopsided]), sample_rate=16_000), sample_rate=16_000, channel=1
    ).clipped_fractions.values()
    assert only == found.clipped_fractions[1]


def test_a_higher_peak_later_takes_back_what_was_counted() -> None:
    flat = np.full((10, 1), 0.5, np.float32)
    tops = FlatTops(1)
    tops.add(flat)
    assert tops.fractions() == [0.9]  # the first of a run only begins it
    tops.add(np.array([[1.0], [0.0]], np.float32))
    assert tops.fractions() == [0.0]


def test_what_is_remembered_does_not_grow_with_a_flat_top() -> None:
    block = np.full((48_000, 1), 0.1, np.float32)
    tops = FlatTops(1)
    tracemalloc.start()
    for _ in range(100):
        tops.add(block)
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held < 100_000  # bytes; 4.8 million samples are held
    assert tops.fractions() == [47_999 / 48_000]


def test_silence_has_no_flat_tops() -> None:
    tops = FlatTops(2)
    tops.add(np.zeros((100, 2), np.float32))
    tops.add(np.zeros((0, 2), np.float32))
    assert tops.fractions() == [0.0, 0.0]
