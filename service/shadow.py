"""A candidate scored on live traffic, in silence: how often it would have decided otherwise, and by how much.

It has the time that nobody else wants: a clip is taken when next to nothing is in work, waits behind everybody, and is
dropped when it has waited for too long. Its scores go into metrics and nowhere else: they are answers to nobody, and no
decisions that an audit trail would have.
"""

import asyncio
import time

from model_store import audio
from service import schemas
from service.admission import Admission
from service.answers import Options, answer
from service.engine import Engine
from service.pipeline import decoded
from service.registry import Loaded
from service.telemetry import Telemetry, log
from service.workers import Workers

_CLIPS = 4  # waiting or in work
_LONGEST_SECONDS = 60.0  # of audio: more would keep a thread for too long
_PATIENCE_SECONDS = 10.0
_NO_TIMING = schemas.Timing(decode=0.0, queue=0.0, infer=0.0)


class Shadow:
    """Takes answers, and scores their clips again."""

    def __init__(self, telemetry: Telemetry, admission: Admission, workers: Workers, engine: Engine) -> None:
        self._telemetry = telemetry
        self._admission = admission
        self._workers = workers
        self._engine = engine
        self._tasks: set[asyncio.Task[None]] = set()

    def offer(
        self, data: bytes, media_type: str | None, candidate: Loaded, options: Options, live: schemas.DetectResult
    ) -> None:
        """Score a clip with a candidate as well, or drop it. Returns at once, and never raises."""
        long = live.audio.duration_seconds * max(1, len(live.channels)) > _LONGEST_SECONDS
        if long or len(self._tasks) >= _CLIPS or not self._admission.idle():
            self._count(candidate, "dropped")
            return
        task = asyncio.create_task(self._score(data, media_type, candidate, options, live))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def stop(self) -> None:
        """Give up what waits. For the thread of the event loop."""
        for task in self._tasks:
            task.cancel()

    async def _score(
        self, data: bytes, media_type: str | None, candidate: Loaded, options: Options, live: schemas.DetectResult
    ) -> None:
        detector, deadline = candidate.detector, time.monotonic() + _PATIENCE_SECONDS
        limits = audio.Limits(
            max_seconds=2 * _LONGEST_SECONDS
        )  # it has been decoded once, within those of the settings
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                clip, prepared = await self._workers.run(
                    lambda: decoded(data, media_type, detector, options.channel, limits),
                    lane="shadow",
                    place=None,
                    deadline=deadline,
                )
                scored = await self._engine.score(detector, list(prepared.values()), lane="shadow", deadline=deadline)
            scores = dict(zip(prepared, scored.scores, strict=True))
            found = answer(clip, scores, detector, options, _NO_TIMING, request_id=live.request_id)
        except TimeoutError:
            self._count(candidate, "dropped")
        except Exception as error:
            self._count(candidate, "failed")
            log.error("a shadow could not be scored", exc_info=error, extra={"model": candidate.name})
        else:
            self._count(candidate, "scored")
            version = _version(candidate)
            self._telemetry.shadow_verdicts.labels(*version, live.verdict, found.verdict).inc()
            self._telemetry.shadow_difference.labels(*version).observe(found.score - live.score)

    def _count(self, candidate: Loaded, outcome: str) -> None:
        self._telemetry.shadow_clips.labels(*_version(candidate), outcome).inc()


def _version(model: Loaded) -> tuple[str, str]:
    return model.detector.manifest.family, str(model.detector.manifest.version)
