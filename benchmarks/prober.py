"""What a balancer and Prometheus ask for, all the while, and how long it takes."""

import time
from http.client import HTTPConnection
from threading import Event, Thread

from benchmarks.servers import Server

_PROBED = ("/health/live", "/health/ready", "/metrics")
_PROBE_SECONDS = 0.1


class Prober:
    """A client of its own, within a context."""

    def __init__(self, server: Server) -> None:
        self.seconds: dict[str, list[float]] = {path: [] for path in _PROBED}
        self.failed = 0
        self._stop = Event()
        self._host = server.url.removeprefix("http://")
        self._thread = Thread(target=self._ask)

    def __enter__(self) -> "Prober":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _ask(self) -> None:
        connection = HTTPConnection(self._host, timeout=10)
        while not self._stop.wait(_PROBE_SECONDS):
            for path in _PROBED:
                begun = time.perf_counter()
                try:
                    connection.request("GET", path)
                    answer = connection.getresponse()
                    answer.read()
                    self.failed += answer.status != 200
                except OSError:
                    self.failed += 1
                    connection.close()
                self.seconds[path].append(time.perf_counter() - begun)
        connection.close()
