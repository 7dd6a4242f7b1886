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


def request_id(given: str) -> str:
    """The id that a client gave its request, if it is one, or a new one."""
    return given if _REQUEST_ID.fullmatch(given) else str(ULID())


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
        scope["request_id"] = request_id(headers.get("x-request-id", ""))
        scope["log"] = {}
        if scope["method"] == "HEAD":  # whatever answers GET; the server sends no body (RFC 9110, 9.3.2)
            scope = {**scope, "method": "GET"}
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
                if scope["app"].state.draining:  # so that no request is on its way when the connection is closed
                    answered["Connection"] = "close"
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
            if not route.startswith(_UNLOGGED) and "unlogged" not in scope:
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
    """Refuse a body over a size, by its declared length at once and by its content as soon as it exceeds; one that has
    not arrived in time; and one for which there is no room beside the others.

    Starlette's own limit answers text/plain, and has no clock.
    """

    def __init__(self, app: ASGIApp, *, max_bytes: int, max_seconds: float, max_bytes_together: int) -> None:
        self.app = app
        self.max_bytes = max_bytes
        self.max_seconds = max_seconds
        self.max_bytes_together = max_bytes_together
        self.held = 0  # bytes of all requests

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
            size = len(message.get("body", b""))
            received += size
            self.held += size
            complete = not message.get("more_body", False)
            if received > self.max_bytes:
                raise self._too_large("more")
            if self.max_bytes_together < self.held != received:
                raise ProblemError(
                    "overloaded",
                    f"The bodies of all requests are at most {self.max_bytes_together} bytes. Received: more.",
                    headers={"Retry-After": "1"},
                )
            return message

        try:
            await self.app(scope, bounded, send)
        finally:
            self.held -= received

    def _too_large(self, received: str) -> ProblemError:
        return ProblemError("body_too_large", f"A body is at most {self.max_bytes} bytes. Received: {received}.")
