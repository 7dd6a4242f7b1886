"""HTTP as uvicorn speaks it, but for what is answered before there is a request: that has this service's shape too.

Neither middleware nor handlers see bytes that are no HTTP; a head without an end, to which httptools has no limit; and
a clip for which there is no place, which is refused before it is a request, so that those in work lose little. The
plainest of these, whose head is there at once and has a length and nothing else that matters, is not even parsed.
"""

import re
from typing import Any

import httptools
from ulid import ULID
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from service import gate, problems
from service.middleware import SECURITY_HEADERS, request_id

MAX_HEAD_BYTES = 1 << 16  # of a request's line and headers, after what was read with their first byte

_NOT_HTTP = "A request is HTTP/1.1. Received: bytes that are not."
_ENDLESS = f"The line and the headers of a request are about {MAX_HEAD_BYTES} bytes at most. Received: more."
_GATED = (gate.ROUTE.encode(), gate.ROUTE.encode() + b"?")  # spelled otherwise, `service.gate.Gated` refuses it
# A head with one Content-Length (RFC 9112, 6) and nothing else that frames a message or changes the connection.
_MATTERS = rb"(?!(?i:content-length|transfer-encoding|expect|upgrade|connection(?!:[\t ]*keep-alive[\t ]*\r\n))[\t ]*:)"
_OTHERS = rb"(?:" + _MATTERS + rb"[!#-'*+\-.^_`|~0-9A-Za-z]+:[\t -~\x80-\xff]*\r\n)*"
_PLAIN = re.compile(
    rb"POST %b(?:\?[!-~]*)? HTTP/1\.1\r\n%b(?i:content-length):[\t ]*([0-9]{1,18})[\t ]*\r\n%b\r\n"
    % (_GATED[0], _OTHERS, _OTHERS)
)
_ID = re.compile(rb"\r\nx-request-id:[\t ]*([^\r\n]*?)[\t ]*\r\n", re.IGNORECASE)


class Protocol(HttpToolsProtocol):
    """A connection."""

    _in_message = False
    _in_head = False
    _head_bytes = 0
    _refused = False  # at its head: its body is read past
    _unparsed = 0  # bytes that are still to be read past, of a message that was refused unparsed
    _closes = False  # when that is over
    _reservation: gate.Reservation | None = None  # of a message that is about to be parsed

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._state = self.config.app.state  # type: ignore[union-attr]
        self._state.gate.hurry()

    def data_received(self, data: bytes) -> None:
        """Take the next bytes of the client."""
        while data and not self.transport.is_closing():  # else it has been refused, and says more
            if not self._unparsed and not self._refuse_unparsed(data):
                self._parse(data)
                return
            past = min(self._unparsed, len(data))
            self._unparsed -= past
            data = data[past:]
            self._go_on(over=not self._unparsed)

    def _refuse_unparsed(self, data: bytes) -> bool:
        """Refuse a plain clip that begins here, if there is no place; else the place is kept for when it is parsed."""
        if self._in_message or not (head := _PLAIN.match(data, 0, MAX_HEAD_BYTES)) or not self._is_its_turn():
            return False
        self._reservation = self._state.gate.reserve(head[1].decode())
        if self._reservation is not None:
            return False
        self._unparsed = head.end() + int(head[1])
        given = _ID.search(data, 0, head.end())
        self._refuse(given[1].decode("latin-1") if given else "", keep_alive=True)
        return True

    def _parse(self, data: bytes) -> None:
        self._head_bytes += len(data)
        self._unset_keepalive_if_required()
        try:
            self._feed(data)
        except httptools.HttpParserError:
            self.logger.warning("Invalid HTTP request received.")
            self.send_400_response(_NOT_HTTP)
        if self._in_head and self._head_bytes > MAX_HEAD_BYTES and not self.transport.is_closing():
            self.send_400_response(_ENDLESS)
        if self._refused and not self.transport.is_closing():
            self._go_on(over=False)

    def _feed(self, data: bytes | memoryview) -> None:
        """Parse these bytes, and ignore an Upgrade (RFC 9110, 7.8).

        The parser takes the body that follows one for the next request, or, where the connection is to be closed, for
        nothing: another one is given the same head without it.
        """
        while True:
            try:
                self.parser.feed_data(data)
                return
            except httptools.HttpParserUpgrade as upgrade:
                data = memoryview(data)[upgrade.args[0] :]
            head = self._head_without_upgrade()
            self.parser = httptools.HttpRequestParser(self)
            self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn does
            self.parser.feed_data(head)

    def _head_without_upgrade(self) -> bytes:
        method = self.parser.get_method()
        if method == b"CONNECT":  # it is an upgrade by itself, and there is nothing that it could be for here
            raise httptools.HttpParserError
        version = self.parser.get_http_version().encode()
        fields = b"".join(b"%b: %b\r\n" % field for field in self.headers if field[0] != b"upgrade")
        return b"%b %b HTTP/%b\r\n%b\r\n" % (method, self.url, version, fields)

    def _go_on(self, *, over: bool) -> None:
        """After a part of what was refused: close when it is over, or wait for more as long as between requests."""
        self._unset_keepalive_if_required()
        if over and self._closes:
            self.transport.close()
        else:
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )

    def _is_its_turn(self) -> bool:
        """Whether the requests before have been answered."""
        return (self.cycle is None or self.cycle.response_complete) and not self.flow.write_paused

    def on_message_begin(self) -> None:
        """Note that a head begins."""
        super().on_message_begin()
        self._in_message, self._in_head, self._head_bytes, self._refused = True, True, 0, False

    def on_headers_complete(self) -> None:
        """Note that it has ended; keep a clip a place, or refuse it."""
        if self.parser.should_upgrade():  # it comes again
            return
        self._in_head = False
        gated = self.parser.get_method() == b"POST" and (self.url == _GATED[0] or self.url.startswith(_GATED[1]))
        if gated and self._is_its_turn():
            headers = {name: value.decode("latin-1") for name, value in self.headers}
            reservation = self._reservation or self._state.gate.reserve(headers.get(b"content-length", ""))
            self._reservation = None
            if reservation is None:
                keep_alive = self.parser.should_keep_alive() and self.parser.get_http_version() != "1.0"
                self._refused = True
                self._refuse(headers.get(b"x-request-id", ""), keep_alive=keep_alive)
                return
            self.scope["reservation"] = reservation  # type: ignore[typeddict-unknown-key]
        elif not gated:
            self._state.gate.hurry()
        super().on_headers_complete()

    def _refuse(self, given: str, *, keep_alive: bool) -> None:
        """Answer now, and read past what the client still sends: closed meanwhile, it might never see the answer."""
        self._closes = not keep_alive or self._state.draining
        self.server_state.total_requests += 1
        usual = self.server_state.default_headers  # the date
        self.transport.write(self._state.gate.refusal(request_id(given), usual=usual, close=self._closes))

    def on_body(self, body: bytes) -> None:
        """Take a part of a body."""
        if not self._refused:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """Note that a body has ended."""
        if self.parser.should_upgrade():
            return
        self._in_message = False
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
