"""What happens around every request: its id, its log line, its latency, its headers, its last resort; and its body's
bounds.
"""

import asyncio
import re
import time

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from ulid import ULID

from service import problems
from service.problems import ProblemError
from service.telemetry import Telemetry, log

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")  # W3C Trace Context
_UNLOGGED = ("/health/", "/metrics")  # asked every few seconds by machines
# Of every answer that has none of its own: a browser is to run, frame, guess at and pass on nothing of it.
SECURITY_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_CLIENT_GONE = 499  # nginx's number, in logs and metrics alone: nobody is there to be answered


class RequestContext:
    """Give a request its id and, when it is answered, a log line and a latency; answer what nobody else did."""

    def __init__(self, app: ASGIApp, telemetry: Telemetry) -> None:
        self.app = app
        self.telemetry = telemetry

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        begun = time.perf_counter()
        headers = Headers(scope=scope)
        given = headers.get("x-request-id", "")
        scope["request_id"] = given if _REQUEST_ID.fullmatch(given) else str(ULID())
        scope["log"] = {}
        status, started, foreign = 500, False, False

        async def answer(message: Message) -> None:
            nonlocal status, started, foreign
            if message["type"] == "http.response.start":
                status = message["status"]
                answered = MutableHeaders(scope=message)
                foreign = status >= 400 and answered.get("content-type") != problems.MEDIA_TYPE
            if foreign:  # a library's own words, such as Starlette's for a range: ours come instead
                return
            if message["type"] == "http.response.start":
                started = True
                answered["X-Request-ID"] = scope["request_id"]
                for name, value in SECURITY_HEADERS.items():
                    answered.setdefault(name, value)
            await send(message)

        try:
            await self.app(scope, receive, answer)
            if foreign:
                response = await problems.answer(Request(scope), HTTPException(status))
                await response(scope, receive, answer)
        except ClientDisconnect:
            status = _CLIENT_GONE
        except Exception as error:
            if started:  # too late to say so: the server closes the connection
                raise
            response = await problems.answer(Request(scope), error)
            await response(scope, receive, answer)
        finally:
            seconds = time.perf_counter() - begun
            # The route's template, never the path: paths are the client's to choose, and would be labels without end.
            route = getattr(scope.get("route"), "path", "unmatched")
            self.telemetry.requests.labels(route, str(status)).observe(seconds)
            if not route.startswith(_UNLOGGED):
                trace = headers.get("traceparent", "")
                entry = {
                    "request_id": scope["request_id"],
                    "method": scope["method"],
                    "route": route,
                    "status": status,
                    "milliseconds": round(1e3 * seconds, 2),
                    **scope["log"],
                }
                if _TRACEPARENT.fullmatch(trace):
                    entry["traceparent"] = trace
                log.info("request", extra=entry)


class BodyBounds:
    """Refuse a body over a size, by its declared length at once and by its content as soon as it exceeds; and one
    that has not arrived in time.

    Starlette's own limit answers text/plain, and has no clock.
    """

    def __init__(self, app: ASGIApp, *, max_bytes: int, max_seconds: float) -> None:
        self.app = app
        self.max_bytes = max_bytes
        self.max_seconds = max_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        declared = Headers(scope=scope).get("content-length", "")
        deadline = asyncio.get_running_loop().time() + self.max_seconds
        received, complete = 0, False

        async def bounded() -> Message:
            nonlocal received, complete
            if complete:  # what is left to be received is that the client has gone
                return await receive()
            if declared.isdecimal() and int(declared) > self.max_bytes:
                raise self._too_large(f"{declared} declared")
            try:
                async with asyncio.timeout_at(deadline):
                    message = await receive()
            except TimeoutError:
                raise ProblemError(
                    "deadline_exceeded",
                    f"A body arrives within {self.max_seconds:g} s. Received: a part of one.",
                    headers={"Connection": "close"},
                ) from None
            received += len(message.get("body", b""))
            complete = not message.get("more_body", False)
            if received > self.max_bytes:
                raise self._too_large("more")
            return message

        await self.app(scope, bounded, send)

    def _too_large(self, received: str) -> ProblemError:
        return ProblemError("body_too_large", f"A body is at most {self.max_bytes} bytes. Received: {received}.")
