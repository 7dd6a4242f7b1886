"""An artifact -> what a report says it is: branches, size, data, what its training heard, and what a clip costs."""

import hashlib
import io
import multiprocessing
import os
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import keras
import numpy as np
import soundfile
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from model_store import audio
from model_store.detector import Detector, probe_waveform
from model_store.manifest import Manifest
from training.channels import named
from training.corpus import KEYS, PARTITIONS, Partition, attacks, corpus_name, protocol_path, read_protocol
from training.model import FUSION
from training.workers import end_with_parent

CLIP_SECONDS = 4
REPEATS = 40

# The probability of the configuration's `augment` that has a channel, or the like of it, drawn; else it is `codec`.
_DRAWN_BY = {
    "telephone": "narrowband",
    "narrowband": "narrowband",
    "packet_loss": "packet_loss",
    "resampled_11025": "resample",
    "resampled_22050": "resample",
    "band_300_3400": "band_limit",
    "band_4000": "band_limit",
    "band_7000": "band_limit",
}


def heard_in_training(name: str, training: Mapping[str, Any]) -> bool:
    """Whether augmentation drew a channel, by a manifest's training configuration; as recorded always counts.

    What the clips had been through before they came into the corpus is not known here.
    """
    named(name)
    augment = training.get("augment", {})
    if name == "original":
        return True
    if name in _DRAWN_BY:
        return bool(augment.get(_DRAWN_BY[name], 0) > 0)
    return bool(augment.get("codec", 0) > 0 and name in augment.get("codecs", ()))


def branches(model: keras.Model, training: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What the branches are, by a manifest's configuration, and their size and weight in the model.

    A configuration from before there were branches has one, and its model no layer that fuses them.
    """
    configured = training.get("branches") or {"main": training}
    inside = {layer.name: layer for layer in model.layers}
    weights = inside[FUSION].get_weights()[0].ravel().tolist() if FUSION in inside else [1.0]
    found = []
    for (name, branch), weight in zip(configured.items(), weights, strict=True):
        view = branch.get("front_end", {})
        kind = view.get("kind", view.get("scale", "an unknown view"))
        seen = f"{kind}, {view.get('bands', 'unknown')} bands"
        if "frame_seconds" in view:
            seen += f" in frames of {1000 * view['frame_seconds']:g} ms"
        if kind == "waveform":
            seen = "the waveform"
        elif kind == "lfcc":
            seen = f"{kind}, {view['coefficients']} coefficients"
        elif kind == "frame_lines":
            seen = f"{kind}, {len(view['rates_hz'])} rates"
        elif kind == "layer_images":
            seen = f"{kind}, {sum(len(multiples) for _, multiples in view['moved'])} rates"
        found.append(
            {
                "name": name,
                "family": branch.get("family", "unknown"),
                "view": seen,
                "parameters": inside[name].count_params() if name in inside else model.count_params(),
                "weight": weight,
            }
        )
    return found


def learned_attacks(manifest: Manifest, corpus: Path) -> set[str] | None:
    """The attacks that the model learned from in a corpus; None if it has no train protocol, or another one.

    It is the one where its hash is in the manifest.
    """
    partitions = _learned(manifest, corpus)
    return {a for p in partitions for a in attacks(read_protocol(protocol_path(corpus, p)))} if partitions else None


def role(manifest: Manifest, corpus: Path, partition: Partition) -> str:
    """What a partition had to do with the model; not known if it was made from other protocols of the corpus' name."""
    if partition in _learned(manifest, corpus):
        return "was learned from"
    if partition == "dev" and _noted(manifest, "dev", _digest(corpus, "dev")):
        return "chose what training kept, the calibration and the thresholds"
    own = {_digest(corpus, p) for p in PARTITIONS} | {_digest(corpus, "train", "dev")}
    of_name = [set(c.protocols.values()) for c in manifest.data if c.name == corpus_name(corpus)]
    if any(not noted or noted - own for noted in of_name):
        return "had a part in the model that is not known"
    return "chose nothing"


def data(manifest: Manifest, corpora: Sequence[Path]) -> list[dict[str, Any]]:
    """What the manifest says that the model was made from; clips are counted in the corpora that are at hand."""
    found = []
    for corpus in manifest.data:
        partitions = {}
        for name in [p for p in PARTITIONS if p in corpus.protocols]:
            digest, clips = corpus.protocols[name], None
            for root in corpora:
                if _digest(root, name) == digest:
                    utterances = read_protocol(protocol_path(root, name))
                    bonafide, spoof = (sum(u.key == key for u in utterances) for key in KEYS)
                    clips = {"bonafide": bonafide, "spoof": spoof, "attacks": len(attacks(utterances))}
            partitions[name] = {"sha256": digest, "clips": clips}
        found.append({"name": corpus.name, "licence": corpus.licence, "partitions": partitions})
    return found


def cpu_milliseconds(folder: Path, *, repeats: int = REPEATS) -> dict[str, dict[str, float]]:
    """CPU time of a clip of four seconds on one core: `model` alone, and `whole`, from a WAV's bytes to its score.

    In a process of its own, since TensorFlow is told once how many threads it has: threads that wait for each other
    take CPU time too, which a server that gives each caller a core does not.

    Returns
    -------
    dict
        Of each the `median`, and the `lowest` and `highest` of the repeats, in ms.
    """
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn"), initializer=end_with_parent) as pool:
        return pool.submit(_on_one_core, folder, repeats).result()


def _on_one_core(folder: Path, repeats: int) -> dict[str, dict[str, float]]:
    detector = Detector.load(folder, callers=1)
    rate = detector.manifest.input.sample_rate
    wav = io.BytesIO()
    soundfile.write(wav, probe_waveform(0, samples=CLIP_SECONDS * rate), rate, format="WAV", subtype="PCM_16")
    data = wav.getvalue()

    def prepare() -> Any:
        clip = audio.decode(data, sample_rate=rate, channel=0)
        return detector.prepare(clip.waveforms[0], coded=clip.coded, clipped_fraction=clip.clipped_fractions[0])

    prepared = prepare()
    with threadpool_limits(1):  # as the service: NumPy's threads would wait for each other, which is CPU time too
        return {
            "model": _timed(lambda: detector.score_prepared([prepared]), repeats=repeats),
            "whole": _timed(lambda: detector.score_prepared([prepare()]), repeats=repeats),
        }


def machine() -> str:
    """The processor, its logical cores, and the system."""
    name = platform.processor() or platform.machine()
    described = Path("/proc/cpuinfo")
    if described.is_file():
        lines = described.read_text(encoding="utf-8").splitlines()
        name = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), name)
    return f"{name}, {os.cpu_count()} logical cores, {platform.system()}, Python {platform.python_version()}"


def _timed(call: Callable[[], Any], *, repeats: int) -> dict[str, float]:
    for _ in range(3):
        call()
    taken = []
    for _ in range(repeats):
        before = time.process_time()
        call()
        taken.append(1000 * (time.process_time() - before))
    return {"median": float(np.median(taken)), "lowest": min(taken), "highest": max(taken)}


def _learned(manifest: Manifest, corpus: Path) -> set[Partition]:
    """The partitions that were learned from: train, and dev where it was made a part of it (`training.folds`)."""
    parts: tuple[Partition, ...] = ("train", "dev")
    found = {p for p in parts if _noted(manifest, f"pooled_{p}", _digest(corpus, p))}
    if _noted(manifest, "train", _digest(corpus, *parts)):  # in one protocol, from before the parts were noted
        found |= set(parts)
    if _noted(manifest, "train", _digest(corpus, "train")):
        found.add("train")
    return found


def _noted(manifest: Manifest, name: str, digest: str | None) -> bool:
    return digest is not None and any(c.protocols.get(name) == digest for c in manifest.data)


def _digest(corpus: Path, *partitions: Partition) -> str | None:
    """Of their protocols, one after the other; None where the corpus lacks one."""
    paths = [protocol_path(corpus, p) for p in partitions]
    if not all(path.is_file() for path in paths):
        return None
    return hashlib.sha256(b"".join(path.read_bytes() for path in paths)).hexdigest()
