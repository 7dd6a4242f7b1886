"""Splices: what lies outside of a passage stays, what lies inside is the donor's, and no joint clicks."""

import numpy as np
import pytest

from tests.corpora import made_speech
from training.splice import FADE_SECONDS, insert, join

RATE = 16_000
FADE = round(FADE_SECONDS * RATE)


def speech(seed: int, *, pitch_hz: float = 120) -> np.ndarray:
    return made_speech(np.random.default_rng(seed), pitch_hz=pitch_hz, leading_seconds=0.1).astype(np.float32)


def rms(signal: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(signal))))


def test_joined_clips_have_the_level_of_the_first() -> None:
    first, second = speech(0), 0.1 * speech(1)
    joined = join([first, second], sample_rate=RATE)
    assert joined.dtype == np.float32
    assert joined.size == first.size + second.size - FADE
    assert np.array_equal(joined[: first.size - FADE], first[:-FADE])
    assert rms(joined[first.size :]) == pytest.approx(rms(first), rel=0.05)
    assert np.array_equal(join([first], sample_rate=RATE), first)


def test_a_passage_is_the_donor_at_the_level_of_the_carrier() -> None:
    carrier, donor = speech(0), 3 * speech(1, pitch_hz=180)[4000:12_000]
    waveform, first, last = insert(carrier, donor, start=8000, sample_rate=RATE)
    assert waveform.size == carrier.size
    assert np.array_equal(waveform[:first], carrier[:first])
    assert np.array_equal(waveform[last:], carrier[last:])
    assert abs(first - 8000) <= 80
    assert donor.size - 320 <= last - first <= donor.size
    inside = waveform[first + FADE : last - FADE]
    places = np.correlate(donor, inside, "valid")
    found = donor[places.argmax() : places.argmax() + inside.size]
    assert np.corrcoef(found, inside)[0, 1] > 0.9999
    assert np.allclose(inside, found * rms(carrier) / rms(donor), atol=1e-6)


def test_a_joint_is_no_louder_a_step_than_the_speech_around_it() -> None:
    carrier, donor = speech(0), speech(1, pitch_hz=180)[4000:12_000]
    waveform, first, last = insert(carrier, donor, start=8000, sample_rate=RATE)
    steps = np.abs(np.diff(waveform))
    around = max(np.abs(np.diff(carrier)).max(), np.abs(np.diff(donor)).max() * rms(carrier) / rms(donor))
    for joint in (first, last):
        assert steps[joint - 2 * FADE : joint + 2 * FADE].max() <= around
    cut = carrier.copy()
    cut[8000:16_000] = np.max(carrier)  # a cut without care is such a step
    assert np.abs(np.diff(cut))[7990:8010].max() > 0.1 * around


def test_a_passage_keeps_within_its_carrier() -> None:
    with pytest.raises(ValueError, match=r"lies within its carrier.*Received: 8000 samples from 30000 on"):
        insert(speech(0), speech(1)[:8000], start=30_000, sample_rate=RATE)
