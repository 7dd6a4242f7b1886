"""How much of a clip is flat tops, found where they still are flat: before it is resampled, block by block."""

import numpy as np
import numpy.typing as npt

_Counts = tuple[npt.NDArray[np.float32], npt.NDArray[np.intp]]

_NEAR_PEAK = 0.98


class FlatTops:
    """Counts the samples that equal the one before at the clip's peak, of either sign, for each channel.

    A converter or a sum that overflows holds its extreme for samples on end, and keeps holding it when it is turned
    down or sent through G.711; a peak of speech passes. How high the peak is does not matter.
    """

    def __init__(self, channels: int) -> None:
        self._frames = 0
        self._peaks = np.zeros((2, channels), np.float32)  # above and below 0, both as positive numbers
        # Of each block, the values that are held near the peak, and how often: of a flat top, one.
        self._held: list[list[list[_Counts]]] = [[[] for _ in range(channels)] for _ in range(2)]

    def add(self, block: npt.NDArray[np.float32]) -> float:
        """Take the next block, float32 (frames, channels). A pair that two blocks part is not seen.

        Returns
        -------
        The largest magnitude in it; NaN where a sample is none.
        """
        if len(block) == 0:
            return 0.0
        self._frames += len(block)
        largest = []
        for channel, samples in enumerate(block.T):
            repeated = samples[1:][samples[1:] == samples[:-1]]
            for side, extreme in enumerate((samples.max(), -samples.min())):
                largest.append(extreme)
                peak = self._peaks[side, channel] = max(self._peaks[side, channel], extreme)
                if peak == 0 or extreme < _NEAR_PEAK * peak:
                    continue
                held = -repeated if side else repeated
                self._held[side][channel].append(np.unique(held[held >= _NEAR_PEAK * peak], return_counts=True))
        return float(np.max(largest))

    def fractions(self) -> list[float]:
        """Of each channel, the share of its samples that a flat top holds."""
        counts = [
            sum(int(counts[values >= _NEAR_PEAK * peak].sum()) for values, counts in held)
            for peaks, sides in zip(self._peaks, self._held, strict=True)
            for peak, held in zip(peaks, sides, strict=True)
        ]
        totals = np.reshape(counts, self._peaks.shape).sum(axis=0)
        return [float(total) / max(self._frames, 1) for total in totals]
