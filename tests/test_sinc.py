import librosa
import numpy as np
import pytest

from tests.aasist_by_hand import band_passes
from training.sinc import sinc_filters

RATE = 16_000
FILTERS = sinc_filters(bands=70, taps=129, sample_rate=RATE)


def test_each_filter_is_scipys() -> None:
    assert FILTERS.dtype == np.float32
    assert FILTERS.shape == (129, 70)
    assert np.abs(FILTERS - np.transpose(band_passes())).max() < 1e-7


def test_together_they_pass_everything() -> None:
    impulse = np.zeros(129)
    impulse[64] = 1
    assert np.abs(FILTERS.sum(axis=1, dtype=np.float64) - impulse).max() < 1e-6


def test_each_passes_its_band_of_the_mel_scale() -> None:
    """Bands far wider than the window's main lobe, 500 Hz: all between the edges, half at them, nothing beyond."""
    few = sinc_filters(bands=4, taps=129, sample_rate=RATE)
    edges = librosa.mel_frequencies(n_mels=5, fmin=0, fmax=RATE / 2, htk=True)
    response = np.abs(np.fft.rfft(few, RATE, axis=0))  # one bin each Hz
    for band in (2, 3):
        low, high = round(edges[band]), round(edges[band + 1])
        assert response[low + 300 : high - 300, band] == pytest.approx(1, abs=0.01)
        assert response[low, band] == pytest.approx(0.5, abs=0.01)
        assert response[: low - 300, band].max() < 0.01


def test_an_even_number_of_taps_is_refused() -> None:
    with pytest.raises(ValueError, match="odd number of taps. Received: 128"):
        sinc_filters(bands=70, taps=128, sample_rate=RATE)
