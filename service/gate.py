"""Before a clip's body is read: refuse it where there is no place for it, and keep it one for a moment where there is.

A refusal is cheap here and dear after a body has been read and parsed: so ten times what can be scored is refused
without taking from what is.
"""

import asyncio
import time
from types import SimpleNamespace

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.admission import Admission, Place
from service.problems import ProblemError
from service.telemetry import log

_KEPT_SECONDS = 0.25  # for a body on its way; a slower one finds a place when it is there, or does not
_LOG_SECONDS = 10.0


class Reservation:
    """A place kept for a clip that is being received."""

    def __init__(self, place: Place) -> None:
        self._place: Place | None = place
        self._timer = asyncio.get_running_loop().call_later(_KEPT_SECONDS, self.give_up)

    def arrived(self) -> None:
        """The body is there: keep the place until it is claimed."""
        self._timer.cancel()

    def claim(self) -> Place | None:
        """The place, which is the caller's to let go; None if it has been given up."""
        self._timer.cancel()
        place, self._place = self._place, None
        return place

    def give_up(self) -> None:
        """Let it go, unless it was claimed."""
        if (place := self.claim()) is not None:
            place.leave()


class Gate:
    """The middleware. It answers by raising, so `RequestContext` has to be around it."""

    def __init__(self, app: ASGIApp, admission: Admission, paths: frozenset[str]) -> None:
        self.app = app
        self.admission = admission
        self.paths = paths
        self._refused, self._log_at = 0, 0.0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "POST" or scope["path"] not in self.paths:
            await self.app(scope, receive, send)
            return
        declared = Headers(scope=scope).get("content-length", "")
        try:
            reservation = Reservation(self.admission.place(int(declared) if declared.isdecimal() else 0))
        except ProblemError:
            scope["route"] = SimpleNamespace(path=scope["path"])  # nothing will look for it
            scope["unlogged"] = True
            self._log()
            raise
        scope["reservation"] = reservation

        async def receive_all() -> Message:
            message = await receive()
            if not message.get("more_body", False):
                reservation.arrived()
            return message

        try:
            await self.app(scope, receive_all, send)
        finally:
            reservation.give_up()

    def _log(self) -> None:
        """A line now and then: one for each would cost more than the refusal."""
        self._refused += 1
        now = time.monotonic()
        if now >= self._log_at:
            log.warning("clips are refused: all places are taken", extra={"refused": self._refused})
            self._refused, self._log_at = 0, now + _LOG_SECONDS
