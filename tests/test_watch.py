"""The thread that looks at the store, and who tells it to."""

import sys
from collections.abc import Callable
from queue import SimpleQueue
from threading import Thread
from types import FrameType, SimpleNamespace
from typing import Any, cast

import pytest

from service.app import create_app
from service.registry import Registry
from service.settings import Settings
from service.watch import Watcher
from tests.test_switch import wait_for


def interrupted_everywhere(function: Callable[[], None]) -> None:
    """Call a function, and call it again before each line of Python that this takes, as a signal may."""

    def trace(_frame: FrameType, event: str, _argument: Any) -> Any:
        if event == "line":
            function()
        return trace

    sys.settrace(trace)
    function()
    sys.settrace(None)


def test_a_signal_may_come_while_another_is_handled() -> None:
    watcher: Watcher = create_app(Settings()).state.watcher
    thread = Thread(target=lambda: interrupted_everywhere(watcher.look), daemon=True)
    thread.start()
    thread.join(30)
    assert not thread.is_alive()


def test_whatever_a_look_meets_there_is_another(caplog: pytest.LogCaptureFixture) -> None:
    asked, found = SimpleQueue[bool](), SimpleQueue[str]()

    def refresh(*, again: bool) -> str:
        asked.put(again)
        if asked.qsize() == 1:
            raise RuntimeError("a fault")
        return "the same" if asked.qsize() == 2 else "another"

    catalogue: Any = SimpleNamespace(refresh=refresh)
    watcher = Watcher(catalogue, seconds=0, switch=cast(Callable[[Registry], None], found.put))
    watcher.stop()  # before it was started, as where the start fails
    watcher = Watcher(catalogue, seconds=0, switch=cast(Callable[[Registry], None], found.put))
    watcher.start(cast(Registry, "the same"))
    for looks in (1, 2, 3, 4):
        watcher.look()
        wait_for(lambda looks=looks: asked.qsize() == looks)
    assert found.get(timeout=5) == "another"
    watcher.stop()
    assert found.empty()
    assert [asked.get() for _ in range(4)] == 4 * [True]
    assert [(r.levelname, str(r.exc_info and r.exc_info[1])) for r in caplog.records] == [("ERROR", "a fault")]
