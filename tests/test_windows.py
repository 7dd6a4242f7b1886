import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_store import windows


@given(samples=st.integers(1, 500), window=st.integers(1, 60), hop=st.integers(1, 60))
def test_windows_cover_every_sample_and_none_twice_without_need(samples: int, window: int, hop: int) -> None:
    hop = min(hop, window)
    first = windows.starts(samples, window_samples=window, hop_samples=hop)
    covered = {i for start in first for i in range(start, min(start + window, samples))}
    assert covered == set(range(samples))
    assert first == sorted(set(first))
    assert max(first) + window <= max(samples, window)


def test_the_rest_after_the_last_full_window_is_scored() -> None:
    assert windows.starts(9, window_samples=4, hop_samples=4) == [0, 4, 5]
    assert windows.starts(8, window_samples=4, hop_samples=4) == [0, 4]


def test_a_cut_is_the_waveform_itself() -> None:
    waveform = np.arange(10, dtype=np.float32)
    cut = windows.cut(waveform, window_samples=4, hop_samples=3)
    assert cut.tolist() == [[0, 1, 2, 3], [3, 4, 5, 6], [6, 7, 8, 9]]
    assert cut.dtype == np.float32


def test_a_short_waveform_is_repeated_not_padded_with_silence() -> None:
    cut = windows.cut(np.array([1, 2, 3], np.float32), window_samples=8, hop_samples=4)
    assert cut.tolist() == [[1, 2, 3, 1, 2, 3, 1, 2]]


@pytest.mark.parametrize("waveform", [np.zeros(0, np.float32), np.zeros((2, 3), np.float32)])
def test_what_is_not_a_waveform_is_refused(waveform: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"shape \(n,\), n > 0. Received"):
        windows.cut(waveform, window_samples=4, hop_samples=2)


def test_a_soft_minimum_lies_between_the_lowest_window_and_the_mean() -> None:
    logits, weights = np.array([4.0, -8.0, 5.0, 4.0], np.float32), np.array([1.0, 1.0, 1.0, 0.5])
    pooled = windows.pool_soft_minimum(logits, weights)
    assert pooled == pytest.approx(-2 * np.log(np.average(np.exp(-logits / 2), weights=weights)), rel=1e-6)
    assert logits.min() < pooled < windows.pool(logits, weights) - 3


def test_windows_that_agree_are_not_pulled_down() -> None:
    for logits in (np.full(3, 2.5, np.float32), np.array([2.5], np.float32)):
        assert windows.pool_soft_minimum(logits, np.ones(logits.size)) == pytest.approx(2.5)


def test_a_soft_minimum_does_not_hear_silence_or_overflow() -> None:
    logits = np.array([4.0, -2000.0, 2.0, 4000.0], np.float32)
    spoken = windows.pool_soft_minimum(logits[[0, 2]], np.array([1.0, 3.0]))
    assert windows.pool_soft_minimum(logits, np.array([1.0, 0.0, 3.0, 0.0])) == pytest.approx(spoken)
    assert windows.pool_soft_minimum(logits, np.zeros(4)) == pytest.approx(-2000 + 2 * np.log(4))
    assert np.isfinite(windows.pool_soft_minimum(logits, np.ones(4)))


def test_silent_windows_do_not_dilute_speech() -> None:
    logits = np.array([4.0, -10.0, 2.0], np.float32)
    assert windows.pool(logits, np.array([1.0, 0.0, 3.0])) == pytest.approx((4 + 3 * 2) / 4)
    assert windows.pool(logits, np.zeros(3)) == pytest.approx(-4 / 3)
