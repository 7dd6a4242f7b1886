"""Many requests of `fuzz` at a service, and a report: what was answered, what should not have been, and its memory."""

import http.client
import select
import socket
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field

import httpx

from tests.hardening import fuzz
from tests.hardening.measure import Watched, misshapen

PATIENCE_SECONDS = 60.0
CUT_OFF_SECONDS = 1.0  # for what may be less than a request: then the client says that there is no more
FLAT = 0.05
CLIENTS = 4
ALLOWED_5XX = (503, 504)


@dataclass(slots=True)
class Report:
    """What a barrage came to."""

    requests: int
    seed: int
    formats: int
    warm: int  # requests before those, whose memory does not count: libraries and threads' arenas come with use
    seconds: float = 0.0
    answers: dict[str, int] = field(default_factory=dict)  # by status; "closed": none, to what was cut off
    findings: list[str] = field(default_factory=list)  # answers that there should not have been, by request number
    rss_mb: list[float] = field(default_factory=list)  # before, and after each tenth

    @property
    def growth(self) -> float:
        """Of resident memory, at its most, as a share of what it was before."""
        return max(self.rss_mb) / self.rss_mb[0] - 1

    def sentence(self) -> str:
        """All of it in words."""
        answers = ", ".join(f"{count:,} x {status}" for status, count in sorted(self.answers.items()))
        wrong = (
            f"**{len(self.findings)} answers that there should not be**" if self.findings else "None was another 5xx"
        )
        return (
            f"Answered: {answers}. {wrong}, and every error had the one shape. Resident memory "
            f"{self.rss_mb[0]:.0f} MB before, with {self.warm:,} others done, {self.rss_mb[-1]:.0f} MB after, "
            f"{100 * self.growth:+.1f} % at its most, in {self.seconds:.0f} s."
        )


def judged(answer: httpx.Response | None, *, head: bool = False) -> str:
    """What is wrong with an answer; nothing if it may be one."""
    if answer is None:
        return ""
    if answer.status_code >= 500 and answer.status_code not in ALLOWED_5XX:
        return f"{answer.status_code}: {answer.text[:200]}"
    return misshapen(answer) if answer.status_code >= 400 and not head else ""


def sent(address: tuple[str, int], request: bytes, *, complete: bool) -> httpx.Response | None:
    """The answer to a request on a connection of its own; None if there is none."""
    with socket.create_connection(address, timeout=PATIENCE_SECONDS) as connection:
        with suppress(OSError):  # refused before all of it is sent
            connection.sendall(request)
            if not complete and not select.select([connection], [], [], CUT_OFF_SECONDS)[0]:
                connection.shutdown(socket.SHUT_WR)
        found = http.client.HTTPResponse(connection, method="HEAD" if request.startswith(b"HEAD ") else "POST")
        try:
            found.begin()
            return httpx.Response(found.status, headers=found.getheaders(), content=found.read())
        except TimeoutError:
            raise
        except (OSError, http.client.HTTPException):
            return None


def barrage(service: Watched, *, requests: int, seed: int, whole: float = 0.1, warm: int = 0) -> Report:
    """Send them, after `warm` others, and say what came of it. What takes over a minute is a finding too."""
    url = service.client.base_url
    address = (url.host, url.port or 80)
    report = Report(requests, seed, len(fuzz.clips()), warm)
    answers: Counter[str] = Counter()

    def one(number: int) -> tuple[int, str, str]:
        made, complete = fuzz.request(number, seed=seed, whole=whole)
        try:
            answer = sent(address, made, complete=complete)
        except TimeoutError:
            return number, "none", "no answer in time"
        except ConnectionRefusedError:
            return number, "none", "nobody listens"
        status = "closed" if answer is None else str(answer.status_code)
        if answer is None and complete:
            return number, status, "no answer to a whole request"
        return number, status, judged(answer, head=made.startswith(b"HEAD "))

    with ThreadPoolExecutor(CLIENTS) as pool:
        for _ in pool.map(one, range(requests, requests + warm)):
            pass
        report.rss_mb.append(round(service.rss_mb(), 1))
        begun = time.monotonic()
        for numbers in _tenths(requests):
            for number, status, wrong in pool.map(one, numbers):
                answers[status] += 1
                if wrong:
                    report.findings.append(f"{number}: {wrong}")
            report.rss_mb.append(round(service.rss_mb(), 1))
    report.seconds = round(time.monotonic() - begun, 1)
    report.answers = dict(answers)
    return report


def _tenths(requests: int) -> Iterator[range]:
    step = max(1, requests // 10)
    for first in range(0, requests, step):
        yield range(first, min(first + step, requests))
