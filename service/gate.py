"""Before a clip's body is read: refuse it where there is no place for it, and keep it one for a moment where there is.

A refusal is cheap here and dear after a body has been read and parsed: so ten times what can be scored is refused
without taking from what is. `service.protocol` asks the gate as soon as it has a request's head, and writes the refusal
itself: no task, middleware or route sees the request. Of the head only the length of the body counts, so a refusal says
the same to whoever has a key and to whoever has none.
"""

import asyncio
import time
from collections.abc import Iterable
from http import HTTPStatus
from types import SimpleNamespace

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service import problems
from service.admission import Admission, Place
from service.middleware import SECURITY_HEADERS
from service.telemetry import Telemetry, log

ROUTE = "/detect"  # whose requests are one clip
_CODE = "overloaded"
_KEPT_SECONDS = 0.25  # for a body on its way; a slower one finds a place when it is there, or does not
_LOG_SECONDS = 10.0
_LONGEST_PAUSE_SECONDS = 0.012  # a refusal waits for as long, and an answer for a few of them
_PAUSE_OF_WAIT = 1 / 50  # of what whoever is let in waits: what is in work lasts for many pauses, on many cores too


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
    """Keeps places, and has the answer of whoever gets none made ahead: all but id, date and wait."""

    def __init__(self, admission: Admission, telemetry: Telemetry) -> None:
        self.admission = admission
        status, _ = problems.CODES[_CODE]
        self._count = telemetry.errors.labels(_CODE)
        self._seconds = telemetry.requests.labels(ROUTE, str(status))
        self._body = problems.problem(_CODE, admission.rule, request_id="").model_dump_json().encode()
        fixed = {"Content-Type": problems.MEDIA_TYPE, **SECURITY_HEADERS}
        lines = [
            f"HTTP/1.1 {status} {HTTPStatus(status).phrase}",
            *(f"{name}: {value}" for name, value in fixed.items()),
        ]
        self._head = "".join(f"{line}\r\n" for line in lines).encode()
        self._refused, self._log_at = 0, 0.0
        self._refusing = False  # in this turn of the event loop
        self._ahead = b""  # of a refusal of this turn
        self._hurried = False

    def reserve(self, declared: str) -> Reservation | None:
        """A place for a body of the declared length; None where there is none."""
        place = self.admission.try_place(int(declared) if declared.isdecimal() else 0)
        if place is not None:
            return Reservation(place)
        self._refused += 1
        if not self._refusing:
            self._refusing = True
            asyncio.get_running_loop().call_soon(self._pause)
        return None

    def hurry(self) -> None:
        """No pause, the next time that one is due: somebody waits for the turns of the loop, and is not to be refused.

        So does who has connected: uvloop takes in one a turn.
        """
        self._hurried = True

    def refusal(self, request_id: str, *, usual: Iterable[tuple[bytes, bytes]], close: bool) -> bytes:
        """The refusal as HTTP, with the usual headers of the server; counted as if a route had given it."""
        self._count.inc()
        self._seconds.observe(0.0)  # from the head's last byte on, it is some microseconds
        if not self._ahead:
            lines = b"".join(b"%b: %b\r\n" % pair for pair in usual)
            self._ahead = b"%b%bRetry-After: %d\r\n" % (self._head, lines, self.admission.retry_seconds())
        given = request_id.encode()
        return b"%bContent-Length: %d\r\nX-Request-ID: %b\r\n%b\r\n%b%b%b" % (
            self._ahead,
            len(self._body) + len(given),
            given,
            b"Connection: close\r\n" if close else b"",
            self._body[:-2],
            given,
            self._body[-2:],
        )

    def _pause(self) -> None:
        """Keep the event loop still for a moment, so that what comes meanwhile is refused in one go.

        Else each request that comes takes the core from a thread that scores, to say no to that request alone. This
        blocks on purpose, once in a turn of the loop, and only in one in which a clip was refused.
        """
        self._refusing, self._ahead = False, b""
        self._log()
        hurried, self._hurried = self._hurried, False
        if not hurried:
            time.sleep(min(_LONGEST_PAUSE_SECONDS, _PAUSE_OF_WAIT * self.admission.wait_seconds()))

    def _log(self) -> None:
        """A line now and then: one for each would cost more than the refusal."""
        now = time.monotonic()
        if now >= self._log_at:
            log.warning("clips are refused: all places are taken", extra={"refused": self._refused})
            self._refused, self._log_at = 0, now + _LOG_SECONDS


class Gated:
    """The middleware, for requests that the protocol let through, with a place or unasked. It answers by raising, so
    `RequestContext` has to be around it.
    """

    def __init__(self, app: ASGIApp, gate: Gate) -> None:
        self.app = app
        self.gate = gate

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "POST" or scope["path"] != ROUTE:
            await self.app(scope, receive, send)
            return
        reservation: Reservation | None = scope.get("reservation")
        if reservation is None:
            reservation = self.gate.reserve(Headers(scope=scope).get("content-length", ""))
        if reservation is None:
            scope["route"] = SimpleNamespace(path=ROUTE)  # nothing will look for it
            scope["unlogged"] = True
            raise self.gate.admission.overloaded(self.gate.admission.rule)
        scope["reservation"] = kept = reservation

        async def receive_all() -> Message:
            message = await receive()
            if not message.get("more_body", False):
                kept.arrived()
            return message

        try:
            await self.app(scope, receive_all, send)
        finally:
            kept.give_up()
