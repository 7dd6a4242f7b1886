"""Servers as processes: started, awaited, measured from outside with all that they start, stopped."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx

MOSEC_ARTIFACT = "BENCHMARK_ARTIFACT"  # an environment variable: Mosec makes its workers without arguments

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
    """A running server: a process, and those below it."""

    name: str
    url: str
    pid: int
    ready_seconds: float  # from the start of the process to ready
    raw: bool = False  # its body is the audio itself: it knows no forms

    def cpu_seconds(self) -> float:
        """CPU time so far, of all threads of all of its processes."""
        return sum(process_cpu_seconds(pid) for pid in self._processes())

    def loop_seconds(self) -> float:
        """CPU time so far of its first thread: of our service, the event loop, which takes in, refuses and answers."""
        nanoseconds = Path(f"/proc/{self.pid}/task/{self.pid}/schedstat").read_text(encoding="ascii").split()[0]
        return int(nanoseconds) / 1e9

    def memory(self) -> Memory:
        """Its memory now."""
        kilobytes = {"Rss": 0, "Pss": 0}
        for pid in self._processes():
            with suppress(OSError):
                lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()[1:]
                found = {name: int(rest.split()[0]) for name, _, rest in (line.partition(":") for line in lines)}
                kilobytes = {name: kilobytes[name] + found[name] for name in kilobytes}
        return Memory(rss_mb=kilobytes["Rss"] * 1024 / 1e6, pss_mb=kilobytes["Pss"] * 1024 / 1e6)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to all of its processes."""
        for pid in self._processes():
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    def _processes(self) -> list[int]:
        """Itself and all below."""
        below: dict[int, list[int]] = {}
        for folder in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                pid = int(folder.name)
                below.setdefault(int(_stat(pid)[1]), []).append(pid)
        found = [self.pid]
        for pid in found:
            found += below.get(pid, [])
        return found


def told_to_end() -> None:
    """Have a SIGTERM, and a terminal that is closed, end this process as Ctrl-C does: after its servers.

    They are in groups of their own, so that nothing else ends them, and what is stopped would stay so.
    """
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # by nohup
            signal.signal(number, signal.default_int_handler)


@contextmanager
def alone(server: Server, among: Iterable[Server]) -> Iterator[None]:
    """The others stopped for a while: those that wait by asking again and again, as LitServe's do, take from it."""
    others = [other for other in among if other is not server]
    try:
        for other in others:
            other.signal(signal.SIGSTOP)
        yield
    finally:
        for other in others:
            other.signal(signal.SIGCONT)


def process_cpu_seconds(pid: int) -> float:
    """CPU time so far of all threads of a process; none of one that has ended."""
    try:
        return sum(int(field) for field in _stat(pid)[11:13]) / os.sysconf("SC_CLK_TCK")
    except OSError:
        return 0.0


def _stat(pid: int) -> list[str]:
    """The fields of its stat from the state on: what comes before may hold spaces."""
    return Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()


@contextmanager
def ours(
    store: Path,
    model: str,
    *,
    log: Path,
    name: str = "ours",
    settings: Mapping[str, str] | None = None,
    cores: Collection[int] = (),
    folder: Path | None = None,
) -> Iterator[Server]:
    """Our service, in the environment that it ships with; on these cores alone, if any are named.

    It is of the checkout in `folder`, or of the one that this runs in.
    """
    port = _free_port()
    environment = {"BONAFIDE_PORT": str(port), "BONAFIDE_STORE": str(store), "BONAFIDE_MODELS": model}
    environment |= settings or {}
    command = [sys.executable, "-m", "benchmarks.as_shipped"]
    with _running(
        name, command, port=port, ready="/health/ready", environment=environment, log=log, cores=cores, folder=folder
    ) as server:
        yield server


@contextmanager
def obvious(artifact: Path, *, call: str, log: Path) -> Iterator[Server]:
    """The obvious service."""
    port = _free_port()
    command = [sys.executable, "-m", "benchmarks.obvious", str(artifact), "--port", str(port), "--call", call]
    with _running("obvious", command, port=port, ready="/health", environment={}, log=log) as server:
        yield server


@contextmanager
def litserve(artifact: Path, *, log: Path) -> Iterator[Server]:
    """LitServe with our model."""
    port = _free_port()
    command = [sys.executable, "-m", "benchmarks.lit_service", str(artifact), "--port", str(port)]
    with _running("LitServe", command, port=port, ready="/health", environment={}, log=log) as server:
        yield server


@contextmanager
def mosec(artifact: Path, *, log: Path) -> Iterator[Server]:
    """Mosec with our model. It says nothing of being ready: its first answer is what tells."""
    port = _free_port()
    options = ["--address", "127.0.0.1", "--port", str(port), "--timeout", "60000"]
    command = [sys.executable, "-m", "benchmarks.mosec_service", *options]
    environment = {MOSEC_ARTIFACT: str(artifact)}
    with _running("Mosec", command, port=port, ready="/", environment=environment, log=log) as server:
        server.raw = True
        yield server


@contextmanager
def _running(
    name: str,
    command: list[str],
    *,
    port: int,
    ready: str,
    environment: dict[str, str],
    log: Path,
    cores: Collection[int] = (),
    folder: Path | None = None,
) -> Iterator[Server]:
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("BONAFIDE_")}
    with log.open("w", encoding="utf-8") as output:
        begun = time.perf_counter()
        with _on(cores):
            process = subprocess.Popen(
                command,
                cwd=folder,
                env=inherited | environment,
                stdout=output,
                stderr=subprocess.STDOUT,
                process_group=0,  # of its own, to end as a whole
            )
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
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # what it has left behind


@contextmanager
def _on(cores: Collection[int]) -> Iterator[None]:
    """What is started meanwhile stays on these cores, if any are named."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores or before)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


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
