"""What happens around every request: its id, its size, its log line, its latency."""

import re
import time

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from ulid import ULID

from service.problems import ProblemError
from service.telemetry import Telemetry, log

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")  # W3C Trace Context
_UNLOGGED = ("/health/", "/metrics")  # asked every few seconds by machines


class RequestContext:
    """Give a request its id and, when it is answered, a log line and a latency."""

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
        status = 500

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)["X-Request-ID"] = scope["request_id"]
            await send(message)

        try:
            await self.app(scope, receive, answer)
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


class BodyLimit:
    """Refuse a body over the limit: by its declared length at once, by its content as soon as it exceeds."""

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self.app = app
        self.max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        declared = Headers(scope=scope).get("content-length", "")
        received = 0

        async def limited() -> Message:
            nonlocal received
            if declared.isdecimal() and int(declared) > self.max_bytes:
                raise self._refusal(f"{declared} declared")
            message = await receive()
            received += len(message.get("body", b""))
            if received > self.max_bytes:
                raise self._refusal("more")
            return message

        await self.app(scope, limited, send)

    def _refusal(self, received: str) -> ProblemError:
        return ProblemError("body_too_large", f"A body is at most {self.max_bytes} bytes. Received: {received}.")
