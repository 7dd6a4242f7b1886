"""python -m openapi: write service/examples.json and openapi/openapi.json.

The examples are what the app answers, about the clips of examples/ with the models that the settings name. They are
written to a file that the service reads, so that the document is the same on every machine whatever is loaded there.
"""

import asyncio
import io
import json
import logging
import math
import sys
import tempfile
from pathlib import Path
from typing import Any

import httpx
import soundfile
from fastapi import FastAPI

from service import keys
from service.app import create_app
from service.catalogue import Catalogue
from service.document import EXAMPLES
from service.problems import CODES
from service.settings import Settings
from service.telemetry import Telemetry

CLIPS = Path(__file__).parent.parent / "examples"
DOCUMENT = Path(__file__).parent / "openapi.json"

# What would differ from run to run: the id is sent with each request, the times are put in.
REQUEST_ID = "01KAPEV9S3B1ZQ6M0X8WJ2T4RD"
TIMING_MS = {"decode": 2.1, "queue": 0.2, "infer": 8.4}
DECIMALS = 4  # of every number: the last ones depend on the processor


def main() -> int:
    """Ask, and write both files."""
    logging.disable()  # one of the answers is to a fault
    EXAMPLES.write_text(text(asyncio.run(answers(Settings()))), encoding="utf-8")
    DOCUMENT.write_text(text(create_app(Settings()).openapi()), encoding="utf-8")
    return 0


def text(content: Any) -> str:
    """JSON as both files have it."""
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


async def answers(settings: Settings) -> dict[str, Any]:
    """OpenAPI's example objects: answers for clips, and an answer for each code of `problems.CODES`."""
    registry = Catalogue(settings, Telemetry()).refresh()

    def app(**changes: Any) -> FastAPI:
        made = create_app(settings.model_copy(update=changes))
        made.state.registry = registry
        made.state.workers.start()
        made.state.engine.start()
        return made

    usual, broken, full = app(), app(), app(max_queue_clips=1)
    broken.state.pipeline = None
    with tempfile.TemporaryDirectory() as folder:
        _, for_batches = keys.make(Path(folder) / "keys.json", client="bulk", scopes=("batch",))
        (Path(folder) / "key").write_bytes(bytes(32))
        unaudited = app(audit_dir=Path(folder), audit_key_file=Path(folder) / "key")  # its writer never runs
        keyed = app(keys=Path(folder) / "keys.json")
        keyed.state.keyring.find(for_batches).charge(audio_seconds=1e6)
    clips = {path.stem: path.read_bytes() for path in CLIPS.glob("*.wav")}
    telephone, text_file = clips["telephone"], b"not audio"
    not_a_number = io.BytesIO()
    soundfile.write(not_a_number, [math.nan] * 8_000, 8_000, format="WAV", subtype="FLOAT")

    found = {
        "telephone": ("A synthetic voice", await _ask(usual, "/detect", telephone)),
        "silence": ("Nothing to judge", await _ask(usual, "/detect", clips["silence"])),
        "two_channels": ("Two channels, each scored", await _ask(usual, "/detect", clips["two_channels"])),
        "batch": ("One clip scored, one refused", await _ask(usual, "/batch", [telephone, text_file])),
    }
    asked = {
        "malformed_request": _ask(usual, "/batch", telephone),
        "not_found": _ask(usual, "/score", telephone),
        "unknown_model": _ask(usual, "/detect?model=another_family", telephone),
        "method_not_allowed": _ask(usual, "/models", telephone),
        "body_too_large": _ask(app(max_body_bytes=1_000), "/detect", telephone),
        "unsupported_format": _ask(usual, "/detect", text_file),
        "empty_audio": _ask(usual, "/detect", b""),
        "too_short": _ask(usual, "/detect", bytes(800), media_type="audio/basic"),
        "too_long": _ask(app(max_clip_seconds=1.0), "/detect", telephone),
        "non_finite_samples": _ask(usual, "/detect", not_a_number.getvalue()),
        "sample_rate_out_of_range": _ask(usual, "/detect", bytes(800), media_type="audio/L16;rate=4000"),
        "too_many_channels": _ask(usual, "/detect", bytes(48), media_type="audio/L16;rate=8000;channels=6"),
        "no_such_channel": _ask(usual, "/detect?channel=1", telephone),
        "undecodable": _ask(usual, "/detect", telephone[:30]),
        "invalid_parameter": _ask(usual, "/detect?threshold=nan", telephone),
        "missing_key": _ask(keyed, "/detect", telephone),
        "invalid_key": _ask(keyed, "/detect", telephone, key=f"{'0' * 16}.{'A' * 43}"),
        "missing_scope": _ask(keyed, "/detect", telephone, key=for_batches),
        "rate_limited": _ask(keyed, "/batch", [telephone], key=for_batches),
        "overloaded": _ask(full, "/detect", telephone),
        "internal_error": _ask(broken, "/detect", telephone),
        "not_ready": _ask(create_app(settings), "/detect", telephone),
        "audit_unavailable": _ask(unaudited, "/detect", telephone),
        "deadline_exceeded": _ask(app(deadline_seconds=1e-3), "/detect", telephone),
    }
    with full.state.admission.place(0):  # its only one
        for code, (_, title) in CODES.items():
            found[code] = (title, await asked[code])
    return {name: {"summary": summary, "value": value} for name, (summary, value) in found.items()}


async def _ask(
    app: FastAPI, path: str, clips: bytes | list[bytes], *, media_type: str = "audio/wav", key: str | None = None
) -> Any:
    """An app's answer, with `clips` as the body, or as the files of a batch."""
    sent: dict[str, Any] = {"content": clips, "headers": {"Content-Type": media_type}}
    if isinstance(clips, list):
        sent = {"files": [("files", clip) for clip in clips]}
    transport = httpx.ASGITransport(app)
    usual = {"X-Request-ID": REQUEST_ID, **({"X-API-Key": key} if key else {})}
    async with httpx.AsyncClient(transport=transport, base_url="http://example", headers=usual) as client:
        answer = await client.post(path, **sent)
    return _steady(answer.json())


def _steady(value: Any) -> Any:
    """An answer without what differs from run to run."""
    match value:
        case dict():
            return {name: TIMING_MS if name == "timing_ms" else _steady(part) for name, part in value.items()}
        case list():
            return [_steady(part) for part in value]
        case float():
            return round(value, DECIMALS)
    return value


if __name__ == "__main__":
    sys.exit(main())
