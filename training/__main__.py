"""python -m training explore | synthesise | folds | train | publish | score | evaluate | report | metrics | ..."""

import argparse
import importlib
import os
import sys

from model_store.errors import BonafideError
from training.corpus import CorpusError

# command: (module, what it does). The module is imported only when its command runs.
COMMANDS = {
    "explore": ("training.explore", "look at a corpus: what is in it, and what could be a shortcut"),
    "synthesise": ("training.synthesise", "make spoofs of the bonafide clips of train, by vocoders"),
    "folds": ("training.folds", "hold out attacks and speakers of a corpus in turn, as corpora of links"),
    "train": ("training.train", "learn from train, choose on dev"),
    "fuse": ("training.fuse", "put the branches of several runs in one model"),
    "ablate": ("training.ablate", "train variations of a recipe with several seeds, and tabulate what each bought"),
    "publish": ("training.publish", "calibrate a run's model, report it on eval, and put it in a store"),
    "import-aasist": ("training.import_aasist", "publish the weights of AASIST or AASIST-L that its authors offer"),
    "score": ("training.score", "score a partition with a published model, as the service would"),
    "evaluate": ("training.evaluate", "report on a published model or a score file: figures, plots, a page"),
    "report": ("training.model_report", "write the report of a published model, in Markdown with plots"),
    "audit": ("training.audit", "what moves a model's verdicts that should not: level, silence, codecs, noise"),
    "partial": ("training.partial", "make clips of which a passage is spoofed, and measure who finds it"),
    "metrics": ("training.summary", "EER and min t-DCF of a score file, as JSON"),
}


def main(arguments: list[str] | None = None) -> int:
    """Run one command; 0 if it did what it says, 1 with a sentence on standard error if its input was at fault."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    given = sys.argv[1:] if arguments is None else arguments
    parser = argparse.ArgumentParser(prog="python -m training", description="From a corpus to a published model.")
    commands = parser.add_subparsers(dest="command", required=True)
    for name, (module, text) in COMMANDS.items():
        command = commands.add_parser(name, help=text, description=text)
        if given[:1] == [name]:
            importlib.import_module(module).add_arguments(command)
    args = parser.parse_args(given)
    try:
        return int(importlib.import_module(COMMANDS[args.command][0]).run(args))
    except (BonafideError, CorpusError, ValueError, OSError) as error:
        print(error, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
