"""Occlusion: a planted artefact is found where it was planted, and what is taken out is exactly what is there."""

from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pytest

from model_store.detector import Detector
from model_store.occlusion import MOST_SECONDS, Occlusion
from tests.artifacts import manifest

RATE = 16_000
TONE_HZ = 3_200.0


def ear_for_a_tone(windows: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """A model that takes a tone at 3.2 kHz for the mark of a spoof, and hears nothing else."""
    spectrum = np.abs(np.fft.rfft(windows, axis=1)) / windows.shape[1]
    bin_hz = RATE / windows.shape[1]
    near = spectrum[:, round((TONE_HZ - 50) / bin_hz) : round((TONE_HZ + 50) / bin_hz)].max(axis=1)
    return np.asarray(3 - 400 * near, np.float32)


def planted(*, seconds: float, at: float, length: float = 0.4, seed: int = 0) -> npt.NDArray[np.float32]:
    """Noise with a tone in it for a while: float32 (n,)."""
    t = np.arange(round(seconds * RATE)) / RATE
    noise = 0.02 * np.random.default_rng(seed).standard_normal(t.size)
    tone = 0.1 * np.sin(2 * np.pi * TONE_HZ * t) * ((t >= at) & (t < at + length))
    return (noise + tone).astype(np.float32)


def occlusion(waveform: npt.NDArray[np.float32], **options: float) -> tuple[Detector, Occlusion]:
    detector = Detector(manifest(1, {"model.keras": "0" * 64, "card.md": "0" * 64}), ear_for_a_tone)
    clip = detector.prepare(waveform)
    [score] = detector.score_prepared([clip])
    return detector, Occlusion(waveform, clip, score, detector.manifest, **options)


def effects(detector: Detector, grid: Occlusion) -> npt.NDArray[np.float64]:
    variants = list(grid.variants())
    scores = detector.score_prepared([variant.prepared for variant in variants])
    logits = {variant.place: score.logit for variant, score in zip(variants, scores, strict=True)}
    return grid.effects(logits)


@pytest.mark.parametrize(("seconds", "at"), [(0.8, 0.2), (3.0, 0.05), (3.0, 1.55), (5.3, 4.6)])
def test_a_planted_artefact_is_where_it_was_planted(seconds: float, at: float) -> None:
    detector, grid = occlusion(planted(seconds=seconds, at=at))
    found = effects(detector, grid)
    band, cell = np.unravel_index(found.argmin(), found.shape)
    assert grid.bands_hz[band] <= TONE_HZ < grid.bands_hz[band + 1]
    assert grid.times_seconds[cell] < at + 0.4
    assert grid.times_seconds[cell + 1] > at
    assert found.min() < -0.5
    elsewhere = np.delete(found, band, axis=0)
    assert np.abs(elsewhere).max() < 0.1 * -found.min()


def test_without_an_artefact_nothing_is_found() -> None:
    detector, grid = occlusion(planted(seconds=3.0, at=9.0))
    assert np.abs(effects(detector, grid)).max() < 0.5  # of 3: the tests above see what is there, not an edge


def test_a_long_clip_is_explained_around_its_lowest_window_or_where_it_is_asked_for() -> None:
    waveform = planted(seconds=50.0, at=33.0, length=0.5)
    detector, grid = occlusion(waveform)
    assert grid.times_seconds[-1] - grid.times_seconds[0] == pytest.approx(MOST_SECONDS)
    assert abs(grid.times_seconds.mean() - 33.25) < 1
    found = effects(detector, grid)
    cell = int(found.min(axis=0).argmin())
    assert grid.times_seconds[cell] <= 33.25 < grid.times_seconds[cell + 1]
    _, asked = occlusion(waveform, start_seconds=2.0)
    assert asked.times_seconds[0] == pytest.approx(2.0, abs=0.01)
    _, late = occlusion(waveform, start_seconds=49.0)
    assert late.times_seconds[-1] == pytest.approx(50.0, abs=0.01)


def test_the_regions_are_the_whole_clip_and_no_more() -> None:
    rng = np.random.default_rng(1)
    waveform = (0.1 * rng.standard_normal(37_011)).astype(np.float32)
    _, grid = occlusion(waveform)
    part = waveform[grid._clip.start :][: grid._clip.samples]
    part = part - part.mean()
    whole = np.zeros_like(part)
    for pair in pairwise(grid._edges.tolist()):
        at, pieces = grid._pieces(*pair)
        assert np.abs(whole - part).max() > 1e-3  # one that lacks is seen
        whole[at : at + pieces.shape[1]] += pieces.sum(axis=0)
    assert np.abs(whole - part).max() < 1e-5


def test_silence_around_a_clip_shifts_its_regions_and_nothing_else() -> None:
    waveform = planted(seconds=3.0, at=1.55)
    detector, grid = occlusion(waveform)
    _, later = occlusion(np.concatenate([np.zeros(RATE, np.float32), waveform]))
    assert np.allclose(later.times_seconds, grid.times_seconds + 1, atol=1e-3)
    assert np.allclose(effects(detector, later), effects(detector, grid), atol=1e-4)
