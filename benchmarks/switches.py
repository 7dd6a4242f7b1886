"""Changes of version under load: two versions of one artifact take turns while clients ask on."""

import json
import shutil
import signal
import statistics
import time
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from benchmarks import clients
from benchmarks.load import Outcome
from benchmarks.servers import Server
from model_store.store import Store

_PATIENCE_SECONDS = 60.0  # from a pin to the first answer of its version


def switches(server: Server, store: Store, family: str, body: Path, *, count: int) -> dict[str, Any]:
    """Pin two versions in turn while a closed loop asks; how long each took, and what the loop lost."""
    seconds, memory = [], [server.memory().rss_mb]
    client = clients.start("load", server, body, connections=4, seconds=_PATIENCE_SECONDS * count)
    try:
        for number in range(count):
            version = 2 - number % 2
            store.pin(family, version)
            begun = time.perf_counter()
            while _version(server, body) != version:
                if time.perf_counter() - begun > _PATIENCE_SECONDS:
                    raise RuntimeError(f"A version that is pinned is served. Received: {family}@{version}, not served.")
                time.sleep(0.02)
            seconds.append(time.perf_counter() - begun)
            memory.append(server.memory().rss_mb)
    finally:
        client.send_signal(signal.SIGINT)  # it says what came of it
    outcome = Outcome(**json.loads(client.communicate(timeout=60)[0]))
    return {
        "switches": len(seconds),
        "answered": len(outcome.latencies),
        "failed": outcome.errors,
        "latency_ms": clients.percentiles(outcome.latencies),
        "switch_seconds": {"median": statistics.median(seconds), "max": max(seconds)},
        "memory_mb": {"before": memory[0], "after": memory[-1], "max": max(memory)},
    }


def two_versions(source: Path, root: Path) -> str:
    """A store of one artifact as two versions, pinned to the first; its family."""
    for version in (1, 2):
        folder = root / source.parent.name / str(version)
        shutil.copytree(source, folder)
        (folder / "manifest.sig").unlink(missing_ok=True)  # of the one that it was
        path = folder / "manifest.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"version": version}))
    Store(root).pin(source.parent.name, 1)
    return source.parent.name


def _version(server: Server, body: Path) -> int:
    connection = HTTPConnection(server.url.removeprefix("http://"), timeout=60)
    connection.request("POST", "/detect", body.read_bytes(), {"Content-Type": "audio/wav"})
    answer = json.loads(connection.getresponse().read())
    connection.close()
    return int(answer["model"]["version"])
