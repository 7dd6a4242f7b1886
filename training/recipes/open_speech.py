"""`python -m training.recipes.open_speech human | layout`: openly licensed speech as a corpus to learn from.

`human` makes raw clips of the recordings of people in Debian's packages; it needs apt-get and dpkg-deb. `layout` makes
a corpus in the layout of ASVspoof 2019 LA, train alone, of any number of folders of raw clips, bonafide or spoof.
"""

import argparse
import sys
from pathlib import Path

from training.corpus import CorpusError
from training.options import add_seed
from training.recipes.human import collect, report
from training.recipes.layout import lay_out


def main(arguments: list[str] | None = None) -> int:
    """Run one command; 0 if it did what it says, 1 with a sentence on standard error if its input was at fault."""
    parser = argparse.ArgumentParser(prog="python -m training.recipes.open_speech", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    human = commands.add_parser("human", help="raw clips of people, out of Debian's packages")
    human.add_argument("out", type=Path, help="folder to write")
    human.add_argument("--work", type=Path, required=True, metavar="DIR", help="where the packages are, or go")
    human.add_argument("--most", type=int, default=120, metavar="N", help="clips of a speaker (default: 120)")
    layout = commands.add_parser("layout", help="a corpus of folders of raw clips")
    layout.add_argument("raw", type=Path, nargs="+", help="folders with index.csv")
    layout.add_argument("out", type=Path, help="folder to write")
    layout.add_argument("--most-of-speaker", type=int, default=120, metavar="N", help="clips (default: 120)")
    layout.add_argument("--most-of-source", type=int, default=250, metavar="N", help="clips (default: 250)")
    for command in (human, layout):
        add_seed(command, "every random choice")
        command.add_argument("--jobs", type=int, default=2, metavar="N", help="processes (default: 2)")
    args = parser.parse_args(arguments)
    try:
        return _human(args) if args.command == "human" else _layout(args)
    except (CorpusError, ValueError, OSError) as error:
        print(error, file=sys.stderr)
        return 1


def _human(args: argparse.Namespace) -> int:
    print(report(collect(args.out, work=args.work, most=args.most, seed=args.seed, jobs=args.jobs)))
    return 0


def _layout(args: argparse.Namespace) -> int:
    most = {"most_of_speaker": args.most_of_speaker, "most_of_source": args.most_of_source}
    print(lay_out(args.raw, args.out, **most, seed=args.seed, jobs=args.jobs))
    return 0


if __name__ == "__main__":
    sys.exit(main())
