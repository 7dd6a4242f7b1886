"""A verified artifact, loaded: waveforms -> scores -> verdicts."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from model_store import speech, windows
from model_store.channel_class import ChannelClass, channel_class
from model_store.errors import InvalidArtifact
from model_store.manifest import Manifest
from model_store.runtimes import RUNTIMES, Call, RuntimeName
from model_store.signatures import TrustedKeys
from model_store.store import private_copy, verify

Waveform = npt.NDArray[np.float32]
Verdict = Literal["bonafide", "spoof", "inconclusive"]
Reason = Literal["silence", "insufficient_speech", "clipped", "out_of_range_bandwidth"]

CALL_WINDOWS = 8  # in one compiled call: more are no faster, and take more memory however long a recording is


@dataclass(frozen=True, slots=True)
class Segment:
    """A window of a clip, at its place in the clip as it came."""

    start_seconds: float
    end_seconds: float
    score: float
    logit: float
    speech_seconds: float


@dataclass(frozen=True, slots=True)
class Score:
    """What a detector says of one waveform.

    `value` is a calibrated log-likelihood ratio, natural logarithm: above 0 speaks for bonafide. `reasons` say why
    it should not be relied on; where there are any, the verdict is inconclusive.
    """

    value: float
    logit: float
    segments: tuple[Segment, ...]
    reasons: tuple[Reason, ...]
    channel_class: ChannelClass  # whose calibration made `value`
    speech_seconds: float
    bandwidth_hz: float
    level_dbfs: float

    @property
    def bonafide(self) -> float:
        """The posterior of bonafide at equal priors, in (0, 1); that of spoof is its complement."""
        return float(0.5 * (1 + np.tanh(self.value / 2)))

    def verdict(self, *, threshold: float) -> Verdict:
        """The verdict at a threshold: never bonafide where there is not enough to say."""
        if self.reasons:
            return "inconclusive"
        return "bonafide" if self.value >= threshold else "spoof"


@dataclass(frozen=True, slots=True)
class Prepared:
    """A waveform on its way to the model: its windows, and what was measured of it besides."""

    start: int  # sample of the waveform that the trimmed part begins with
    samples: int  # of the trimmed part
    windows: npt.NDArray[np.float32]  # (k, window_samples)
    condition: speech.Condition  # of the trimmed part
    channel_class: ChannelClass
    clipped_fraction: float


class Detector:
    """A loaded artifact. Make one with `Detector.load`; its methods may be called from any thread."""

    def __init__(self, manifest: Manifest, call: Call) -> None:
        self.manifest = manifest
        self._call = call

    @classmethod
    def load(
        cls,
        folder: Path,
        *,
        runtime: RuntimeName = "keras",
        callers: int | None = None,
        trusted: TrustedKeys | None = None,
    ) -> "Detector":
        """Load an artifact, believing nothing before it is verified, and warm it.

        The order is: the signature, if `trusted` keys are given, the manifest, each file's SHA-256, what the runtime
        asks of an artifact (Keras: its version), and only then the model is opened, with Keras' safe mode on and no
        code of ours; last, the probe's logit has to come out as it did at publishing, which was in Keras.

        Parameters
        ----------
        runtime : what runs the model
        callers : threads that will call it side by side, a core for each; by default one, for all cores
        trusted : whoever has to have signed it; None: nobody

        Raises
        ------
        NotSigned, InvalidArtifact
            With one sentence that says which artifact, and which of these did not hold.
        RuntimeMissing
        """
        manifest = verify(folder, trusted=trusted)
        chosen = RUNTIMES[runtime]
        chosen.check(folder, manifest)
        try:
            with private_copy(folder, manifest, chosen.file) as model:
                detector = cls.unverified(model, manifest, runtime=runtime, callers=callers)
            logit = detector.probe_logit()
        except InvalidArtifact:  # as `private_copy` found it
            raise
        except Exception as error:
            opened = "opens in Keras' safe mode" if runtime == "keras" else f"opens in the {runtime} runtime"
            raise InvalidArtifact(
                f"A verified model {opened} and answers. Received: {folder}, which raised {type(error).__name__}."
            ) from error
        if not abs(logit - manifest.probe.logit) <= manifest.probe.tolerance:
            raise InvalidArtifact(
                f"A loaded model gives its probe the logit that it gave at publishing, {manifest.probe.logit:.6f} "
                f"± {manifest.probe.tolerance:g}. Received: {logit:.6f} from {folder}."
            )
        if callers is not None:
            detector.warm(callers)
        return detector

    @classmethod
    def unverified(
        cls, model: Path, manifest: Manifest, *, runtime: RuntimeName = "keras", callers: int | None = None
    ) -> "Detector":
        """Compile a model that nobody has vouched for: what training has just made, before it is published."""
        return cls(manifest, RUNTIMES[runtime].compiled(model, manifest, callers))

    def score(self, waveforms: Sequence[Waveform]) -> list[Score]:
        """Score clips together: the windows of all of them go through the model side by side.

        Parameters
        ----------
        waveforms : each float32 (n,), n > 0, mono, at ``manifest.input.sample_rate``; never coded, nor clipped

        Returns
        -------
        One score for each. A clip's score does not depend on what it is scored with (1e-4).
        """
        return self.score_prepared([self.prepare(waveform) for waveform in waveforms])

    def prepare(self, waveform: Waveform, *, coded: bool = False, clipped_fraction: float = 0.0) -> Prepared:
        """The part of scoring that needs no model, for callers that have a thread to spare for it.

        Parameters
        ----------
        waveform : as `score` takes them
        coded, clipped_fraction
            What the waveform no longer shows of the clip that it was decoded from: `audio.Clip` has them.
        """
        shape = self.manifest.input
        part, start = windows.trim(waveform, below_db=shape.trim_below_db)
        condition = speech.measure(part, sample_rate=shape.sample_rate)
        return Prepared(
            start=start,
            samples=part.size,
            windows=windows.cut(part, window_samples=shape.window_samples, hop_samples=shape.hop_samples),
            condition=condition,
            channel_class=channel_class(coded=coded, above_4khz_db=condition.above_4khz_db),
            clipped_fraction=clipped_fraction,
        )

    def score_prepared(self, clips: Sequence[Prepared]) -> list[Score]:
        """Score what `prepare` made: as `score`."""
        if not clips:
            return []
        cut = [clip.windows for clip in clips]
        every = np.concatenate(cut) if len(cut) > 1 else cut[0]  # a long clip is not copied
        pieces = [every[first : first + CALL_WINDOWS] for first in range(0, len(every), CALL_WINDOWS)]
        return self.scores(clips, np.concatenate([self.logits(piece) for piece in pieces]))

    def logits(self, windows: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """One call of the model: window logits, float32 (k,), for windows float32 (k, window_samples).

        For callers that share calls out themselves; a call of more than `CALL_WINDOWS` gains nothing.
        """
        return self._call(windows)

    def warm(self, callers: int) -> None:
        """The largest calls of so many callers side by side: what these take, a process has before it is asked.

        Else it grows by 20 to 30 MB one day, at its first long clip.
        """
        largest = np.zeros((CALL_WINDOWS, self.manifest.input.window_samples), np.float32)
        with ThreadPoolExecutor(callers) as pool:
            list(pool.map(self.logits, [largest] * callers))

    def scores(self, clips: Sequence[Prepared], logits: npt.NDArray[np.float32]) -> list[Score]:
        """The clips' scores, from the logits of all of their windows, one clip after the other."""
        ends = np.cumsum([len(clip.windows) for clip in clips])
        return [self._score(clip, part) for clip, part in zip(clips, np.split(logits, ends[:-1]), strict=True)]

    def probe_logit(self) -> float:
        """The logit of the window that the manifest's seed makes."""
        window = probe_waveform(self.manifest.probe.seed, samples=self.manifest.input.window_samples)
        return float(self.logits(window[None])[0])

    def _score(self, clip: Prepared, logits: npt.NDArray[np.float32]) -> Score:
        shape, condition = self.manifest.input, clip.condition
        calibration = self.manifest.output.calibration[clip.channel_class]
        offset = clip.start / shape.sample_rate
        first = windows.starts(clip.samples, window_samples=shape.window_samples, hop_samples=shape.hop_samples)
        segments = []
        for start, logit in zip(first, logits.tolist(), strict=True):
            begin = start / shape.sample_rate
            end = min(start + shape.window_samples, clip.samples) / shape.sample_rate
            value = calibration.slope * logit + calibration.intercept
            spoken = condition.speech_between(begin, end)
            segments.append(Segment(offset + begin, offset + end, value, logit, spoken))
        logit = windows.POOLINGS[self.manifest.output.pooling](
            logits, np.array([segment.speech_seconds for segment in segments])
        )
        return Score(
            value=calibration.slope * logit + calibration.intercept,
            logit=logit,
            segments=tuple(segments),
            reasons=self._reasons(clip),
            channel_class=clip.channel_class,
            speech_seconds=condition.speech_seconds,
            bandwidth_hz=condition.bandwidth_hz,
            level_dbfs=condition.level_dbfs,
        )

    def _reasons(self, clip: Prepared) -> tuple[Reason, ...]:
        policy, condition = self.manifest.output.policy, clip.condition
        silence = condition.level_dbfs < speech.FLOOR_DBFS
        reasons: dict[Reason, bool] = {
            "silence": silence,
            "insufficient_speech": condition.speech_seconds < policy.min_speech_seconds,
            "clipped": clip.clipped_fraction > policy.max_clipped_fraction and not silence,
            "out_of_range_bandwidth": condition.bandwidth_hz < policy.min_bandwidth_hz,
        }
        return tuple(reason for reason, applies in reasons.items() if applies)


def probe_waveform(seed: int, *, samples: int) -> Waveform:
    """A waveform that a seed makes, the same everywhere: float32 (samples,), uniform in ±0.1.

    From the raw words of PCG64, which NumPy guarantees; its distributions it may change.
    """
    words = np.random.PCG64(seed).random_raw(samples)
    return ((words >> np.uint64(40)).astype(np.float32) / np.float32(1 << 23) - 1) * np.float32(0.1)
