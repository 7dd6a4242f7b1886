"""A closed-loop client: each connection sends its next request when the last has been answered.

It is a process of its own, so that its CPU time is not counted as the server's, and it speaks just enough HTTP
to be cheap, since the two share the cores: ``python -m benchmarks.load http://127.0.0.1:8000/detect --body FILE``
prints one `Outcome` as JSON.
"""

import argparse
import asyncio
import dataclasses
import json
import os
import signal
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import uvloop

_TIMEOUT_SECONDS = 60.0
_PAUSE_SECONDS = 0.05  # after a connection that failed: a server that is gone is not worth a core
_WANTED = "200"


@dataclass(slots=True)
class Outcome:
    """What came of a load. A request that was not answered with 200 is an error, and nothing else."""

    latencies: list[float] = field(default_factory=list)  # seconds, of the requests answered with 200
    errors: int = 0
    elapsed_seconds: float = 0.0  # from the first request to the last answer
    cpu_seconds: float = 0.0  # the client's own
    machine_busy_seconds: float = 0.0  # CPU time that anyone on this machine spent meanwhile

    @property
    def throughput(self) -> float:
        """Requests answered with 200, per second."""
        return len(self.latencies) / self.elapsed_seconds


@dataclass(frozen=True, slots=True)
class Target:
    """Where to send what."""

    url: str
    content_type: str
    body: bytes

    @property
    def address(self) -> tuple[str, int]:
        parts = urlsplit(self.url)
        return parts.hostname or "127.0.0.1", parts.port or 80

    @property
    def request(self) -> bytes:
        """The request, as it goes over the wire."""
        parts = urlsplit(self.url)
        path = parts.path + (f"?{parts.query}" if parts.query else "")
        head = (
            f"POST {path} HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Type: {self.content_type}\r\n"
            f"Content-Length: {len(self.body)}\r\n\r\n"
        )
        return head.encode() + self.body


@dataclass(slots=True)
class Until:
    """When to end: at a time of `time.perf_counter`, or as soon as it is told."""

    at: float

    def now(self) -> None:
        """End."""
        self.at = 0.0


async def load(target: Target, *, connections: int, seconds: float) -> Outcome:
    """Send requests for some seconds, and wait for the answers to those that were sent."""
    outcome = Outcome()
    request = target.request
    begun, begun_cpu, begun_busy = time.perf_counter(), time.process_time(), machine_busy_seconds()
    until = Until(begun + seconds)
    with suppress(NotImplementedError, ValueError, RuntimeError):  # there are no signals outside of the main thread
        asyncio.get_running_loop().add_signal_handler(signal.SIGINT, until.now)
    await asyncio.gather(*(_connection(target.address, request, outcome, until=until) for _ in range(connections)))
    outcome.elapsed_seconds = time.perf_counter() - begun
    outcome.cpu_seconds = time.process_time() - begun_cpu
    outcome.machine_busy_seconds = machine_busy_seconds() - begun_busy
    return outcome


async def _connection(address: tuple[str, int], request: bytes, outcome: Outcome, *, until: "Until") -> None:
    streams = None
    while (sent := time.perf_counter()) < until.at:
        try:
            async with asyncio.timeout(_TIMEOUT_SECONDS):
                if streams is None:
                    streams = await asyncio.open_connection(*address)
                status = await _exchange(*streams, request)
        except (OSError, EOFError, ValueError, asyncio.LimitOverrunError):  # TimeoutError is an OSError
            outcome.errors += 1
            if streams is not None:
                streams[1].close()
                streams = None
            await asyncio.sleep(_PAUSE_SECONDS)
            continue
        if status == _WANTED:
            outcome.latencies.append(time.perf_counter() - sent)
        else:
            outcome.errors += 1
    if streams is not None:
        streams[1].close()


async def _exchange(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes) -> str:
    """The status of the answer to one request, read whole."""
    writer.write(request)
    head = await reader.readuntil(b"\r\n\r\n")
    status_line, *fields = head.decode("latin-1").split("\r\n")
    lengths = [value for name, _, value in (line.partition(":") for line in fields) if name.lower() == "content-length"]
    if len(lengths) != 1:
        raise ValueError(f"An answer has one Content-Length. Received: {len(lengths)}.")
    await reader.readexactly(int(lengths[0]))
    return status_line.split(" ", 2)[1]


def machine_busy_seconds() -> float:
    """CPU time that anyone on this machine has spent since it started."""
    with Path("/proc/stat").open(encoding="ascii") as file:
        user, nice, system, _, _, irq, softirq, *_ = (int(ticks) for ticks in file.readline().split()[1:])
    return (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    """Load once, and print what came of it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.load", description=__doc__)
    parser.add_argument("url")
    parser.add_argument("--body", type=Path, required=True, help="file with the body")
    parser.add_argument("--content-type", default="audio/wav")
    parser.add_argument("--connections", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--wait", action="store_true", help="print a line when ready, and begin when sent one")
    arguments = parser.parse_args()
    target = Target(arguments.url, arguments.content_type, arguments.body.read_bytes())
    if arguments.wait:
        print("ready", flush=True)
        sys.stdin.readline()
    outcome = uvloop.run(load(target, connections=arguments.connections, seconds=arguments.seconds))
    json.dump(dataclasses.asdict(outcome), sys.stdout)


if __name__ == "__main__":
    main()
