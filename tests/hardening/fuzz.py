"""Requests made at random, each from a seed and its number: damaged audio, forms, parameters, paths, damaged HTTP."""

from collections.abc import Callable
from functools import cache
from random import Random
from urllib.parse import quote

from tests.signals import clip, ffmpeg_clip, speech

_RATE = 8_000
_BY_LIBSNDFILE = [
    *(("WAV", codec) for codec in ("PCM_U8", "PCM_16", "PCM_24", "FLOAT", "DOUBLE", "ULAW", "ALAW")),
    *(("WAV", codec) for codec in ("GSM610", "IMA_ADPCM", "MS_ADPCM")),
    *(("RF64", "PCM_16"), ("AU", "ULAW"), ("AIFF", "PCM_16"), ("FLAC", "PCM_16"), ("FLAC", "PCM_24")),
    *(("OGG", "VORBIS"), ("OGG", "OPUS"), ("MP3", "MPEG_LAYER_III")),
]
_BY_FFMPEG = [
    *(("ipod", "aac"), ("ipod", "alac"), ("adts", "aac"), ("webm", "libopus"), ("matroska", "flac")),
    *(("ogg", "flac"), ("wav", "g722")),
]
_NUMBERS = [
    b"\0\0\0\0",
    b"\xff\xff\xff\xff",
    b"\xff\xff\xff\x7f",
    b"\0\0\0\x80",
    b"\1\0\0\0",
    b"\0\0\0\1",
    b"\xfe\xff\0\0",
]
_TYPES = [
    *("audio/wav", "audio/basic", "audio/L16;rate=8000", "audio/L16;rate=0", "audio/x-mulaw;rate=8000;channels=2"),
    *("audio/L16", "application/octet-stream", "text/plain", "multipart/form-data", "multipart/form-data; boundary="),
    *("audio/mpeg", "\xe9", "audio/L16;rate=99999999999", "multipart/mixed; boundary=x", "application/json", ";;;"),
]
_PARAMETERS = ["model", "channel", "operating_point", "threshold", "explain", "other"]
_VALUES = [
    *("light", "light@1", "duo", "duo@1", "nobody", "", "0", "1", "2", "each", "balanced", "high_security", "custom"),
    *("nan", "-inf", "1e400", "-3.5", "true", "no", "\0", "%00", "../../x", "é", "x" * 3_000, "{{7*7}}", "' OR 1=1"),
]
_PATHS = [
    *(
        "/",
        "/docs",
        "/detect/",
        "/models",
        "/models/duo/versions/1",
        "/models/light/versions/1",
        "/models/x/versions/-1",
    ),
    *("/models/x/versions/" + "9" * 30, "/models/%00/versions/1", "/metrics", "/health/live", "/health/ready", "//"),
    *("/openapi.json", "/static-offline-docs/../../etc/passwd", "/static-offline-docs/%2e%2e/%2e%2e/x", "/%ff%fe"),
    *("/static-offline-docs/swagger-ui.css", "/models/a/b/versions/1", "/detect%2f", "/%", "/static-offline-docs/%00"),
]
_METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "M-SEARCH", "PROPFIND"]


@cache
def clips() -> list[bytes]:
    """A short clip of each format."""
    voice = speech(seconds=0.5, sample_rate=_RATE)
    made = [clip(voice, sample_rate=_RATE, container=container, codec=codec) for container, codec in _BY_LIBSNDFILE]
    made += [ffmpeg_clip(voice, sample_rate=_RATE, container=container, codec=codec) for container, codec in _BY_FFMPEG]
    return [*made, clip(voice[:, None].repeat(2, 1), sample_rate=_RATE), b"#!AMR\n" + b"\x7c" * 30]


def request(number: int, *, seed: int, whole: float = 0.1) -> tuple[bytes, bool]:
    """The bytes of a request on a connection of its own, and whether they are sure to be all of one.

    Parameters
    ----------
    whole : float
        The share of requests that are clips without any damage.
    """
    chance = Random(f"{seed}/{number}")  # noqa: S311 (chance, not secrecy)
    if chance.random() < whole:
        return _http(chance, "POST", "/detect", chance.choice(clips()), "application/octet-stream"), True
    makers: list[Callable[[Random], bytes]] = [_audio, _form, _parameters, _path, _damaged]
    [maker] = chance.choices(makers, weights=[5, 2, 1, 1, 1])
    return maker(chance), maker is not _damaged


def damaged(chance: Random, data: bytes) -> bytes:
    """A few faults, most of them in the header: bits, numbers, parts that are gone, twice there, moved or another's."""
    found = bytearray(data)
    for _ in range(chance.choice([1, 1, 2, 4, 8])):
        end = max(1, len(found))
        at = chance.randrange(min(end, chance.choice([16, 64, 200, end])))
        length = chance.choice([1, 2, 4, 8, 100, 1_000])
        match chance.randrange(8):
            case 0:
                found[at : at + 1] = bytes([(found[at] if at < len(found) else 0) ^ 1 << chance.randrange(8)])
            case 1 | 2:
                found[at : at + 4] = chance.choice(_NUMBERS)
            case 3:
                found[at : at + length] = chance.randbytes(length)
            case 4:
                del found[at : at + length]
            case 5:
                found[at:at] = found[at : at + length]
            case 6:
                other = chance.choice(clips())
                found[at:] = other[at:]
            case 7:
                del found[chance.randrange(end) :]
    return bytes(found)


def _http(chance: Random, method: str, target: str, body: bytes, media_type: str, *more: str) -> bytes:
    lines = [f"{method} {target} HTTP/1.1", "Host: here", "Connection: close", f"Content-Type: {media_type}", *more]
    if chance.random() < 0.2:
        pieces = [body[at : at + 1_000] for at in range(0, len(body), 1_000)]
        body = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"
        lines.append("Transfer-Encoding: chunked")
    else:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1", "replace") + body


def _audio(chance: Random) -> bytes:
    body = damaged(chance, chance.choice(clips()))
    return _http(chance, "POST", "/detect", body, chance.choice([*_TYPES[:9], *["audio/wav"] * 20]))


def _form(chance: Random) -> bytes:
    boundary = chance.choice(["x", "x" * 70, "x" * 300, "é", ""])
    name = chance.choice(["file", "files", "files", "other", "", "x" * 9_000])
    parts = []
    count = chance.choice([0, 1, 1, 2, 5, 600])
    for _ in range(count):
        content = (
            chance.choice(clips())
            if chance.random() < (0.2 if count < 10 else 0.005)
            else chance.randbytes(chance.choice([0, 10, 600]))
        )
        shape = chance.choice(['; filename="a"', '; filename="a"', "", "; filename*=utf-8''%ff", '; filename="\0"'])
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"{shape}\r\n'
        head += chance.choice(["", "", f"Content-Type: {chance.choice(_TYPES)}\r\n", "X: y\r\n" * 20, "no colon\r\n"])
        parts.append(f"{head}\r\n".encode("latin-1", "replace") + content + b"\r\n")
    body = b"".join(parts) + chance.choice([f"--{boundary}--\r\n", f"--{boundary}--\r\n", ""]).encode("latin-1")
    body = damaged(chance, body) if chance.random() < 0.3 else body
    charset = chance.choice(["", "", "; charset=utf-16", "; charset=undefined"])
    target = chance.choice(["/detect", "/batch", "/batch"])
    accept = chance.choice([(), ("Accept: application/x-ndjson",)])
    return _http(chance, "POST", target, body, f"multipart/form-data; boundary={boundary}{charset}", *accept)


def _parameters(chance: Random) -> bytes:
    asked = [(chance.choice(_PARAMETERS), chance.choice(_VALUES)) for _ in range(chance.choice([1, 1, 2, 4]))]
    query = "&".join(f"{name}={quote(value, safe='%')}" for name, value in asked)
    return _http(chance, "POST", f"/detect?{query}", chance.choice(clips()), "audio/wav")


def _path(chance: Random) -> bytes:
    header = chance.choice(["X: y", "X-Request-ID: é", f"X-Request-ID: {'x' * 99}", "Range: bytes=5-2", "Expect: x"])
    key = chance.choice([(), ("Authorization: Bearer x.y",), ("X-API-Key: é",), ("traceparent: 00-x",)])
    return _http(chance, chance.choice(_METHODS), chance.choice(_PATHS), b"", "text/plain", header, *key)


def _damaged(chance: Random) -> bytes:
    return damaged(chance, _http(chance, "POST", "/detect", chance.choice(clips()), "audio/wav"))
