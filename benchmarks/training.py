"""Training's steps, against the same steps on batches that lie in memory. A process of its own.

``python -m benchmarks.training`` prints one `Learning` as JSON. It learns from a partition as large as that of
ASVspoof 2019 LA to train on: made clips, a few of them under many names.
"""

import argparse
import dataclasses
import json
import multiprocessing
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from itertools import islice
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before NumPy: its threads would be more than there are cores
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
import soundfile

import training
from benchmarks.clips import speech
from benchmarks.learning import Learning, Loaded, Pass, Steps
from benchmarks.load import machine_busy_seconds
from benchmarks.servers import process_cpu_seconds
from model_store.cores import available_cores
from training import config, dataset
from training.config import Config
from training.corpus import Utterance, protocol_path, write_protocol
from training.fit import compile_learner, learn
from training.loader import AHEAD, Batch, Loader
from training.model import make_branches, make_learner
from training.train import leave_a_core_to_the_loader

_RECIPES = Path(training.__file__).parent / "recipes"
_RATE = 16_000
_CLIPS = 25_380  # of ASVspoof 2019 LA's train: 2,580 bonafide, and as many spoofs of each of six attacks
_OF_BONAFIDE = 2_580 / 25_380
_ATTACKS = 6
_SECONDS = (1.0, 5.8)  # of a clip; 3.4 on average, as there
_DISTINCT = 32
_TRIAL_STEPS = 3


def make_partition(root: Path, *, clips: int) -> None:
    """A train partition of so many clips in the layout of ASVspoof 2019 LA: links to a few files."""
    folder = root / "ASVspoof2019_LA_train" / "flac"
    folder.mkdir(parents=True)
    (root / "ASVspoof2019_LA_cm_protocols").mkdir()
    lengths = np.linspace(*_SECONDS, _DISTINCT)
    for number, seconds in enumerate(lengths):
        soundfile.write(root / f"{number}.flac", speech(seconds, sample_rate=_RATE, seed=number), _RATE)
    bonafide = max(2, round(_OF_BONAFIDE * clips))
    utterances = []
    for number in range(clips):
        attack = None if number < bonafide else f"A{number % _ATTACKS + 1:02}"
        name, speaker = f"MADE_T_{number:05}", f"MADE_{number % 20:02}"
        utterances.append(Utterance(speaker, name, attack, "spoof" if attack else "bonafide"))
        (folder / f"{name}.flac").hardlink_to(root / f"{number % _DISTINCT}.flac")
    write_protocol(protocol_path(root, "train"), utterances)


def load(root: Path) -> tuple[list[dataset.Recording], Loaded]:
    """Decode a partition as `fit` does."""
    begun, cpu = time.perf_counter(), time.process_time()
    recordings = dataset.load([root], "train", sample_rate=_RATE)
    seconds, cpu_seconds = time.perf_counter() - begun, time.process_time() - cpu
    return recordings, Loaded(
        clips=len(recordings),
        audio_hours=sum(r.samples.size for r in recordings) / _RATE / 3_600,
        seconds=seconds,
        cpu_seconds=cpu_seconds,
        waveforms_mb=sum(r.samples.nbytes for r in recordings) / 1e6,
        peak_mb=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6,
    )


def measure(
    recordings: Sequence[dataset.Recording], name: str, chosen: Config, *, rounds: int, seconds: float
) -> Steps:
    """Take steps of a recipe from clips, then in memory, and again; each pass for about so many seconds.

    A pass from clips begins and ends with as many batches made ahead: what it takes from the store, it puts back.
    """
    keras.utils.set_random_seed(chosen.fit.seed)
    endless = chosen.model_copy(update={"fit": chosen.fit.model_copy(update={"epoch_windows": 10**9})})
    learner = make_learner(chosen, make_branches(chosen))
    compile_learner(learner, chosen, steps=1_000)

    def take(batches: Iterable[Batch], steps: int, words: str) -> None:
        learn(learner, batches, steps=steps, title=f"{name}, {words}")

    with Loader(recordings, endless) as loader:
        stream = loader.epoch(0)
        kept = list(islice(stream, _TRIAL_STEPS))
        take(kept, _TRIAL_STEPS, "compiling")
        begun = time.perf_counter()
        take(kept, _TRIAL_STEPS, "on trial")
        steps = max(_TRIAL_STEPS, round(seconds * len(kept) / (time.perf_counter() - begun)))
        kept += islice(stream, steps - len(kept))
        stream.close()

        from_clips, in_memory = [], []
        for number in range(rounds):
            stream = loader.epoch(1 + number)
            ahead = AHEAD * available_cores()
            take(islice(stream, ahead), ahead, "warming up")
            from_clips.append(timed(partial(take, islice(stream, steps), steps, "from clips"), steps))
            stream.close()
            in_memory.append(timed(partial(take, kept, steps, "in memory"), steps))
    return Steps(name, chosen.fit.batch_size, from_clips, in_memory)


def timed(work: Callable[[], object], steps: int) -> Pass:
    """Do it, and say what its steps took."""
    cores = os.cpu_count() or 1
    begun, cpu, busy = time.perf_counter(), _cpu_seconds(), machine_busy_seconds()
    work()
    elapsed, cpu = time.perf_counter() - begun, _cpu_seconds() - cpu
    busy = machine_busy_seconds() - busy
    return Pass(
        steps_per_second=steps / elapsed,
        cpu_ms=1e3 * cpu / steps,
        idle_share=max(0.0, 1 - busy / (cores * elapsed)),
        others_share=max(0.0, busy - cpu) / (cores * elapsed),
    )


def _cpu_seconds() -> float:
    """CPU time so far, of this process and of those that make its batches."""
    workers = [process.pid for process in multiprocessing.active_children() if process.pid is not None]
    return time.process_time() + sum(process_cpu_seconds(pid) for pid in workers)


def main() -> None:
    """Measure, and print what came of it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.training", description=__doc__)
    parser.add_argument("--recipes", nargs="+", default=["duo", "simple_cnn"], help="names in training/recipes")
    parser.add_argument("--clips", type=int, default=_CLIPS, help="of the partition")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.5, help="of a pass")
    arguments = parser.parse_args()
    leave_a_core_to_the_loader()
    with tempfile.TemporaryDirectory(prefix="bonafide-training-") as folder:
        make_partition(Path(folder), clips=arguments.clips)
        recordings, loaded = load(Path(folder))
    steps = [
        measure(
            recordings,
            name,
            config.load(_RECIPES / f"{name}.json"),
            rounds=arguments.rounds,
            seconds=arguments.seconds,
        )
        for name in arguments.recipes
    ]
    json.dump(dataclasses.asdict(Learning(loaded, steps)), sys.stdout)


if __name__ == "__main__":
    main()
