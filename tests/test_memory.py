"""What a large clip took is given back, and where there is no such malloc, nothing is done."""

import ctypes
import subprocess
import sys
from pathlib import Path

import pytest

from service import memory

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
