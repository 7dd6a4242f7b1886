"""python -m training import-aasist: the weights that AASIST's authors publish -> an artifact in a store.

Whoever runs it has downloaded the checkpoint (https://github.com/clovaai/aasist); this project holds none of it, and
needs no PyTorch to read it.
"""

import argparse
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np
import numpy.typing as npt

from model_store import manifest as m
from model_store.detector import Detector
from model_store.store import Store, sha256
from training.aasist import AASIST, AASIST_L, SAMPLE_RATE, SINC, WINDOW_SAMPLES, aasist
from training.card import card
from training.checkpoint import Tensors, read_checkpoint
from training.config import Config, InputConfig
from training.corpus import corpus_names, protocol_sha256
from training.draft import TrainedOn, draft_manifest
from training.output import Judged, figures_of, fit_output, hear
from training.state_dict import CheckpointError

SIZES: dict[str, dict[str, Any]] = {"aasist": AASIST, "aasist_l": AASIST_L}
SOURCE = m.Corpus(
    name="ASVspoof 2019 LA, by the authors of AASIST",
    licence="weights: MIT, Copyright (c) 2021-present NAVER Corp.; corpus: ODC-BY 1.0",
    protocols={},
)
LEARNED_ATTACKS = {f"A{number:02}" for number in range(1, 7)}

_LIMITS = """Nothing of this was trained here: the weights are those of Jung et al. 2022 (arXiv:2110.01200), who learned
from ASVspoof 2019 LA alone. On its eval partition they report an EER of 0.83 % (AASIST) and 0.99 % (AASIST-L); through
the telephone, and on speech from elsewhere, published measurements find it many times higher."""
_UNFITTED = (
    "Nothing was measured here either: scores are logits, whatever is said of calibration above, and operating "
    "points are placeholders."
)


class _Source(NamedTuple):
    """Where a weight of a layer comes from."""

    tensor: str
    shape: tuple[int, ...]
    convert: Callable[[npt.NDArray[Any]], npt.NDArray[Any]] = np.transpose


def import_aasist(checkpoint: Path, store: Path, *, corpora: Sequence[Path] = ()) -> m.Manifest:
    """Publish a checkpoint as the next version of the family ``aasist`` or ``aasist_l``, whichever it is.

    Parameters
    ----------
    corpora : folders in the ASVspoof layout, on whose dev partitions the calibration and the operating points are
        fitted. Without any, scores are the model's logits, and the manifest says that nothing was fitted.

    Raises
    ------
    CheckpointError
        Not a PyTorch checkpoint, or not one of the two.
    """
    family, model = recognise(read_checkpoint(checkpoint))
    config = Config(
        name=family,
        input=InputConfig(window_seconds=WINDOW_SAMPLES / SAMPLE_RATE, hop_seconds=WINDOW_SAMPLES / 2 / SAMPLE_RATE),
    )
    calibrated_on = [
        TrainedOn(name, path, {"dev": protocol_sha256(path, "dev")})
        for name, path in zip(corpus_names(corpora), corpora, strict=True)
    ]
    licences = {corpus.name: "for the calibration alone; licence not stated" for corpus in calibrated_on}
    draft = draft_manifest(config, calibrated_on, licences)
    draft = draft.model_copy(
        update={
            "input": draft.input.model_copy(update={"trim_below_db": None}),  # as its authors did
            "data": [SOURCE, *draft.data],
            "training": {
                "name": family,
                "options": SIZES[family],
                "imported": {"file": checkpoint.name, "sha256": sha256(checkpoint)},
            },
        }
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / m.MODEL_FILE
        model.save(path)
        detector = Detector.unverified(path, draft)
        probe = draft.probe.model_copy(update={"logit": detector.probe_logit()})
        output, figures = draft.output, {}
        if corpora:
            dev = {corpus.name: hear(detector, corpus.path, "dev") for corpus in calibrated_on}
            output = fit_output(output, [Judged(f"{name}, dev", heard, LEARNED_ATTACKS) for name, heard in dev.items()])
            figures = {
                name: {"dev": {channel: figures_of(logits, output) for channel, logits in heard.items()}}
                for name, heard in dev.items()
            }

        def manifest(version: int, files: dict[str, str]) -> m.Manifest:
            return draft.model_copy(
                update={"version": version, "files": files, "output": output, "probe": probe, "metrics": figures}
            )

        return Store(store).publish(
            model=path,
            manifest=manifest,
            card=lambda complete: card(complete, limits=_LIMITS if corpora else f"{_LIMITS}\n\n{_UNFITTED}"),
            check=Detector.load,
        )


def recognise(tensors: Tensors) -> tuple[str, keras.Model]:
    """Which of `SIZES` a checkpoint holds, and the model with its weights: waveform (batch, 64600) -> logit (batch,).

    Raises
    ------
    CheckpointError
        Neither: with the names of what is missing, not expected, or of another shape than the nearest has.
    """
    # The sizes differ in the channels of a node; any other checkpoint is compared with the first.
    shape = tensors["pos_S"].shape if "pos_S" in tensors else ()
    family = next((name for name, size in SIZES.items() if shape[2:] == size["channels"][-1:]), next(iter(SIZES)))
    waveform = keras.Input((WINDOW_SAMPLES,), name="waveform")
    logit = keras.layers.Reshape((), name="logit")(aasist(waveform, **SIZES[family]))
    model = keras.Model(waveform, logit, name=family)

    layers = [layer for layer in model.layers if layer.weights and layer.name != SINC]
    expected = {source.tensor: source.shape for layer in layers for source in _sources(layer)}
    faults = {
        "missing": expected.keys() - tensors.keys(),
        "not expected": {name for name in tensors.keys() - expected.keys() if not _unused(name)},
        "of another shape": {
            name for name in expected.keys() & tensors.keys() if tensors[name].shape != expected[name]
        },
    }
    if any(faults.values()):
        said = "; ".join(f"{len(names)} {fault}: {_some(names)}" for fault, names in faults.items() if names)
        raise CheckpointError(f"A checkpoint of {' or '.join(SIZES)} has each of its tensors. Received: {said}.")
    for layer in layers:
        layer.set_weights([source.convert(tensors[source.tensor]) for source in _sources(layer)])
    return family, model


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("checkpoint", type=Path, help="AASIST.pth or AASIST-L.pth, from the authors' repository")
    parser.add_argument("--store", type=Path, required=True, help="root of the store; made if it is not there")
    parser.add_argument(
        "--corpus",
        type=Path,
        action="append",
        default=[],
        help="folder in the ASVspoof 2019 LA layout, to calibrate on its dev; without one, scores stay logits",
    )


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    published = import_aasist(args.checkpoint, args.store, corpora=args.corpus)
    fitted_on = published.output.operating_points["balanced"].measured_on
    print(f"published {published.name}, {published.sha256[:12]}; calibrated on {fitted_on}")
    return 0


def _sources(layer: keras.layers.Layer) -> list[_Source]:
    """Where each weight of a layer comes from. PyTorch's axes are Keras' in reverse, but bands come before frames."""
    shapes = [tuple(weight.shape) for weight in layer.weights]
    match layer:
        case keras.layers.BatchNormalization():
            parts = ("weight", "bias", "running_mean", "running_var")
            return [_Source(f"{layer.name}.{part}", shape) for part, shape in zip(parts, shapes, strict=True)]
        case keras.layers.Embedding():
            return [_Source(layer.name, (1, *shapes[0]), lambda tensor: tensor[0])]
        case keras.layers.Dense(name="out_layer"):  # of two outputs: the second is the logit of bonafide
            return [
                _Source("out_layer.weight", (2, shapes[0][0]), lambda tensor: tensor[1:].T),
                _Source("out_layer.bias", (2,), lambda tensor: tensor[1:]),
            ]
        case keras.layers.Dense(use_bias=False):  # a bare matrix, used as it is
            return [_Source(layer.name, shapes[0], np.asarray)]
    return [
        _Source(f"{layer.name}.{part}", shape[::-1]) for part, shape in zip(("weight", "bias"), shapes, strict=True)
    ]


def _unused(name: str) -> bool:
    """Whether a tensor does nothing: PyTorch's counters, and the normalisations that the authors do not go on with."""
    return name.endswith(".num_batches_tracked") or (name.startswith("encoder.") and ".bn1." in name)


def _some(names: set[str]) -> str:
    first = sorted(names)[:3]
    return ", ".join(first) + (", …" if len(names) > len(first) else "")
