"""The audit trail: a line for each decision, written by one thread to files of this process alone.

A decision is answered once its line is queued. The thread writes what waits at once, and every second has the disk keep
it and signs the tail: a process that is killed loses what waits, a machine that loses power loses a second. While the
disk refuses (full, gone), what was queued is kept and tried again; a decision that cannot be queued is refused with a
503, or, if the settings say so, answered and counted in the trail as lost.
"""

import os
import time
from collections import deque
from datetime import UTC, datetime
from threading import Condition, Thread
from typing import Any

from service.audit_files import Files
from service.chain import AuditError, AuditKey
from service.problems import ProblemError
from service.schemas import DetectResult
from service.settings import Settings
from service.telemetry import Telemetry, log

_QUEUE_LINES = 4_096
_RETRY_SECONDS = 1.0
_STOP_SECONDS = 10.0


class Trail:
    """The queue in front of the files, and the thread between them, alive between `start` and `stop`."""

    def __init__(
        self, files: Files, telemetry: Telemetry, *, key: AuditKey, required: bool, sync_seconds: float
    ) -> None:
        self.key = key
        self._files, self._telemetry = files, telemetry
        self._required, self._sync_seconds = required, sync_seconds
        self._waiting: deque[dict[str, Any]] = deque()
        self._changed = Condition()
        self._lost = 0  # decisions answered without a line, since the last line that says so
        self._failing = self._stopping = False
        self._proven = False  # whether the last attempt to write succeeded: if not, there is another, whatever waits
        self._unsigned, self._sign_at = False, 0.0
        self._thread = Thread(target=self._work, name="audit", daemon=True)

    @classmethod
    def of(cls, settings: Settings, telemetry: Telemetry) -> "Trail | None":
        """The trail that the settings ask for, if any.

        Raises
        ------
        AuditError
            There is a folder without a key, or one of them cannot be used.
        """
        folder = settings.audit_dir
        if folder is None:
            return None
        if settings.audit_key_file is None:
            raise AuditError("An audit trail has a key: BONAFIDE_AUDIT_KEY_FILE. Received: BONAFIDE_AUDIT_DIR alone.")
        if not (folder.is_dir() and os.access(folder, os.W_OK)):
            raise AuditError(f"An audit trail has a folder that can be written to. Received: {folder}.")
        key = AuditKey.read(settings.audit_key_file)
        files = Files(folder, key, max_bytes=settings.audit_file_bytes)
        return cls(
            files, telemetry, key=key, required=settings.audit_required, sync_seconds=settings.audit_sync_seconds
        )

    def start(self) -> None:
        """Begin to write."""
        self._thread.start()

    def stop(self) -> None:
        """Write what waits and sign for the end, or give up after a while if the disk refuses."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        self._thread.join(_STOP_SECONDS)
        if missing := len(self._waiting) + self._lost:
            log.critical("decisions were answered and are not in the audit trail: %d", missing)

    def record(self, decision: dict[str, Any]) -> None:
        """Queue a decision's line.

        Raises
        ------
        ProblemError
            ``audit_unavailable``, if the trail is required and nothing is known to be written.
        """
        with self._changed:
            room = self._thread.is_alive() and len(self._waiting) < _QUEUE_LINES
            if room and not (self._failing and self._required):
                self._waiting.append({"kind": "decision", **decision})
                self._changed.notify()
                return
            if not self._required:
                self._lost += 1
        self._telemetry.audit_unwritten.inc()
        if self._required:
            raise ProblemError(
                "audit_unavailable",
                "A decision is answered when the audit trail has it. Received: one that it cannot take now.",
                headers={"Retry-After": "1"},
            )

    def _work(self) -> None:
        try:
            while not self._step():
                pass
        except Exception as error:
            self._telemetry.audit_failing.set(1)
            log.critical("the audit trail's writer has died", exc_info=error)

    def _step(self) -> bool:
        """Wait for entries, write them, sign when it is time; whether that was all."""
        with self._changed:
            if self._proven and not (self._waiting or self._lost or self._stopping):
                self._changed.wait(max(0.0, self._sign_at - time.monotonic()) if self._unsigned else None)
            entries, lost, stopping = list(self._waiting), self._lost, self._stopping
        try:
            self._files.write([*entries, *([{"kind": "lost", "decisions": lost}] if lost else [])])
            with self._changed:
                for _ in entries:
                    self._waiting.popleft()
                self._lost -= lost
            self._telemetry.audit_lines.inc(len(entries))
            self._sign(written=bool(entries or lost), ending=stopping)
        except OSError as error:
            if not self._failing:
                log.error("the audit trail cannot be written: %s", error.strerror)
            self._failing, self._proven = True, False
            self._telemetry.audit_failing.set(1)
            time.sleep(0 if stopping else _RETRY_SECONDS)
            return stopping
        self._failing, self._proven = False, True
        self._telemetry.audit_failing.set(0)
        return stopping

    def _sign(self, *, written: bool, ending: bool) -> None:
        if written and not self._unsigned:
            self._unsigned, self._sign_at = True, time.monotonic() + self._sync_seconds
        if ending:
            self._files.close("ended")
        elif not self._proven or (self._unsigned and time.monotonic() >= self._sign_at):
            self._files.sync()
            self._unsigned = False


def decision_of(result: DetectResult, *, key: str | None, asked_channel: int | None, audio: str) -> dict[str, Any]:
    """What the trail has of an answer: enough to make it again from the clip, and nothing of the clip itself.

    Parameters
    ----------
    key : the id of the caller's key
    asked_channel : the one that the request named
    audio : the clip's HMAC
    """
    return {
        "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "request_id": result.request_id,
        "key": key,
        "model": result.model.family,
        "version": result.model.version,
        "sha256": result.model.sha256,
        "audio": audio,
        "format": result.audio.format,
        "sample_rate_hz": result.audio.sample_rate_hz,
        "channels": result.audio.channels,
        "asked_channel": asked_channel,
        "channel": result.audio.channel,
        "duration_seconds": result.audio.duration_seconds,
        "score": result.score,
        "operating_point": result.operating_point.name,
        "threshold": result.operating_point.threshold,
        "verdict": result.verdict,
        "reasons": result.reasons,
    }
