"""Where a clip's CPU time goes, stage by stage, on one core. A process of its own.

``python -m benchmarks.stages ARTIFACT_FOLDER`` prints a table. A stage's time is the least of many, taken in turns, so
that what others do on the machine hardly counts; in the service, with caches that others use too, each takes longer.
"""

import argparse
import asyncio
import io
import math
import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # as the service does, before NumPy

import numpy as np
import onnx
from starlette.requests import Request

from benchmarks import clips, floor
from benchmarks.faults import or_a_sentence
from model_store import audio, speech, windows
from model_store.detector import CALL_WINDOWS, Detector
from model_store.manifest import ONNX_FILE
from service import answers, bodies, memory, schemas

_ROUNDS = 7
_STAGE_SECONDS = 0.05  # of each round
_FORM_CLIPS = 20

Stages = dict[str, Callable[[], object]]


def stages(folder: Path, *, seconds: float) -> tuple[Stages, int]:
    """What is done for a clip of so many seconds, by name; and the windows that it has."""
    detector = Detector.load(folder, runtime="onnx", callers=1)
    shape = detector.manifest.input
    encoded = clips.encoded(seconds=seconds)
    clip = audio.decode(encoded["pcm16"].data, sample_rate=shape.sample_rate)
    part, _ = windows.trim(clip.waveforms[0], below_db=shape.trim_below_db)
    prepared = detector.prepare(clip.waveforms[0])
    count = len(prepared.windows)
    several = np.resize(prepared.windows, (CALL_WINDOWS, shape.window_samples))
    front = floor.calls(folder, floor.front_end(onnx.load(folder / ONNX_FILE)))[floor.FRONT_END]
    logits = detector.logits(prepared.windows)
    scores = dict(enumerate(detector.scores([prepared], logits)))
    options = answers.Options(channel=None, operating_point="balanced", threshold=None, explain=False)
    timing = schemas.Timing(decode=1.0, queue=1.0, infer=1.0)
    answer = partial(answers.answer, clip, scores, detector, options, timing, request_id="0" * 26)
    found: Stages = {
        f"form, a clip of {_FORM_CLIPS}": partial(
            _read_form, asyncio.new_event_loop(), *clips.multipart("files", [encoded["pcm16"]] * _FORM_CLIPS)
        ),
        **{
            f"decode, {each.name}": partial(
                audio.decode, each.data, sample_rate=shape.sample_rate, media_type=each.media_type
            )
            for each in encoded.values()
        },
        "trim": partial(windows.trim, clip.waveforms[0], below_db=shape.trim_below_db),
        "measure of speech": partial(speech.measure, part, sample_rate=shape.sample_rate),
        "windows": partial(windows.cut, part, window_samples=shape.window_samples, hop_samples=shape.hop_samples),
        "model, alone": partial(detector.logits, prepared.windows),
        f"model, in calls of {CALL_WINDOWS} windows": partial(detector.logits, several),
        f"  its front end, in calls of {CALL_WINDOWS}": partial(front, several),
        "score": partial(detector.scores, [prepared], logits),
        "answer": answer,
        "JSON": answer().model_dump_json,
    }
    return found, count


def _read_form(loop: asyncio.AbstractEventLoop, body: bytes, content_type: str) -> None:
    stream = io.BytesIO(body)

    async def receive() -> dict[str, object]:
        chunk = stream.read(1 << 16)
        return {"type": "http.request", "body": chunk, "more_body": stream.tell() < len(body)}

    request = Request({"type": "http", "headers": [(b"content-type", content_type.encode())]}, receive)
    loop.run_until_complete(bodies.read_clips(request, most=_FORM_CLIPS))  # `asyncio.run` writes the result out


def measure(work: Stages) -> dict[str, float]:
    """CPU seconds of each stage, once."""
    least = dict.fromkeys(work, math.inf)
    for stage in work.values():
        stage()
    for _ in range(_ROUNDS):
        for name, stage in work.items():
            end = time.process_time() + _STAGE_SECONDS
            while (begun := time.process_time()) < end:
                stage()
                least[name] = min(least[name], time.process_time() - begun)
    return least


def main() -> None:
    """Measure on one core, and print a table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.stages", description=__doc__)
    parser.add_argument("artifact", type=Path, help="folder of the artifact")
    parser.add_argument("--seconds", type=float, default=4.0, help="of the clip")
    arguments = parser.parse_args()
    memory.settle()
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    work, count = stages(arguments.artifact, seconds=arguments.seconds)
    found = measure(work)
    shares = {name: _FORM_CLIPS if name.startswith("form") else 1 for name in found}
    shares |= {name: CALL_WINDOWS / count for name in found if f"calls of {CALL_WINDOWS}" in name}
    print(f"| stage, of a clip of {arguments.seconds:g} s, {count} windows | CPU, µs |\n|---|---:|")
    for name, seconds in found.items():
        print(f"| {name} | {1e6 * seconds / shares[name]:.0f} |")


if __name__ == "__main__":
    with or_a_sentence():
        main()
