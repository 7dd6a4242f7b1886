"""HTTP as uvicorn speaks it, but for what is answered before there is a request: that has this service's shape too.

Neither middleware nor handlers see bytes that are no HTTP; a head without an end, to which httptools has no limit; and
a clip for which there is no place, which is refused before it is a request, so that those in work lose little.
"""

from typing import Any

from ulid import ULID
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from service import gate, problems
from service.middleware import SECURITY_HEADERS, request_id

MAX_HEAD_BYTES = 1 << 16  # of a request's line and headers, after what was read with their first byte

_NOT_HTTP = "A request is HTTP/1.1. Received: bytes that are not."
_ENDLESS = f"The line and the headers of a request are about {MAX_HEAD_BYTES} bytes at most. Received: more."
_GATED = (gate.ROUTE.encode(), gate.ROUTE.encode() + b"?")  # spelled otherwise, `service.gate.Gated` refuses it


class Protocol(HttpToolsProtocol):
    """A connection."""

    _in_head = False
    _head_bytes = 0
    _refused = False  # at its head: its body is read past
    _closes = False  # when that is over

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._state = self.config.app.state  # type: ignore[union-attr]

    def data_received(self, data: bytes) -> None:
        """Take the next bytes of the client."""
        if self.transport.is_closing():  # it has been refused, and says more
            return
        self._head_bytes += len(data)
        super().data_received(data)
        if self._in_head and self._head_bytes > MAX_HEAD_BYTES and not self.transport.is_closing():
            self.send_400_response(_ENDLESS)
        if self._refused and not self.transport.is_closing():
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )

    def on_message_begin(self) -> None:
        """Note that a head begins."""
        super().on_message_begin()
        self._in_head, self._head_bytes, self._refused = True, 0, False

    def on_headers_complete(self) -> None:
        """Note that it has ended; keep a clip a place, or refuse it."""
        self._in_head = False
        if self.parser.get_method() == b"POST" and (self.url == _GATED[0] or self.url.startswith(_GATED[1])):
            answered = self.cycle is None or self.cycle.response_complete  # the requests before, so that it is our turn
            if answered and not self.flow.write_paused and not self.parser.should_upgrade():
                headers = dict(self.headers)
                reservation = self._state.gate.reserve(headers.get(b"content-length", b"").decode("latin-1"))
                if reservation is None:
                    self._refuse(headers.get(b"x-request-id", b"").decode("latin-1"))
                    return
                self.scope["reservation"] = reservation  # type: ignore[typeddict-unknown-key]
        super().on_headers_complete()

    def _refuse(self, given: str) -> None:
        """Answer now, and read past what the client still sends: closed meanwhile, it might never see the answer."""
        keep_alive = self.parser.should_keep_alive() and self.parser.get_http_version() != "1.0"
        self._refused, self._closes = True, not keep_alive or self._state.draining
        self.server_state.total_requests += 1
        usual = b"".join(b"%b: %b\r\n" % pair for pair in self.server_state.default_headers)  # the date
        self.transport.write(self._state.gate.refusal(request_id(given), usual=usual, close=self._closes))

    def on_body(self, body: bytes) -> None:
        """Take a part of a body."""
        if not self._refused:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """Note that a body has ended."""
        if not self._refused:
            super().on_message_complete()
        elif self._closes:
            self.transport.close()

    def send_400_response(self, msg: str) -> None:
        """Answer what is not a request, and close. uvicorn's own word for it is text/plain."""
        detail = msg if msg == _ENDLESS else _NOT_HTTP
        problem = problems.problem("malformed_request", detail, request_id=str(ULID()))
        body = problem.model_dump_json().encode()
        headers = {
            "Content-Type": problems.MEDIA_TYPE,
            "Content-Length": str(len(body)),
            "Connection": "close",
            "X-Request-ID": problem.request_id,
            **SECURITY_HEADERS,
        }
        head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        self.transport.write(f"HTTP/1.1 400 Bad Request\r\n{head}\r\n".encode() + body)
        self.transport.close()
