"""Batches come in order, the same ones, whoever makes them; and no worker outlives who asked for it."""

import os
import signal
import subprocess
import sys
import time
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import numpy as np
import pytest

from tests.test_fit import CONFIG, recording
from training.dataset import Recording
from training.loader import AHEAD, Loader

RECORDINGS = [recording(i, key, seed=1) for key, count in (("bonafide", 24), ("spoof", 40)) for i in range(count)]
OTHERS = CONFIG.model_copy(update={"fit": CONFIG.fit.model_copy(update={"batch_size": 4, "not_speech": 0.2})})


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_any_number_of_workers_makes_the_same_batches_in_the_same_order(workers: int) -> None:
    expected = list(Loader(RECORDINGS, OTHERS, workers=0).epoch(3))
    with Loader(RECORDINGS, OTHERS, workers=workers) as loader:
        found = list(loader.epoch(3))
        assert 1 <= len(loader._pool._processes) <= workers  # one more only while none is idle
    assert len(found) == len(expected) == 12
    for one, other in zip(found, expected, strict=True):
        assert [np.array_equal(a, b) for a, b in zip(one, other, strict=True)] == [True] * 3


def test_no_more_batches_are_made_ahead_than_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    with Loader(RECORDINGS * 20, CONFIG, workers=2) as loader:
        submit, asked = loader._pool.submit, []
        monkeypatch.setattr(loader._pool, "submit", lambda *task: asked.append(task) or submit(*task))
        stream = loader.epoch(0)
        for count in range(3):
            next(stream)
            assert len(asked) == 2 * AHEAD + count
        stream.close()


def test_an_epoch_that_is_left_harms_no_other() -> None:
    with Loader(RECORDINGS * 20, CONFIG, workers=2) as loader:
        next(loader.epoch(0))
        found = next(loader.epoch(1))
    assert np.array_equal(found.waveforms, next(Loader(RECORDINGS * 20, CONFIG, workers=0).epoch(1)).waveforms)


def test_a_worker_that_dies_is_no_silence() -> None:
    with Loader(RECORDINGS * 20, CONFIG, workers=1) as loader:
        stream = loader.epoch(0)
        next(stream)
        for worker in loader._pool._processes.values():
            worker.kill()
        with pytest.raises(BrokenProcessPool):
            list(stream)


_KILLED = """
import os, signal
from tests.test_loader import CONFIG, RECORDINGS, Loader
if __name__ == "__main__":
    loader = Loader(RECORDINGS, CONFIG, workers=2)
    next(loader.epoch(0))
    print(*(worker.pid for worker in loader._pool._processes.values()), flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_workers_end_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    script = tmp_path / "killed.py"
    script.write_text(_KILLED)
    environment = {**os.environ, "PYTHONPATH": str(Path.cwd()), "TMPDIR": str(tmp_path)}
    ended = subprocess.run([sys.executable, script], capture_output=True, text=True, env=environment, check=False)
    workers = [int(pid) for pid in ended.stdout.split()]
    assert ended.returncode == -signal.SIGKILL
    assert len(workers) == 2
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [script]  # what is shared has no name to leave
    deadline = time.monotonic() + 20
    while any(_runs(pid) for pid in workers):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_recording_comes_to_a_worker_as_it_is() -> None:
    """Where each begins and ends in shared memory: a window of the whole of it, as it is in memory."""
    plain = CONFIG.model_copy(update={"augment": type(CONFIG.augment)()})
    lengths = np.random.default_rng(0).integers(8_000, 16_000, len(RECORDINGS))
    cut = [Recording(r.utterance, r.corpus, r.samples[:n]) for r, n in zip(RECORDINGS, lengths, strict=True)]
    with Loader(cut, plain, workers=1) as loader:
        found = next(loader.epoch(0)).waveforms
    windows = {r.samples.tobytes(): r for r in cut}
    for window in np.round(found * 32_767).astype(np.int16):
        assert any(window.tobytes() in samples for samples in windows)


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
