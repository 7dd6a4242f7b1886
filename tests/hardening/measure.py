"""A service as a process, asked, and measured from outside: what it answers, its time and its memory."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from service.problems import CODES, MEDIA_TYPE, Problem
from tests.hardening import attacks
from tests.hardening.attacks import Sent
from tests.test_process import started


@dataclass(frozen=True, slots=True)
class Measured:
    """What a request came to."""

    answer: str
    wall_seconds: float
    cpu_seconds: float  # of the service's process, all threads
    growth_mb: float  # from what it held before to the most that it held


class Watched:
    """A running service, by a client of it and its process id."""

    def __init__(self, client: httpx.Client, pid: int) -> None:
        self.client, self.pid = client, pid

    def status(self, name: str) -> int:
        """A number of /proc/PID/status: VmRSS or VmHWM, in KiB."""
        lines = Path(f"/proc/{self.pid}/status").read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))

    def rss_mb(self) -> float:
        """What it holds."""
        return self.status("VmRSS") * 1024 / 1e6

    def cpu_seconds(self) -> float:
        """Processor time so far."""
        fields = Path(f"/proc/{self.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def ask(self, sent: Sent) -> Measured:
        """Send a request, and say what came of it."""
        Path(f"/proc/{self.pid}/clear_refs").write_text("5", encoding="ascii")  # VmHWM begins anew
        before, cpu, begun = self.status("VmRSS"), self.cpu_seconds(), time.perf_counter()
        body: Any = sent.body if isinstance(sent.body, bytes) else sent.body()
        try:
            answer = told(self.client.post(sent.path, content=body, headers=sent.headers))
        except httpx.WriteError as error:  # refused while it was still being sent, and the answer lost to a reset
            answer = type(error).__name__
        seconds = time.perf_counter() - begun
        growth = max(0, self.status("VmHWM") - before) * 1024 / 1e6
        return Measured(answer, seconds, self.cpu_seconds() - cpu, growth)


def told(answer: httpx.Response) -> str:
    """An answer in a few words: 200 with what was scored, or a problem's status and code."""
    content = answer.json()
    if answer.status_code == 200:
        scored = content["channels"] or [content]
        silent = [channel for channel in scored if "silence" in channel["reasons"]]
        return f"200, {len(scored)} channel{'s' * (len(scored) > 1)} scored" + ", as silence" * bool(silent)
    if wrong := misshapen(answer):
        return wrong
    return f"{answer.status_code} {content['code']}"


def misshapen(answer: httpx.Response) -> str:
    """What is wrong with an error's shape; nothing if it is the one that all have."""
    if answer.headers.get("Content-Type") != MEDIA_TYPE:
        return f"{answer.status_code}, {answer.headers.get('Content-Type')}"
    content = answer.json()
    if list(content) != list(Problem.model_fields) or content["code"] not in CODES:
        return f"{answer.status_code}, a problem of another shape"
    if {answer.status_code, content["status"]} != {CODES[content["code"]][0]}:
        return f"{answer.status_code}, a problem of another status"
    if answer.headers.get("X-Request-ID") != content["request_id"]:
        return f"{answer.status_code}, a problem of another request"
    return ""


@contextmanager
def watched(folder: Path, **settings: object) -> Iterator[Watched]:
    """A service with these settings, ready and warm."""
    with started(folder, **settings) as service:
        url = service.url()
        with httpx.Client(base_url=url, trust_env=False, timeout=120) as client:
            found = Watched(client, service.process.pid)
            patience = time.monotonic() + 600
            while client.get("/health/ready").status_code != 200:
                assert service.process.poll() is None, service.out.read_text()
                assert time.monotonic() < patience, "not ready in time"
                time.sleep(0.1)
            found.ask(Sent(attacks.voice()))
            found.ask(Sent(b"RIFF\0\0\0\0WAVEjunk"))  # FFmpeg's import
            yield found
            code = service.process.poll()
            said = service.out.read_text()[-2_000:] + (folder / "stderr").read_text()[-2_000:]
            assert code is None, f"it ended with {code}: {said}"


def unprotected() -> dict[str, str]:
    """What each row's attack does to the call that anybody would write first."""
    command = [sys.executable, "-m", "tests.hardening.unprotected"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2])
    found: dict[str, str] = json.loads(done.stdout)
    return found
