"""What a clip gives away without being listened to: scalar features that a model may learn instead of speech.

Each is measured at the file's own rate, since resampling would hide what the file is. A new feature is a row of
`FEATURES` and a line of `measure`.
"""

from dataclasses import dataclass
from pathlib import Path

import librosa
import numpy as np
import numpy.typing as npt

from model_store import audio, speech
from model_store.clipping import FlatTops

_USUAL_RATE = 16_000  # Hz: nearly every corpus, so that nearly every clip is decoded once
_FRAME_SECONDS = 0.010
_SILENCE_DB = 40.0  # below the clip's loudest frame, as in the study of silence named below
_DIGITAL_SILENCE_SECONDS = 0.001  # the shortest run of zeros that is no accident of a quiet passage
_SPECTRUM_SECONDS = 0.064  # bins of 16 Hz
_LOW_HZ = 60.0
_HIGH_HZ = 7_000.0
_HIGH_RATE = 15_000  # Hz: a clip of a lower rate cannot hold anything to speak of above 7 kHz
_FLOOR = 1e-12  # of a power: digital silence is written as -120 dBFS


@dataclass(frozen=True, slots=True)
class Feature:
    """What a column of the table is called, its unit, and what it is, in words for the report."""

    name: str
    title: str
    unit: str  # "share" for a fraction, "" for a name
    meaning: str
    categorical: bool = False  # no order that a threshold could use

    @property
    def words(self) -> str:
        """The title within a sentence; DC stays DC."""
        return self.title if self.title[1].isupper() else self.title[0].lower() + self.title[1:]

    def text(self, value: float) -> str:
        """A value with its unit: `0.26 s`, `16,000 Hz`, `12 %`."""
        if self.unit == "share":
            return f"{100 * value:.3g} %"
        digits = {"Hz": ",.0f", "s": ".2f", "dB": ".1f", "dBFS": ".1f"}.get(self.unit, ".3g")
        return f"{value:z{digits}} {self.unit}".replace("-", "\N{MINUS SIGN}")


FEATURES = (
    Feature("sample_rate", "Sample rate", "Hz", "Of the file.", categorical=True),
    Feature("duration_seconds", "Duration", "s", "Of the file."),
    Feature("leading_silence_seconds", "Leading silence", "s", "Until a frame is within 40 dB of the loudest."),
    Feature("trailing_silence_seconds", "Trailing silence", "s", "After the last frame within 40 dB of the loudest."),
    Feature("silence_share", "Share of silence", "share", "Frames of 10 ms that are 40 dB or more below the loudest."),
    Feature("digital_silence_share", "Digital silence", "share", "Samples in runs of exact zeros, 1 ms or longer."),
    Feature("speech_seconds", "Speech", "s", "As the service counts it: voiced frames and their neighbours."),
    Feature("rms_dbfs", "Level", "dBFS", "Root mean square of the clip."),
    Feature("peak_dbfs", "Peak", "dBFS", "The largest sample."),
    Feature("crest_db", "Crest factor", "dB", "Peak above level; compressors and some vocoders lower it."),
    Feature(
        "clipped_share",
        "Clipping",
        "share",
        "Samples that equal the one before at the peak: overdriven clips have many.",
    ),
    Feature("dc_offset_steps", "DC offset", "steps", "The mean sample, in steps of 16-bit audio."),
    Feature("noise_floor_dbfs", "Noise floor", "dBFS", "The level that one frame in twenty stays below."),
    Feature("dynamic_range_db", "Dynamic range", "dB", "The 95th percentile of the frames' levels above the 5th."),
    Feature("bandwidth_hz", "Bandwidth", "Hz", "99.9 % of the energy above 100 Hz lies below it."),
    Feature("centroid_hz", "Spectral centroid", "Hz", "The mean frequency, weighted with power."),
    Feature("below_60_hz_db", "Level below 60 Hz", "dB", "Relative to the whole: hum, rumble or a high-pass filter."),
    Feature("above_7_khz_db", "Level above 7 kHz", "dB", "Relative to the whole; only of clips whose rate allows it."),
)
# Of a table that holds several corpora.
CORPUS = Feature("corpus", "Corpus", "", "The folder that the clip is from.", categorical=True)


def decode_as_is(path: Path) -> tuple[npt.NDArray[np.float32], int]:
    """Decode the first channel of a file at its own rate.

    Returns
    -------
    waveform : float32 (n,)
    sample_rate : int
        Hz.

    Raises
    ------
    AudioError
        The file cannot be decoded.
    """
    clip = audio.decode(path, sample_rate=_USUAL_RATE, channel=0)
    if clip.sample_rate != _USUAL_RATE:
        clip = audio.decode(path, sample_rate=clip.sample_rate, channel=0)
    return clip.waveforms[0], clip.sample_rate


def measure(waveform: npt.NDArray[np.float32], *, sample_rate: int) -> dict[str, float]:
    """Measure each of `FEATURES`; NaN where a clip has no such thing.

    The silences are those of N. Müller et al., "Speech is Silver, Silence is Golden: What do ASVspoof-trained
    Models Really Learn?", 2021 (arXiv:2106.12914), to 10 ms.

    Parameters
    ----------
    waveform : float32 (n,)
        A quarter of a second or more, as `decode_as_is` gives it.
    sample_rate : int
        Hz.
    """
    samples = waveform.astype(np.float64)
    frame = round(_FRAME_SECONDS * sample_rate)
    levels = _decibels(np.square(librosa.feature.rms(y=samples, frame_length=frame, hop_length=frame, center=False)[0]))
    loud = levels >= levels.max() - _SILENCE_DB
    first, after = int(loud.argmax()), int(loud[::-1].argmax())  # silent frames on either side
    quiet_level, loud_level = np.percentile(levels, [5, 95])
    rms = float(_decibels(np.mean(np.square(samples))))
    peak = float(_decibels(np.square(samples).max()))
    condition = speech.measure(waveform, sample_rate=sample_rate)
    flat_tops = FlatTops(1)
    flat_tops.add(waveform[:, np.newaxis])
    hertz, power = _spectrum(samples, sample_rate=sample_rate)
    total = power.sum() + _FLOOR
    return {
        "sample_rate": float(sample_rate),
        "duration_seconds": samples.size / sample_rate,
        "leading_silence_seconds": first * frame / sample_rate,
        "trailing_silence_seconds": after * frame / sample_rate,
        "silence_share": float(np.mean(~loud)),
        "digital_silence_share": _digital_silence(samples, shortest=round(_DIGITAL_SILENCE_SECONDS * sample_rate)),
        "speech_seconds": condition.speech_seconds,
        "rms_dbfs": rms,
        "peak_dbfs": peak,
        "crest_db": peak - rms,
        "clipped_share": flat_tops.fractions()[0],
        "dc_offset_steps": float(samples.mean() * 2**15),
        "noise_floor_dbfs": float(quiet_level),
        "dynamic_range_db": float(loud_level - quiet_level),
        "bandwidth_hz": condition.bandwidth_hz,
        "centroid_hz": float((hertz * power).sum() / total),
        "below_60_hz_db": float(_decibels(power[hertz < _LOW_HZ].sum() / total)),
        "above_7_khz_db": float(_decibels(power[hertz > _HIGH_HZ].sum() / total))
        if sample_rate > _HIGH_RATE
        else float("nan"),
    }


def _decibels(power: npt.ArrayLike) -> npt.NDArray[np.float64]:
    return np.asarray(10 * np.log10(np.asarray(power, np.float64) + _FLOOR))


def _spectrum(
    samples: npt.NDArray[np.float64], *, sample_rate: int
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Frequencies in Hz, and the mean power at each, without the DC offset: both float64 (bins,)."""
    size = round(_SPECTRUM_SECONDS * sample_rate)
    frames = librosa.stft(samples - samples.mean(), n_fft=size, hop_length=size // 2, center=False)
    return librosa.fft_frequencies(sr=sample_rate, n_fft=size), np.square(np.abs(frames)).mean(axis=1)


def _digital_silence(samples: npt.NDArray[np.float64], *, shortest: int) -> float:
    """The share of samples that are in runs of at least `shortest` exact zeros."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], samples == 0, [False]]).astype(np.int8)))
    lengths = edges[1::2] - edges[::2]
    return float(lengths[lengths >= shortest].sum()) / samples.size
