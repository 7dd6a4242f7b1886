"""Make waveforms with one published vocoder: run in an environment that holds its package, and nothing of ours.

`python published_child.py NAME` reads log mel spectrograms from standard input and answers each with a waveform on
standard output: a little-endian count of frames, then float32 (80, frames); a count of samples, then the samples.
"""
# ruff: noqa: PLC0415 (what is imported may print)
# mypy: disable-error-code="import-not-found"

import os
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

_BANDS = 80
_COUNT = struct.Struct("<I")


def hifigan() -> Callable[[Any], Any]:
    """TorchScript, which needs no code of its package."""
    import torch

    return torch.jit.load(Path(sys.prefix) / "ckpts/hfgan-fcm_base2-L-16k-v0.1.1.ts", map_location="cpu").eval()  # type: ignore[no-any-return]


def melgan() -> Callable[[Any], Any]:
    """A pickle of classes that stood at the top level when it was made."""
    import torch

    package = Path(sys.prefix) / f"lib/python3.{sys.version_info.minor}/site-packages/ttskit"
    sys.path.insert(0, str(package))
    file = package / "resource/model/melgan.kuangdd.pt"
    model = torch.load(file, map_location="cpu", weights_only=False)
    torch.nn.Module.eval(model)  # its own returns nothing
    return lambda mel: model.inference(mel) / 32_768


def main() -> None:
    """Answer until standard input ends."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a package prints is no answer
    import torch

    torch.set_num_threads(1)
    vocoder = {"hifigan": hifigan, "melgan": melgan}[sys.argv[1]]()
    while header := sys.stdin.buffer.read(_COUNT.size):
        (frames,) = _COUNT.unpack(header)
        mel = np.frombuffer(sys.stdin.buffer.read(4 * _BANDS * frames), "<f4").reshape(1, _BANDS, frames)
        with torch.no_grad():
            made = vocoder(torch.tensor(mel)).numpy().astype("<f4").ravel()
        answers.write(_COUNT.pack(made.size) + made.tobytes())
        answers.flush()


if __name__ == "__main__":
    main()
