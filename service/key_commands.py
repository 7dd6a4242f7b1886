"""python -m service keys make | list | revoke"""

import argparse
import sys
from datetime import UTC, datetime
from pathlib import Path

from service import keys
from service.keys import SCOPES, KeysError


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `keys` to the commands of `python -m service`."""
    parser = commands.add_parser("keys", help="make, list and revoke API keys")
    parser.add_argument("--file", type=Path, help="the keys file (default: BONAFIDE_KEYS)")
    actions = parser.add_subparsers(dest="action", required=True)
    make = actions.add_parser("make", help="add a key, and print it: it cannot be printed again")
    make.add_argument("--client", required=True, metavar="NAME", help="whose it is; a client has two live keys at most")
    make.add_argument("--scope", required=True, action="append", choices=SCOPES, help="what it is for; may be repeated")
    make.add_argument("--days", type=float, metavar="N", help="days after which it expires (default: never)")
    actions.add_parser("list", help="every key, without its secret")
    actions.add_parser("revoke", help="end a key at once").add_argument("id", metavar="ID")


def run(args: argparse.Namespace, default: Path | None) -> int:
    """Run one: 0 if it did what it says, 1 with a sentence on standard error if not."""
    path = args.file or default
    try:
        if path is None:
            raise KeysError("The keys file is named by BONAFIDE_KEYS or --file. Received: neither.")
        match args.action:
            case "make":
                if args.days is not None and not 0 < args.days < 36_500:
                    raise KeysError(f"A key lasts more than 0 and less than 36500 days. Received: {args.days:g}.")
                key, text = keys.make(path, client=args.client, scopes=tuple(args.scope), days=args.days)
                print(
                    f"{key.id} for {key.client}. Its secret is not kept: this is the only time you see it.",
                    file=sys.stderr,
                )
                print(text)
            case "list":
                now = datetime.now(UTC)
                for key in keys.read(path).keys:
                    expires = f"{key.expires:%Y-%m-%d}" if key.expires else "never"
                    print(
                        key.id,
                        key.client,
                        ",".join(key.scopes),
                        f"{key.created:%Y-%m-%d}",
                        expires,
                        key.state(now),
                        sep="\t",
                    )
            case "revoke":
                print(f"{keys.revoke(path, args.id).id} is revoked")
    except KeysError as error:
        print(error, file=sys.stderr)
        return 1
    return 0
