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


SPEECH = np.random.default_rng(0).standard_normal(4_000).astype(np.float32)


@given(before=st.integers(0, 3_000), after=st.integers(0, 3_000), gain=st.integers(-50, 28))
def test_added_silence_and_level_change_nothing(before: int, after: int, gain: int) -> None:
    part, start = windows.trim(SPEECH)
    padded = np.pad(SPEECH * np.float32(2.0**gain), (before, after))
    louder, later = windows.trim(padded)
    assert np.array_equal(louder, part * np.float32(2.0**gain))
    assert later == start + before


@pytest.mark.parametrize("offset", [0.01, -0.5, 10.0])
def test_a_constant_offset_changes_nothing(offset: float) -> None:
    room = np.random.default_rng(1).standard_normal(2_000).astype(np.float32) * np.float32(1e-3)
    recording = np.concatenate([room, SPEECH, room])
    expected, start = windows.trim(recording)
    part, also = windows.trim(recording + np.float32(offset))
    assert (also, part.size) == (start, expected.size)
    assert part == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize(("noise_db", "left_out"), [(-60, True), (-20, False)])
def test_a_pause_is_left_out_if_it_is_far_enough_below_speech(noise_db: int, *, left_out: bool) -> None:
    room = np.random.default_rng(1).standard_normal(2_000).astype(np.float32) * np.float32(10 ** (noise_db / 20))
    part, start = windows.trim(np.concatenate([room, SPEECH]))
    assert (abs(start - room.size) < 10) == left_out
    assert start + part.size == pytest.approx(room.size + SPEECH.size, abs=10)  # a pause within is no edge


@pytest.mark.parametrize("value", [0.0, 0.3, -1e-9, 2.0**31])
def test_what_never_changes_is_kept_whole_without_its_offset(value: float) -> None:
    part, start = windows.trim(np.full(100, value, np.float32))
    assert part.tolist() == [0.0] * 100
    assert start == 0


def test_unscaled_samples_do_not_overflow() -> None:
    part, _ = windows.trim(SPEECH)
    assert np.array_equal(windows.trim(SPEECH * np.float32(2.0**28))[0], part * np.float32(2.0**28))


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


def test_a_model_may_ask_for_the_clip_as_it_is() -> None:
    waveform = np.array([0, 0, 0.5, 1, 0], np.float32)
    part, start = windows.trim(waveform, below_db=None)
    assert (part.tolist(), start) == (waveform.tolist(), 0)
    assert windows.trim(waveform)[1] > 0  # unlike the others
