"""Servers as processes: started, awaited, measured from outside, stopped."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

_START_SECONDS = 120.0
_STOP_SECONDS = 20.0
_POLL_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Memory:
    """What a process holds, in MB: resident, and resident with shared pages shared out."""

    rss_mb: float
    pss_mb: float


@dataclass(slots=True)
class Server:
    """A running server."""

    name: str
    url: str
    pid: int
    ready_seconds: float  # from the start of the process to ready

    def cpu_seconds(self) -> float:
        """CPU time of the process so far, of all of its threads."""
        fields = Path(f"/proc/{self.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory(self) -> Memory:
        """Its memory now."""
        lines = Path(f"/proc/{self.pid}/smaps_rollup").read_text(encoding="ascii").splitlines()[1:]
        kilobytes = {name: int(rest.split()[0]) for name, _, rest in (line.partition(":") for line in lines)}
        return Memory(rss_mb=kilobytes["Rss"] * 1024 / 1e6, pss_mb=kilobytes["Pss"] * 1024 / 1e6)


@contextmanager
def ours(store: Path, model: str, *, log: Path, settings: Mapping[str, str] | None = None) -> Iterator[Server]:
    """Our service, in the environment that it ships with."""
    port = _free_port()
    environment = {"BONAFIDE_PORT": str(port), "BONAFIDE_STORE": str(store), "BONAFIDE_MODELS": model}
    environment |= settings or {}
    command = [sys.executable, "-m", "benchmarks.as_shipped"]
    with _running("ours", command, port=port, ready="/health/ready", environment=environment, log=log) as server:
        yield server


@contextmanager
def obvious(artifact: Path, *, call: str, log: Path) -> Iterator[Server]:
    """The obvious service."""
    port = _free_port()
    command = [sys.executable, "-m", "benchmarks.obvious", str(artifact), "--port", str(port), "--call", call]
    with _running("obvious", command, port=port, ready="/health", environment={}, log=log) as server:
        yield server


@contextmanager
def _running(
    name: str, command: list[str], *, port: int, ready: str, environment: dict[str, str], log: Path
) -> Iterator[Server]:
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("BONAFIDE_")}
    with log.open("w", encoding="utf-8") as output:
        begun = time.perf_counter()
        process = subprocess.Popen(command, env=inherited | environment, stdout=output, stderr=subprocess.STDOUT)
        try:
            url = f"http://127.0.0.1:{port}"
            _await(process, url + ready, log)
            yield Server(name, url, process.pid, time.perf_counter() - begun)
        finally:
            process.terminate()
            try:
                process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _await(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    with httpx.Client(trust_env=False) as client:
        while time.monotonic() < deadline and process.poll() is None:
            try:
                if client.get(url).status_code == 200:
                    return
            except httpx.TransportError:
                pass
            time.sleep(_POLL_SECONDS)
    last = log.read_text(encoding="utf-8", errors="replace")[-400:]
    raise RuntimeError(f"A server is ready within {_START_SECONDS:g} s. Received: {url}, not ready; it says: {last}")


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])
