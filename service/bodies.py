"""A request's body -> the clips in it, in memory: audio is never spooled to a disk."""

from collections import defaultdict
from collections.abc import AsyncGenerator
from typing import Any

from fastapi import Request
from starlette.datastructures import Headers, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from model_store.decoders import LONGEST_MEDIA_TYPE
from service.problems import ProblemError

# The media types that OpenAPI lists for a clip sent as the body. Others are looked at all the same.
AUDIO_TYPES = (
    "audio/wav",
    "audio/flac",
    "audio/ogg",
    "audio/mpeg",
    "audio/mp4",
    "audio/amr",
    "audio/webm",
    "audio/basic",
    "audio/x-mulaw",
    "audio/x-alaw",
    "audio/L16",
    "application/octet-stream",
)


_PLAIN = {  # encodings that change no byte of a body or part: RFC 9110, 8.4; RFC 9112, 7; RFC 2045, 6
    "Content-Encoding": ("identity",),
    "Transfer-Encoding": ("chunked",),
    "Content-Transfer-Encoding": ("binary", "8bit", "7bit"),
}
_MOST_FIELDS = 16  # that are not files
_UNENDED = "It does not end"
_RULES = {  # by how the parser's words for a body that breaks one begin
    "Missing boundary": "has a media type with its boundary. Received: one without",
    "Too many files": "has no more files than {most}. Received: more",
    "Too many fields": f"has no more fields than {_MOST_FIELDS} that are not files. Received: more",
    "Part exceeded": f"has files, and fields of {MultiPartParser.max_part_size} bytes at most. Received: a larger one",
    "The Content-Disposition": "has a name for each of its parts. Received: a part without",
    "Invalid": "has its parts between its boundaries (RFC 2046, 5.1). Received: other bytes",
    _UNENDED: "ends with its closing boundary. Received: none",
}


class _InMemoryParser(MultiPartParser):
    """Starlette's parser that keeps files as the pieces they came in, and that knows a body which was cut short.

    Its own temporary files stay empty: writing to them and reading them again copies each byte twice more. The size of
    the whole body is bounded already.
    """

    complete = False

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        self.pieces: dict[UploadFile, list[bytes]] = defaultdict(list)

    def on_part_data(self, data: bytes, start: int, end: int) -> None:
        file = self._current_part.file
        if file is None:
            super().on_part_data(data, start, end)
        else:
            self.pieces[file].append(data[start:end])

    def on_end(self) -> None:
        self.complete = True


async def read_clip(request: Request) -> tuple[bytes, str | None]:
    """The one clip of a request and its declared media type: the multipart field ``file``, or the body itself."""
    _check_encoding(request.headers)
    media_type = request.headers.get("content-type")
    if media_type is None or not media_type.lower().startswith("multipart/"):
        return await request.body(), media_type
    clips = await _read_field(request, "file", most=1)
    return clips[0]


async def read_clips(request: Request, *, most: int) -> list[tuple[bytes, str | None]]:
    """The clips of a batch, the multipart field ``files``, repeated, in the order sent."""
    _check_encoding(request.headers)
    media_type = request.headers.get("content-type", "")
    if not media_type.lower().startswith("multipart/form-data"):
        raise ProblemError(
            "malformed_request",
            f"A batch is multipart/form-data. Received: {media_type[:80] or 'no type'!r}.",
        )
    return await _read_field(request, "files", most=most)


def _check_encoding(headers: Headers, *, of_part: bool = False) -> None:
    """Refuse a body, or a part, that is encoded: as headerless audio, its bytes would be scored as they are."""
    for name, plain in _PLAIN.items():
        given = ", ".join(headers.getlist(name))
        if not {coding.strip().lower() for coding in given.split(",")} <= {"", *plain}:
            rule = f"A {'part' if of_part else 'body'} is sent with no {name} but {' or '.join(plain)}"
            received = "another" if of_part else repr(given[:80])  # nothing of a body is told
            raise ProblemError("malformed_request", f"{rule}. Received: {received}.")


async def _read_field(request: Request, name: str, *, most: int) -> list[tuple[bytes, str | None]]:
    async def whole() -> AsyncGenerator[bytes]:
        async for chunk in request.stream():
            yield chunk
        if not parser.complete:
            raise MultiPartException(_UNENDED)

    length = len(request.headers["content-type"])
    if length > LONGEST_MEDIA_TYPE:
        rule = f"A multipart body's media type has {LONGEST_MEDIA_TYPE} characters at most"
        raise ProblemError("malformed_request", f"{rule}. Received: {length:,}.")
    parser = _InMemoryParser(request.headers, whole(), max_files=most, max_fields=_MOST_FIELDS)
    try:
        form = await parser.parse()
    except MultiPartException as error:
        rule = next((rule for words, rule in _RULES.items() if error.message.startswith(words)), _RULES["Invalid"])
        raise ProblemError("malformed_request", f"A multipart body {rule.format(most=most)}.") from None
    except UnicodeError:  # of a charset that decodes nothing, such as "undefined"
        rule = "A multipart body's charset is a text encoding"
        raise ProblemError("malformed_request", f"{rule}. Received: one that decodes nothing.") from None
    values = form.getlist(name)
    clips = [(b"".join(parser.pieces.pop(v, [])), v.content_type) for v in values if isinstance(v, UploadFile)]
    await form.close()
    for value in values:
        if isinstance(value, UploadFile):
            _check_encoding(value.headers, of_part=True)
    if not clips or len(clips) != len(values):
        raise ProblemError(
            "invalid_parameter",
            f"Each field {name!r} holds audio, sent as a file (with a filename). "
            f"Received: {len(clips)} of {len(values)}.",
        )
    return clips


def multipart_schema(name: str, *, repeated: bool) -> dict[str, Any]:
    """OpenAPI's description of a multipart body with audio in one field."""
    binary = {"type": "string", "format": "binary"}
    field = {"type": "array", "items": binary, "minItems": 1} if repeated else binary
    return {"multipart/form-data": {"schema": {"type": "object", "required": [name], "properties": {name: field}}}}
