"""HTTP as uvicorn speaks it, but for what uvicorn answers by itself: that has this service's shape too.

It answers before there is a request, so neither middleware nor handlers see it: bytes that are no HTTP, and a head
without an end, to which httptools has no limit.
"""

from ulid import ULID
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from service import problems
from service.middleware import SECURITY_HEADERS

MAX_HEAD_BYTES = 1 << 16  # of a request's line and headers, after what was read with their first byte

_NOT_HTTP = "A request is HTTP/1.1. Received: bytes that are not."
_ENDLESS = f"The line and the headers of a request are about {MAX_HEAD_BYTES} bytes at most. Received: more."


class Protocol(HttpToolsProtocol):
    """A connection."""

    _in_head = False
    _head_bytes = 0

    def data_received(self, data: bytes) -> None:
        """Take the next bytes of the client."""
        if self.transport.is_closing():  # it has been refused, and says more
            return
        self._head_bytes += len(data)
        super().data_received(data)
        if self._in_head and self._head_bytes > MAX_HEAD_BYTES and not self.transport.is_closing():
            self.send_400_response(_ENDLESS)

    def on_message_begin(self) -> None:
        """Note that a head begins."""
        super().on_message_begin()
        self._in_head, self._head_bytes = True, 0

    def on_headers_complete(self) -> None:
        """Note that it has ended."""
        self._in_head = False
        super().on_headers_complete()

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
