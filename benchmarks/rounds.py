"""Loads in interleaved rounds: each server in turn under the same load, again and again, until the time is up."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from benchmarks.clips import Clip, multipart
from benchmarks.load import Outcome
from benchmarks.servers import Server, alone

_LEAST_ROUNDS = 2
_LOGIT_TOLERANCE = 1e-3


@dataclass(frozen=True, slots=True)
class Case:
    """One load, and the names of the servers that get it, ours first."""

    clip: str
    connections: int
    servers: tuple[str, ...]
    raw: bool = False  # the audio itself as the body, not multipart

    def __str__(self) -> str:
        return f"{self.clip}, {self.connections} client{'s' * (self.connections > 1)}{', raw body' * self.raw}"


@dataclass(slots=True)
class Loads:
    """What came of a case's rounds on one server; a figure of each round."""

    throughput: list[float] = field(default_factory=list)  # requests a second
    server_cpu_ms: list[float] = field(default_factory=list)  # a request
    client_cpu_ms: list[float] = field(default_factory=list)  # a request
    latencies: list[float] = field(default_factory=list)  # seconds, of all rounds
    others_share: list[float] = field(default_factory=list)  # of the machine's CPU time, neither server nor client
    errors: int = 0

    def add(self, outcome: Outcome, *, server_cpu_seconds: float) -> None:
        """Count one round in."""
        self.throughput.append(outcome.throughput)
        self.errors += outcome.errors
        self.latencies += outcome.latencies
        self.server_cpu_ms.append(1e3 * server_cpu_seconds / len(outcome.latencies))
        self.client_cpu_ms.append(1e3 * outcome.cpu_seconds / len(outcome.latencies))
        others = outcome.machine_busy_seconds - server_cpu_seconds - outcome.cpu_seconds
        self.others_share.append(max(0.0, others) / (outcome.elapsed_seconds * (os.cpu_count() or 1)))


def interleaved(
    cases: Sequence[Case],
    servers: dict[str, Server],
    clips: dict[str, Clip],
    *,
    load_seconds: float,
    until: float,
    most_rounds: int,
) -> dict[Case, dict[str, Loads]]:
    """Load A, B, A, B, ...: as many rounds as end before `until`, of `time.monotonic`, and two in any case."""
    found = {case: {name: Loads() for name in case.servers} for case in cases}
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="bonafide-benchmark-") as folder:
        for done in range(most_rounds):
            now = time.monotonic()
            if done >= _LEAST_ROUNDS and now + (now - begun) / done > until:
                break
            for case in cases:
                for name in case.servers:
                    with alone(servers[name], servers.values()):
                        loads = found[case][name]
                        one_load(servers[name], case, clips, loads, seconds=load_seconds, folder=Path(folder))
    return found


def one_load(server: Server, case: Case, clips: dict[str, Clip], loads: Loads, *, seconds: float, folder: Path) -> None:
    """Load a server once, by a client in a process of its own.

    Raises
    ------
    RuntimeError
        Not one request succeeded.
    """
    body, content_type = body_of(clips[case.clip], raw=case.raw or server.raw)
    path = folder / "body"
    path.write_bytes(body)
    command = [sys.executable, "-m", "benchmarks.load", f"{server.url}/detect", "--wait"]
    options = ["--body", path, "--content-type", content_type, "--connections", case.connections, "--seconds", seconds]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([*command, *(str(option) for option in options)], **pipes) as client:
        client.stdout.readline()  # what the server does while the client starts is not counted
        begun_cpu = server.cpu_seconds()
        said, _ = client.communicate("go\n")
    outcome = Outcome(**json.loads(said))
    if not outcome.latencies:
        raise RuntimeError(f"A server answers. Received: {outcome.errors} errors and no answer from {server.name!r}.")
    loads.add(outcome, server_cpu_seconds=server.cpu_seconds() - begun_cpu)


def body_of(clip: Clip, *, raw: bool) -> tuple[bytes, str]:
    """A request's body and its content type: the audio itself, or a form."""
    return (clip.data, clip.media_type) if raw else multipart("file", [clip])


def logits_of(server: Server, clip: Clip) -> list[float]:
    """The logits of a clip's windows, asked over HTTP."""
    body, content_type = body_of(clip, raw=server.raw)
    url, headers = f"{server.url}/detect?explain=true", {"Content-Type": content_type}
    answer = httpx.post(url, content=body, headers=headers, trust_env=False, timeout=60.0).raise_for_status().json()
    if "explanation" in answer:
        return [window["logit"] for window in answer["explanation"]["windows"]]
    return [float(logit) for logit in answer["logits"]]


def check_equal(ours: Server, others: Sequence[Server], clips: dict[str, Clip]) -> float:
    """As `greatest_difference`, of all clips and between ours and each of the others."""
    expected = [logits_of(ours, clip) for clip in clips.values()]
    return max(
        greatest_difference(logits, logits_of(other, clip))
        for other in others
        for logits, clip in zip(expected, clips.values(), strict=True)
    )


def greatest_difference(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """The greatest difference between logits of the same windows.

    Raises
    ------
    RuntimeError
        It is more than 1e-3: they are not of the same computation.
    """
    greatest = max(abs(mine - other) for mine, other in zip(ours, theirs, strict=True))
    if not greatest <= _LOGIT_TOLERANCE:
        raise RuntimeError(f"All servers give a window the same logit, ±{_LOGIT_TOLERANCE}. Received: {greatest:.2g}.")
    return greatest


@dataclass(frozen=True, slots=True)
class Batch:
    """What came of `/batch`es of one size."""

    server: str
    clip: str
    clips: int
    rates: list[float]  # clips a second, of each repeat
    rss_mb: float  # of the server, afterwards


def batch(server: Server, clip: Clip, *, clips: int, repeats: int) -> Batch:
    """Send a batch of one clip again and again, repeatedly."""
    body, content_type = multipart("files", [clip] * clips)
    rates = []
    with httpx.Client(trust_env=False, timeout=120.0) as client:
        for _ in range(repeats):
            begun = time.perf_counter()
            answer = client.post(f"{server.url}/batch", content=body, headers={"Content-Type": content_type})
            seconds = time.perf_counter() - begun
            failed = [item for item in answer.raise_for_status().json()["results"] if item["problem"]]
            if failed:
                raise RuntimeError(f"A batch's clips are all scored. Received: {failed[0]['problem']}.")
            rates.append(clips / seconds)
    return Batch(server.name, clip.name, clips, rates, server.memory().rss_mb)
