"""python -m training train: corpora and a configuration -> a run."""

import argparse
import hashlib
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import keras

from model_store.cores import available_cores
from training import config
from training.corpus import PARTITIONS, corpus_names, protocol_path, protocol_sha256
from training.fit import LEARNER_FILE, MODEL_FILE, claim_config, fit
from training.folds import POOLED_FILE

CORPORA_FILE = "corpora.json"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "--corpus",
        type=Path,
        action="append",
        required=True,
        help="folder in the ASVspoof 2019 LA layout, with train or dev; repeat it to learn from several together "
        "(one of a single class is learned from only as far as copies of its clips, or their originals, are there)",
    )
    parser.add_argument("--config", type=Path, help="JSON file with what differs from the defaults")
    parser.add_argument("--set", action="append", default=[], metavar="KEY.SUB_KEY=VALUE", help="override one value")
    parser.add_argument(
        "--start", type=Path, metavar="RUN", help="a run whose branches of the same names are begun with"
    )
    parser.add_argument(
        "--teacher",
        type=Path,
        action="append",
        default=[],
        metavar="RUN",
        help="a run whose model says of each window that is spoken what it is; repeat it for the mean of several",
    )
    parser.add_argument(
        "--out", type=Path, required=True, help="the run's folder; an interrupted run goes on, from the same corpora"
    )


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    chosen = config.load(args.config, args.set)
    leave_a_core_to_the_loader()
    start = _sha256(args.start / LEARNER_FILE) if args.start is not None else None
    teachers = tuple(_sha256(teacher / MODEL_FILE) for teacher in args.teacher)
    chosen = chosen.model_copy(update={"start": start, "teachers": teachers})
    claim(args.out, chosen, args.corpus)
    model = fit(chosen, args.corpus, args.out, start=args.start, teachers=args.teacher)
    print(f"the model is {model}; publish it with: python -m training publish --run {args.out}")
    return 0


def claim(run: Path, chosen: config.Config, corpora: Sequence[Path]) -> None:
    """Record what a run is made from, wherever its corpora lie.

    Raises
    ------
    CorpusError
        Two corpora have one name.
    ValueError
        The folder holds a run of another configuration, or one that has learned from other corpora.
    """
    own = [
        {"name": name, "path": str(path.resolve()), "protocols": _protocols(path)}
        for name, path in zip(corpus_names(corpora), corpora, strict=True)
    ]
    claim_config(run, chosen)
    path = run / CORPORA_FILE
    learned = any((run / name).exists() for name in (LEARNER_FILE, MODEL_FILE))
    if learned and path.exists() and _nowhere(json.loads(path.read_text())) != _nowhere(own):
        raise ValueError(f"A run goes on with the corpora that it began with. Received: others than {path} has.")
    path.write_text(json.dumps(own, indent=1))


def _nowhere(corpora: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [{key: value for key, value in corpus.items() if key != "path"} for corpus in corpora]


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _protocols(corpus: Path) -> dict[str, str]:
    """What a run learns from and watches, by hash; ``pooled_dev`` is a dev that became a part of train."""
    own = {p: protocol_sha256(corpus, p) for p in PARTITIONS if p != "eval" and protocol_path(corpus, p).exists()}
    pooled = corpus / POOLED_FILE
    earlier = json.loads(pooled.read_text(encoding="utf-8")) if pooled.exists() else {}
    return own | {f"pooled_{partition}": digest for partition, digest in earlier.items()}


def leave_a_core_to_the_loader() -> None:
    """Of small operations on few cores, one thread does as much as two and takes three quarters of their time.

    So for TensorFlow; Keras' other backends are left as they are.
    """
    if keras.config.backend() != "tensorflow":
        return
    import tensorflow as tf  # noqa: PLC0415  # a machine that trains with JAX has none

    with suppress(RuntimeError):  # TensorFlow has begun, with what it was given
        tf.config.threading.set_intra_op_parallelism_threads(max(available_cores() - 1, 1))
        tf.config.threading.set_inter_op_parallelism_threads(2)
