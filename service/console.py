"""The console: the pages for people at /, which load nothing from elsewhere and run only the scripts they came with.

Its files are built from console/ (make console). Without them the service is whole but for this page, which says so.
"""

import secrets
from pathlib import Path

from fastapi import APIRouter, Request, Response

from service.problems import ProblemError

FOLDER = Path(__file__).resolve().parents[1] / "console" / "dist"
_INDEX = "index.html"
ENCODINGS = {"br": ".br", "gzip": ".gz"}  # in the order of liking
_MEDIA_TYPES = {
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
    ".wav": "audio/wav",
    ".ul": "audio/basic",
}
# W3C Content Security Policy, level 3. The nonce is for the one style that the waveform's library puts into its shadow
# tree; blob: is for playing what was chosen on this page.
_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self' 'nonce-{nonce}'",
        "img-src 'self' data:",
        "media-src blob:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
_UNBUILT = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Bonafide</title></head>
<body><h1>Bonafide</h1><p>The service runs. Its console was not built here: <code>make console</code> builds it.</p>
<p>The API works without: <a href="{root}/docs">its pages</a>.</p></body></html>
"""

router = APIRouter()


@router.get("/", include_in_schema=False)
async def index(request: Request) -> Response:
    """The console, or a page that says that there is none."""
    root = request.scope.get("root_path", "")
    nonce = secrets.token_urlsafe(16)
    try:
        page = (FOLDER / _INDEX).read_text(encoding="utf-8").replace("{nonce}", nonce)
    except FileNotFoundError:
        page = _UNBUILT.format(root=root)
    return Response(
        page,
        media_type="text/html; charset=utf-8",
        headers={"Content-Security-Policy": _POLICY.format(nonce=nonce), "Cache-Control": "no-cache"},
    )


@router.get("/console/{name}", include_in_schema=False)
async def file(request: Request, name: str) -> Response:
    """A file of the console, compressed as it was at its building. Its name has the hash of its content."""
    path = FOLDER / name  # a name has no slash in it, and nothing but files is opened
    if name == _INDEX or path.suffix not in _MEDIA_TYPES or not _is_file(path):
        raise ProblemError("not_found", "The console's files are named by its page. Received: another name.")
    accepted = {part.partition(";")[0].strip() for part in request.headers.get("accept-encoding", "").split(",")}
    headers = {"Cache-Control": "public, max-age=31536000, immutable", "Vary": "Accept-Encoding"}
    for encoding, suffix in ENCODINGS.items():
        compressed = path.with_name(path.name + suffix)
        if encoding in accepted and compressed.is_file():
            headers["Content-Encoding"] = encoding
            path = compressed
            break
    return Response(path.read_bytes(), media_type=_MEDIA_TYPES[Path(name).suffix], headers=headers)


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # of a name that is longer than any file's, whose text would say the path
        return False
