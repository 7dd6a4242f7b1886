"""Clients as processes, and the figures of what they measured."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks import stats
from benchmarks.servers import Server


def outcome(module: str, server: Server, body: Path, **options: float) -> dict[str, Any]:
    """What a client, a module of this package, says of the load that it was."""
    out, _ = start(module, server, body, **options).communicate()
    return dict(json.loads(out))


def start(module: str, server: Server, body: Path, **options: float) -> "subprocess.Popen[bytes]":
    """The same, begun: it says so on its standard output when it ends."""
    command = [sys.executable, "-m", f"benchmarks.{module}", f"{server.url}/detect", "--body", str(body)]
    arguments = [text for name, value in options.items() for text in (f"--{name}", str(value))]
    return subprocess.Popen([*command, *arguments], stdout=subprocess.PIPE)


def percentiles(seconds: list[float]) -> dict[str, float]:
    """Of times in seconds, in milliseconds; of none, zeros."""
    if not seconds:
        return {"p50": 0.0, "p99": 0.0, "max": 0.0}
    return {f"p{each}": stats.percentile_ms(seconds, each) for each in (50, 99)} | {"max": 1e3 * max(seconds)}
