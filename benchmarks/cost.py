"""What scoring costs without HTTP: the model alone, and clips of growing length. A process of its own.

``python -m benchmarks.cost ARTIFACT_FOLDER --lengths 1 10 60`` prints one `Costs` as JSON.
"""

import argparse
import dataclasses
import io
import json
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # as the service does, before NumPy

import numpy as np
import soundfile

from benchmarks.clips import speech
from benchmarks.faults import or_a_sentence
from model_store import audio
from model_store.cores import available_cores
from model_store.detector import CALL_WINDOWS, Detector
from model_store.runtimes import RUNTIMES

_RATE_SECONDS = 2.0
_REPEATS_FOR_SECONDS = 40.0  # of audio: short clips are scored several times, and the median counts


@dataclass(frozen=True, slots=True)
class Length:
    """What a clip of some length cost."""

    clip_seconds: float
    decode_seconds: float
    score_seconds: float
    peak_mb: float  # of the process, beyond what it held before, the encoded clip included


@dataclass(frozen=True, slots=True)
class Costs:
    """All of it."""

    model_clips_per_second: float  # 4 s clips, decoded and prepared, several to a call, a call on each core
    lengths: list[Length]


def model_rate(detector: Detector, *, callers: int, clip_seconds: float = 4.0) -> float:
    """Clips per second through the compiled model alone, called as the service does: what `/batch` can come to."""
    waveform = speech(clip_seconds, sample_rate=detector.manifest.input.sample_rate)
    clip = detector.prepare(waveform).windows
    windows = np.resize(clip, (CALL_WINDOWS, clip.shape[1]))

    def call_until(end: float) -> int:
        calls = 0
        while time.perf_counter() < end:
            detector.logits(windows)
            calls += 1
        return calls

    with ThreadPoolExecutor(callers) as pool:
        begun = time.perf_counter()
        calls = sum(pool.map(call_until, [begun + _RATE_SECONDS] * callers))
        return calls * CALL_WINDOWS / len(clip) / (time.perf_counter() - begun)


def by_length(detector: Detector, lengths: list[float]) -> list[Length]:
    """Decode and score clips, the shortest first, since what the longest needed may be kept."""
    rate = detector.manifest.input.sample_rate
    pattern = speech(10.0, sample_rate=rate)
    found = []
    for seconds in sorted(lengths):
        buffer = io.BytesIO()
        soundfile.write(buffer, np.resize(pattern, round(seconds * rate)), rate, format="WAV", subtype="PCM_16")
        data = buffer.getvalue()
        del buffer
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the peak of memory begins anew
        held_mb = _status_mb("VmRSS")
        times = []
        for _ in range(max(1, min(15, round(_REPEATS_FOR_SECONDS / seconds)))):
            begun = time.perf_counter()
            waveform = audio.decode(data, sample_rate=rate).waveforms[0]
            decoded = time.perf_counter()
            detector.score([waveform])
            times.append((decoded - begun, time.perf_counter() - decoded))
        decode_seconds, score_seconds = np.median(times, axis=0).tolist()
        found.append(Length(seconds, decode_seconds, score_seconds, _status_mb("VmHWM") - held_mb))
    return found


def _status_mb(name: str) -> float:
    text = Path("/proc/self/status").read_text(encoding="ascii")
    return int(text.partition(f"{name}:")[2].split()[0]) * 1024 / 1e6


def main() -> None:
    """Measure once, and print what came of it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cost", description=__doc__)
    parser.add_argument("artifact", type=Path, help="folder of the artifact")
    parser.add_argument("--lengths", type=float, nargs="+", default=[1.0, 10.0, 60.0], help="seconds")
    parser.add_argument("--runtime", choices=RUNTIMES, default="keras", help="what runs the model")
    arguments = parser.parse_args()
    detector = Detector.load(arguments.artifact, runtime=arguments.runtime, callers=available_cores())
    lengths = by_length(detector, arguments.lengths)  # first: afterwards the process holds more
    json.dump(dataclasses.asdict(Costs(model_rate(detector, callers=available_cores()), lengths)), sys.stdout)


if __name__ == "__main__":
    with or_a_sentence():
        main()
