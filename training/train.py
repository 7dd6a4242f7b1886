"""python -m training train: corpora and a configuration -> a run."""

import argparse
import json
from pathlib import Path

from training import config
from training.corpus import PARTITIONS, corpus_name, protocol_path, protocol_sha256
from training.fit import fit

CORPORA_FILE = "corpora.json"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "--corpus",
        type=Path,
        action="append",
        required=True,
        help="folder in the ASVspoof 2019 LA layout, with train or dev; repeat it to learn from several together",
    )
    parser.add_argument("--config", type=Path, help="JSON file with what differs from the defaults")
    parser.add_argument("--set", action="append", default=[], metavar="KEY.SUB_KEY=VALUE", help="override one value")
    parser.add_argument("--out", type=Path, required=True, help="the run's folder; an interrupted run goes on")


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    chosen = config.load(args.config, args.set)
    args.out.mkdir(parents=True, exist_ok=True)
    corpora = [
        {
            "name": corpus_name(path),
            "path": str(path.resolve()),
            "protocols": {
                partition: protocol_sha256(path, partition)
                for partition in PARTITIONS
                if partition != "eval" and protocol_path(path, partition).exists()
            },
        }
        for path in args.corpus
    ]
    (args.out / CORPORA_FILE).write_text(json.dumps(corpora, indent=1))
    model = fit(chosen, args.corpus, args.out)
    print(f"the model is {model}; publish it with: python -m training publish --run {args.out}")
    return 0
