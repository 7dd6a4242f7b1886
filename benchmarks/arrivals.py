"""An open-loop client: requests come at their times, whether or not the ones before have been answered.

A closed loop (`benchmarks.load`) slows down with the server that it loads; callers do not. It is a process of its own:
``python -m benchmarks.arrivals http://127.0.0.1:8000/detect --body FILE --rate 500`` prints one `Arrivals` as JSON.
"""

import argparse
import asyncio
import dataclasses
import json
import random
import sys
import time
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import uvloop

from benchmarks.load import Target

_CONNECTIONS = 1_000  # at most; a request for which there is none is not sent, and counted
_PATIENCE_SECONDS = 30.0  # for the last answers


@dataclass(slots=True)
class Arrivals:
    """What came of the requests."""

    seconds: dict[str, list[float]] = field(default_factory=dict)  # by status: from sending to the end of the answer
    late_seconds: list[float] = field(default_factory=list)  # from when a request was due to when it was sent
    lost: int = 0  # sent, and not answered
    unsent: int = 0
    elapsed_seconds: float = 0.0  # in which requests were sent
    answered_in_time: int = 0  # with 200, before the last was sent
    cpu_seconds: float = 0.0  # the client's own


class _Connection(asyncio.Protocol):
    """One request at a time, and just enough of HTTP to know where its answer ends."""

    def __init__(self, arrivals: Arrivals, idle: "deque[_Connection]", every: "set[_Connection]") -> None:
        self._arrivals, self._idle, self._every = arrivals, idle, every
        self._received = b""
        self.transport: asyncio.Transport
        self.sent = 0.0  # 0: no request is out

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def send(self, request: bytes) -> None:
        self.sent = time.perf_counter()
        self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, end, body = self._received.partition(b"\r\n\r\n")
        if not end:
            return
        length = int(head.lower().partition(b"content-length:")[2].split()[0])
        if len(body) < length:
            return
        status = head.split(b" ", 2)[1].decode()
        self._arrivals.seconds.setdefault(status, []).append(time.perf_counter() - self.sent)
        self._received, self.sent = b"", 0.0
        self._idle.append(self)

    def connection_lost(self, error: Exception | None) -> None:  # noqa: ARG002 (asyncio's signature)
        self._every.discard(self)
        if self.sent:
            self._arrivals.lost += 1
            self.sent = 0.0
        elif self in self._idle:
            self._idle.remove(self)


async def arrive(target: Target, *, rate: float, seconds: float, seed: int = 0) -> Arrivals:
    """Send `rate` requests a second on average, at times that are as random as callers' (a Poisson process)."""
    arrivals, idle = Arrivals(), deque[_Connection]()
    every = set[_Connection]()
    request, loop, rng = target.request, asyncio.get_running_loop(), random.Random(seed)  # noqa: S311
    begun, begun_cpu = time.perf_counter(), time.process_time()
    due, opening = begun, set[asyncio.Task[None]]()

    async def open_and_send() -> None:
        try:
            _, connection = await loop.create_connection(lambda: _Connection(arrivals, idle, every), *target.address)
        except OSError:
            arrivals.lost += 1
            return
        every.add(connection)
        connection.send(request)

    while (due := due + rng.expovariate(rate)) < begun + seconds:
        if (early := due - time.perf_counter()) > 0:
            await asyncio.sleep(early)
        arrivals.late_seconds.append(max(0.0, time.perf_counter() - due))
        if idle:
            idle.pop().send(request)  # the last that was used, so that few are
        elif len(every) + len(opening) < _CONNECTIONS:
            task = asyncio.create_task(open_and_send())
            opening.add(task)
            task.add_done_callback(opening.discard)
        else:
            arrivals.unsent += 1
        if early <= 0 and len(arrivals.late_seconds) % 16 == 0:
            await asyncio.sleep(0)  # answers are to be read as well
    arrivals.elapsed_seconds = time.perf_counter() - begun
    arrivals.answered_in_time = len(arrivals.seconds.get("200", []))
    patience = time.perf_counter() + _PATIENCE_SECONDS
    while (opening or any(each.sent for each in every)) and time.perf_counter() < patience:
        await asyncio.sleep(0.05)
    arrivals.lost += sum(bool(each.sent) for each in every)
    for each in every:
        each.sent = 0.0
        each.transport.close()
    await asyncio.sleep(0)  # in which they are
    arrivals.cpu_seconds = time.process_time() - begun_cpu
    return arrivals


def main() -> None:
    """Send, and print what came of it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.arrivals", description=__doc__)
    parser.add_argument("url")
    parser.add_argument("--body", type=Path, required=True, help="file with the body")
    parser.add_argument("--content-type", default="audio/wav")
    parser.add_argument("--rate", type=float, required=True, help="requests a second")
    parser.add_argument("--seconds", type=float, default=30.0)
    arguments = parser.parse_args()
    target = Target(arguments.url, arguments.content_type, arguments.body.read_bytes())
    arrivals = uvloop.run(arrive(target, rate=arguments.rate, seconds=arguments.seconds))
    json.dump(dataclasses.asdict(arrivals), sys.stdout)


if __name__ == "__main__":
    main()
