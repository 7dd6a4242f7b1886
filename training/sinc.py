"""Sinc filters: the front end of RawNet2 and AASIST, a fixed bank of band-pass filters over the waveform itself.

Ravanelli & Bengio 2018, "Speaker recognition from raw waveform with SincNet", arXiv:1808.00158; here they are not
learned, as in Tak et al. 2021, "End-to-end anti-spoofing with RawNet2", arXiv:2011.01108.
"""

import numpy as np
import numpy.typing as npt


def sinc_filters(*, bands: int, taps: int, sample_rate: int) -> npt.NDArray[np.float32]:
    """Ideal band-pass filters under a Hamming window, edge to edge from 0 Hz to half the sample rate.

    The edges are evenly spaced on the mel scale of 2595 log10(1 + f / 700). What the filters let pass sums up to the
    waveform again, delayed by half the taps.

    Parameters
    ----------
    taps : odd, so that each filter is symmetric about one of them
    sample_rate : in Hz

    Returns
    -------
    float32 (taps, bands)

    Raises
    ------
    ValueError
        An even number of taps.
    """
    if taps % 2 == 0:
        raise ValueError(f"A symmetric filter has an odd number of taps. Received: {taps}.")
    highest = 2595 * np.log10(1 + sample_rate / 2 / 700)
    edges_hz = 700 * (10 ** (np.linspace(0, highest, bands + 1) / 2595) - 1)
    cutoffs = 2 * edges_hz / sample_rate
    low_pass = cutoffs * np.sinc(np.outer(np.arange(taps) - taps // 2, cutoffs))
    return np.asarray(np.hamming(taps)[:, None] * np.diff(low_pass, axis=1), np.float32)
