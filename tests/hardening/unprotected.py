"""python -m tests.hardening.unprotected: what the attacks do to the calls that anybody would write first, as JSON.

In a process of its own, whose memory is limited: what asks for more is told so, and the machine does not suffer.
"""

import asyncio
import io
import json
import resource
import sys
import tempfile
import warnings
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import soundfile
import soxr
from fastapi import FastAPI, Request

from tests.hardening import attacks
from tests.hardening.attacks import MULTIPART
from tests.hardening.rows import ROWS

LIMIT_BYTES = 2 * 10**9


def read(data: bytes) -> str:
    """`soundfile.read`, and whether its samples can be used."""
    try:
        samples, _ = soundfile.read(io.BytesIO(data), dtype="float32")
    except MemoryError:
        return "MemoryError at 2 GB"
    except ValueError as error:
        return f"{type(error).__name__}, which no handler of audio errors expects"
    except soundfile.LibsndfileError as error:
        return "has an address of the heap" if "0x" in str(error) else str(error)
    return "reads it" if np.isfinite(samples).all() else "passes it on"


def held(data: bytes) -> str:
    """`soundfile.read`, and what its samples take."""
    samples, _ = soundfile.read(io.BytesIO(data), dtype="float32")
    return f"takes {samples.nbytes / 1e6:.0f} MB"


def resampled(data: bytes) -> str:
    """To 16 kHz, from whatever the header says."""
    samples, rate = soundfile.read(io.BytesIO(data))
    try:
        return f"{soxr.resample(samples, rate, 16_000).nbytes} bytes"
    except (MemoryError, RuntimeError):
        return "MemoryError at 2 GB"


def mixed_down(data: bytes) -> str:
    """To one channel."""
    samples, _ = soundfile.read(io.BytesIO(data))
    return "silence" if np.abs(samples.mean(axis=1)).max() <= 2**-16 else "sound"  # half a step of 16 bits


def by_librosa(data: bytes) -> str:
    """`librosa.load`, which falls back to audioread."""
    import librosa  # noqa: PLC0415

    started = []
    sys.addaudithook(lambda event, _: started.append(event) if event == "subprocess.Popen" else None)
    with tempfile.NamedTemporaryFile(suffix=".wav") as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        Path(file.name).write_bytes(data)
        try:
            librosa.load(file.name)
        except Exception as error:
            return "starts programs" if started else type(error).__name__
    return "reads it"


def _straightforward() -> FastAPI:
    app = FastAPI()

    @app.post("/body")
    async def body(request: Request) -> int:
        return len(await request.body())

    @app.post("/form")
    async def form(request: Request) -> int:
        return len(await request.form())

    return app


def posted(path: str, body: bytes | Callable[[], Any], headers: dict[str, str]) -> httpx.Response:
    """What a straightforward app answers."""

    async def chunks() -> AsyncIterator[bytes]:
        for chunk in [body] if isinstance(body, bytes) else body():
            yield chunk

    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(_straightforward())
        async with httpx.AsyncClient(transport=transport, base_url="http://here") as client:
            return await client.post(path, content=chunks(), headers=headers)

    return asyncio.run(ask())


def whole(body: bytes | Callable[[], Any]) -> str:
    """`await request.body()`."""
    answer = posted("/body", body, {})
    return "takes and keeps them" if answer.json() == 200_000_000 else answer.text


def form(body: bytes) -> str:
    """`await request.form()`."""
    answer = posted("/form", body, MULTIPART)
    return f"{answer.status_code}, {answer.headers['Content-Type']}"


CALLS: dict[str, Callable[[Any], str]] = {
    "one_value": held,
    "one_hertz": resampled,
    "anti_phase": mixed_down,
    "not_audio": by_librosa,
    "chunked_body": whole,
    "declared_body": whole,
    "many_fields": form,
    "many_files": form,
    "huge_part_header": form,
}


def main() -> int:
    """Print what each row's attack does."""
    attacks.day_of_silence()  # whatever libraries map is mapped before the limit
    resource.setrlimit(resource.RLIMIT_DATA, (LIMIT_BYTES, LIMIT_BYTES))
    print(json.dumps({row.name: CALLS.get(row.name, read)(row.send().body) for row in ROWS}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
