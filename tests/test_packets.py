from itertools import groupby

import numpy as np
import pytest

from training import packets

RATE = 8_000
PACKET = 160


@pytest.mark.parametrize(("rate", "mean_burst"), [(0.0, 1.0), (0.02, 1.1), (0.1, 3.0), (0.5, 2.0)])
def test_packets_are_lost_at_the_rate_and_in_bursts_as_asked(rate: float, mean_burst: float) -> None:
    lost = packets.lost_packets(100_000, np.random.default_rng(0), rate=rate, mean_burst=mean_burst)
    assert lost.mean() == pytest.approx(rate, rel=0.1)
    bursts = [len(list(run)) for losing, run in groupby(lost) if losing]
    assert not bursts or np.mean(bursts) == pytest.approx(mean_burst, rel=0.1)


@pytest.mark.parametrize(("rate", "mean_burst"), [(1.0, 2.0), (-0.1, 2.0), (0.1, 0.5), (0.9, 2.0)])
def test_a_loss_that_cannot_be_is_refused(rate: float, mean_burst: float) -> None:
    with pytest.raises(ValueError, match=f"Received: {rate}, {mean_burst}"):
        packets.lost_packets(10, np.random.default_rng(0), rate=rate, mean_burst=mean_burst)


def voice(seconds: float = 1.0, hz: float = 123.0) -> np.ndarray:
    """A steady voice: ten harmonics of a pitch that no packet is a multiple of."""
    t = np.arange(round(seconds * RATE)) / RATE
    return sum(np.sin(2 * np.pi * hz * k * t + k) / (10 * k) for k in range(1, 11)).astype(np.float32)


def losing(*which: int, count: int = 50) -> np.ndarray:
    return np.isin(np.arange(count), which)


def test_what_arrives_is_played_as_it_is() -> None:
    clip = voice()
    assert np.array_equal(packets.lose(clip, losing(), sample_rate=RATE), clip)
    played = packets.lose(clip, losing(20), sample_rate=RATE)
    assert np.array_equal(clip, voice())
    untouched = np.ones(clip.size, bool)
    untouched[20 * PACKET - 40 : 21 * PACKET + 40] = False  # and a quarter of a period, 15 ms at most, on both sides
    assert np.array_equal(played[untouched], clip[untouched])


def test_a_lost_packet_of_a_steady_voice_is_hardly_heard_but_silence_is() -> None:
    clip = voice()
    lost = slice(20 * PACKET, 21 * PACKET)
    concealed, silent = (packets.lose(clip, losing(20), sample_rate=RATE, conceal=c) for c in (True, False))
    assert not silent[lost].any()
    error = np.sum((concealed[lost] - clip[lost]) ** 2) / np.sum(clip[lost] ** 2)
    assert error < 0.1


def test_concealment_leaves_no_click_but_silence_does() -> None:
    clip = voice()
    steepest = np.abs(np.diff(clip)).max()
    rng = np.random.default_rng(0)
    lost = packets.lost_packets(50, rng, rate=0.2, mean_burst=2)
    assert lost.any()
    concealed, silent = (packets.lose(clip, lost, sample_rate=RATE, conceal=c) for c in (True, False))
    assert np.abs(np.diff(concealed)).max() < 1.2 * steepest
    assert np.abs(np.diff(silent)).max() > 1.2 * steepest


def test_a_long_burst_fades_to_silence_and_comes_back_smoothly() -> None:
    clip = voice()
    played = packets.lose(clip, losing(20, 21, 22, 23, 24), sample_rate=RATE)
    parts = played[20 * PACKET : 25 * PACKET].reshape(10, -1)  # of 10 ms, and the voice's period is 8.1 ms
    levels = np.sqrt(np.mean(parts**2, axis=1)) / np.sqrt(np.mean(clip**2))
    assert levels[0] == pytest.approx(1, abs=0.15)
    assert (np.diff(levels[:7]) < 0).all()
    assert not parts[6:].any()
    assert np.abs(played[25 * PACKET : 25 * PACKET + 3]).max() < 0.2 * np.abs(clip).max()


def test_losses_at_both_ends_and_in_a_part_of_a_packet_are_played() -> None:
    clip = voice()[: 10 * PACKET + 30]
    played = packets.lose(clip, losing(0, 1, 10, count=11), sample_rate=RATE)
    assert played.shape == clip.shape
    assert not played[: 2 * PACKET].any()  # nothing to repeat yet
    assert np.sum((played[10 * PACKET :] - clip[10 * PACKET :]) ** 2) < 0.2 * np.sum(clip[10 * PACKET :] ** 2)
    assert np.isfinite(packets.lose(np.zeros_like(clip), losing(5, count=11), sample_rate=RATE)).all()
