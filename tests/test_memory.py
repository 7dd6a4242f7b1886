"""What a large clip took is given back, but by another malloc; what is there to stay is looked past."""

import ctypes
import subprocess
import sys
from pathlib import Path

import pytest

from service import memory
from service.app import create_app
from tests.serving import serving_app, settings

ROOT = Path(__file__).parent.parent
HOLES = """
import sys
from pathlib import Path
from threading import Thread
from service.memory import settle

def held():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:")) / 1024

def use(kept):
    for _ in range(3):  # the first that is freed has malloc take such blocks from its heaps from then on
        blocks = [bytearray(20_000_000) for _ in range(5)]
        kept.append(bytearray(100_000))  # above them, it keeps the heap from shrinking
        del blocks

if sys.argv[1] == "settled":
    assert settle()
before, kept = held(), []
threads = [Thread(target=use, args=(kept,)) for _ in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(held() - before)
"""
LOOKS = """
import gc
import sys
import weakref
from service.memory import look_past

class Node:
    pass

def cycle():
    node = Node()
    node.itself = node
    return weakref.ref(node)

there = [[] for _ in range(100_000)]
if sys.argv[1] == "told":
    look_past()
later = cycle()
gc.collect()
print(len(gc.get_objects()), later() is None)
"""


def left_mb(how: str) -> float:
    done = subprocess.run([sys.executable, "-c", HOLES, how], cwd=ROOT, capture_output=True, text=True, check=True)
    return float(done.stdout)


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="not glibc's malloc")
def test_what_was_large_goes_back_to_the_system() -> None:
    assert left_mb("settled") < 10
    assert left_mb("by itself") > 50


def test_another_allocator_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory.ctypes, "CDLL", lambda _: object())
    assert memory.settle() is False


def looked_at(how: str) -> list[str]:
    done = subprocess.run([sys.executable, "-c", LOOKS, how], cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout.split()


def test_what_is_there_is_looked_past_and_later_garbage_is_not() -> None:
    count, collected = looked_at("told")
    assert int(count) < 1_000
    assert collected == "True"
    count, _ = looked_at("by itself")
    assert int(count) > 100_000


def test_it_is_when_the_models_are_loaded(light_store: Path) -> None:
    loaded = []
    app = create_app(
        settings(light_store, models="light", runtime="onnx"),
        once_loaded=lambda: loaded.append((app.state.registry, len(app.state.catalogue.refresh().entries))),
    )
    with serving_app(app) as client:
        client.wait_until_ready()
        assert loaded == [(None, 1)]
    assert "once_loaded=memory.look_past" in (ROOT / "service/__main__.py").read_text(encoding="utf-8")
