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


def test_silent_windows_do_not_dilute_speech() -> None:
    logits = np.array([4.0, -10.0, 2.0], np.float32)
    assert windows.pool(logits, np.array([1.0, 0.0, 3.0])) == pytest.approx((4 + 3 * 2) / 4)
    assert windows.pool(logits, np.zeros(3)) == pytest.approx(-4 / 3)
