"""What a score came from: a clip's regions, silenced in turn by the threads that decode, scored by those that score."""

import asyncio
import io
import math
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

import numpy as np
import soundfile

from model_store import audio
from model_store.detector import Detector, Score
from model_store.occlusion import Occlusion
from service.admission import Admission, Place
from service.engine import Engine
from service.pipeline import decoded
from service.problems import ProblemError
from service.settings import Settings
from service.workers import Workers

_DEADLINE_SECONDS = 60.0  # on an idle machine it takes a few; how many windows it may cost is bounded besides
_PART_WINDOWS = 64  # silenced at a time: each is as large as a window

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Explained:
    """A channel, its regions, and the logits of the windows in which they were silenced."""

    channel: int
    grid: Occlusion
    logits: dict[tuple[int, int, int], float]


class Explainer:
    """Explains one clip at a time, behind whoever waits for a verdict."""

    def __init__(self, settings: Settings, admission: Admission, workers: Workers, engine: Engine) -> None:
        self._admission = admission
        self._workers = workers
        self._engine = engine
        self._limits = audio.Limits(max_seconds=settings.max_clip_seconds)
        self._busy = False

    async def waveform(self, data: bytes, media_type: str | None, detector: Detector) -> bytes:
        """The clip as the detector hears it, as a WAV.

        Raises
        ------
        AudioError
            The clip cannot be decoded.
        """
        rate = detector.manifest.input.sample_rate

        def decode() -> bytes:
            return _wav(audio.decode(data, sample_rate=rate, media_type=media_type, limits=self._limits), rate)

        async with self._in_time("decoded"):
            with await self._admission.bulk_place(len(data)) as place:
                return await self._work(decode, place)

    async def explain(
        self,
        data: bytes,
        media_type: str | None,
        detector: Detector,
        *,
        channel: int | None,
        start_seconds: float | None,
    ) -> Explained:
        """Which regions moved the score of a channel; by default, of the one that scores lowest.

        Raises
        ------
        AudioError
            The clip cannot be scored.
        ProblemError
            ``overloaded``: another is being explained; or ``deadline_exceeded``.
        """
        if self._busy:
            raise ProblemError(
                "overloaded", "One clip is explained at a time. Received: one more.", headers={"Retry-After": "2"}
            )
        self._busy = True
        try:
            async with self._in_time("explained"):
                with await self._admission.bulk_place(len(data)) as place:
                    clip, prepared = await self._work(
                        lambda: decoded(data, media_type, detector, channel, self._limits), place
                    )
                    place.lasts(clip.duration_seconds * len(prepared))
                    scored = await self._engine.score(detector, list(prepared.values()), lane="bulk", place=place)
                    scores = dict(zip(prepared, scored.scores, strict=True))
                    which = _lowest(scores)
                    grid = Occlusion(
                        clip.waveforms[which],
                        prepared[which],
                        scores[which],
                        detector.manifest,
                        start_seconds=start_seconds,
                    )
                    return Explained(which, grid, await self._logits(grid, detector, place))
        finally:
            self._busy = False

    async def _logits(self, grid: Occlusion, detector: Detector, place: Place) -> dict[tuple[int, int, int], float]:
        found: dict[tuple[int, int, int], float] = {}
        remaining = grid.variants()
        while part := await self._work(lambda: list(islice(remaining, _PART_WINDOWS)), place):
            scored = await self._engine.score(
                detector, [variant.prepared for variant in part], lane="bulk", place=place
            )
            found |= {variant.place: score.logit for variant, score in zip(part, scored.scores, strict=True)}
        return found

    async def _work(self, function: Callable[[], T], place: Place) -> T:
        return await self._workers.run(function, lane="bulk", place=place, deadline=math.inf)

    @asynccontextmanager
    async def _in_time(self, done: str) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(_DEADLINE_SECONDS):
                yield
        except TimeoutError:
            rule = f"A clip is {done} within {_DEADLINE_SECONDS:g} s of its arrival"
            raise ProblemError("deadline_exceeded", f"{rule}. Received: one that was not.") from None


def _lowest(scores: dict[int, Score]) -> int:
    audible = [which for which, score in scores.items() if "silence" not in score.reasons] or list(scores)
    return min(audible, key=lambda which: scores[which].value)


def _wav(clip: audio.Clip, sample_rate: int) -> bytes:
    buffer = io.BytesIO()
    samples = np.stack([clip.waveforms[which] for which in sorted(clip.waveforms)], axis=1)
    soundfile.write(buffer, np.clip(samples, -1, 1), sample_rate, format="WAV", subtype="PCM_16")
    return buffer.getvalue()
