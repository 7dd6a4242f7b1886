"""The thread that looks at the store every few seconds, and at once when told to."""

from collections.abc import Callable
from queue import Empty, SimpleQueue
from threading import Thread

from service.catalogue import Catalogue
from service.priority import give_way
from service.registry import Registry
from service.telemetry import log


class Watcher:
    """Loads what the store asks for beside what serves, and hands it over when it is warm.

    Parameters
    ----------
    seconds : between two looks; 0: only when told
    switch : called with the next registry, on this thread
    """

    def __init__(self, catalogue: Catalogue, *, seconds: float, switch: Callable[[Registry], None]) -> None:
        self._catalogue = catalogue
        self._seconds = seconds
        self._switch = switch
        self._current: Registry | None = None
        # Not an Event: a signal's handler that interrupts another's would wait for that one's lock, for good.
        self._told: SimpleQueue[None] = SimpleQueue()
        self._stopping = False
        self._thread = Thread(target=self._work, name="store", daemon=True)

    def start(self, current: Registry) -> None:
        """Begin to look for another than the one that serves."""
        self._current = current
        self._thread.start()

    def stop(self) -> None:
        """Look no more."""
        self._stopping = True
        self._told.put(None)
        if self._thread.ident is not None:  # it has been started
            self._thread.join()

    def look(self) -> None:
        """Look now, and try again what failed. A signal's handler may call it."""
        self._told.put(None)

    def _work(self) -> None:
        give_way()
        while True:
            told = self._wait()
            if self._stopping:
                return
            try:
                found = self._catalogue.refresh(again=told)
            except Exception as error:  # whatever it is, what serves goes on
                log.error("the store cannot be looked at", exc_info=error)
                continue
            if found is not self._current:
                self._current = found
                self._switch(found)

    def _wait(self) -> bool:
        """Wait until it is time for a look; whether it was told to, once or more often."""
        try:
            self._told.get(timeout=self._seconds or None)
        except Empty:
            return False
        while not self._told.empty():
            self._told.get()
        return True
