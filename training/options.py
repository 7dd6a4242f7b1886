"""Options that several commands have."""

import argparse


def add_seed(parser: argparse.ArgumentParser, of: str) -> None:
    """`--seed`, of what a command draws at random: a whole number, 0 or more, as NumPy's generators take it."""
    parser.add_argument("--seed", type=_seed, default=0, metavar="N", help=f"of {of} (default: 0)")


def _seed(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"A seed is a whole number, 0 or more. Received: {text!r}.")
    return int(text)
