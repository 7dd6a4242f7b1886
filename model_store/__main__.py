"""python -m model_store list | show | verify | keygen | sign | pin | unpin | rollback | label | unlabel | promote"""

import argparse
import sys
from pathlib import Path

from model_store import labels, signatures
from model_store.errors import NotFound, StoreError
from model_store.runtimes import RUNTIMES
from model_store.store import DEFAULT_ROOT, Store, read_manifest, sign, verify


def main(arguments: list[str] | None = None) -> int:
    """Run one command; 0 if it did what it says, 1 with a sentence on standard error if not."""
    parser = argparse.ArgumentParser(prog="python -m model_store", description="Look at and switch artifacts.")
    parser.add_argument(
        "--store", type=Path, default=DEFAULT_ROOT, help="the store's folder (default: the shipped one)"
    )
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="every version; * marks what each family means now, c its canary, s its shadow")
    keygen = commands.add_parser("keygen", help="make an Ed25519 key: a secret half, and a public one in FILE.pub")
    keygen.add_argument("file", type=Path, metavar="FILE", help="for the secret half; a new file")
    for name, text in {
        "show": "print a manifest, without judging the files",
        "verify": "check files and hashes; with --load, also that a runtime opens it and it answers its probe",
        "sign": "approve a version that verifies: write its manifest.sig",
        "pin": "make the family mean this version",
        "unpin": "make the family mean its newest version again",
        "rollback": "pin the version before the one that the family means now",
        "promote": "pin the canary, which is none from then on",
    }.items():
        command = commands.add_parser(name, help=text)
        command.add_argument(
            "name", metavar="FAMILY" if name in ("unpin", "rollback", "promote") else "FAMILY[@VERSION]"
        )
        if name == "verify":
            command.add_argument("--load", choices=list(RUNTIMES), nargs="?", const="keras", help="default: keras")
            command.add_argument("--keys", type=Path, metavar="FILE", help="public keys: one of them has signed it")
        elif name == "sign":
            command.add_argument("--key", type=Path, required=True, metavar="FILE", help="the secret half of a key")
    command = commands.add_parser("label", help="have a version answer a share of requests, or be scored in silence")
    command.add_argument("label", choices=("canary", "shadow"))
    command.add_argument("name", metavar="FAMILY@VERSION")
    command.add_argument("--share", type=float, required=True, help="of the family's requests: above 0, at most 1")
    command = commands.add_parser("unlabel", help="take a label away")
    command.add_argument("label", choices=("canary", "shadow"))
    command.add_argument("name", metavar="FAMILY")
    args = parser.parse_args(arguments)
    try:
        _run(args, Store(args.store))
    except (StoreError, OSError) as error:
        print(_sentence(error), file=sys.stderr)
        return 1
    return 0


def _sentence(error: StoreError | OSError) -> str:
    if isinstance(error, StoreError):
        return str(error)
    where = f", {error.filename}" if error.filename else ""
    return f"The files of a store can be read and written. Received: {error.strerror}{where}."


def _run(args: argparse.Namespace, store: Store) -> None:
    match args.command:
        case "list":
            _list(store)
        case "show":
            print(read_manifest(store.resolve(args.name)).model_dump_json(indent=2))
        case "verify":
            _verify(store, args)
        case "keygen":
            print(f"{signatures.make(args.file).fingerprint}, in {args.file} and {args.file}.pub")
        case "sign":
            key = signatures.SigningKey.read(args.key)
            print(f"{sign(store.resolve(args.name), key).name} is signed by {key.fingerprint}")
        case "pin":
            folder = store.resolve(args.name)
            store.pin(folder.parent.name, int(folder.name))
            print(f"{folder.parent.name} now means {folder.parent.name}@{folder.name}")
        case "unpin":
            store.unpin(args.name)
            print(f"{args.name} now means {args.name}@{store.resolve(args.name).name}, its newest version")
        case "rollback":
            print(f"{args.name} now means {args.name}@{store.rollback(args.name)}")
        case "label":
            verify(store.resolve(args.name))
            labels.set_label(store, args.label, args.name, share=args.share)
            print(f"{args.name} is the {args.label} of {100 * args.share:g} % of requests")
        case "unlabel":
            labels.remove_label(store, args.label, args.name)
            print(f"{args.name} has no {args.label}")
        case "promote":
            print(f"{args.name} now means {args.name}@{labels.promote(store, args.name)}")


def _list(store: Store) -> None:
    if not store.root.is_dir():
        raise NotFound(f"A store is a folder. Received: {store.root}, which is none.")
    faults: list[str] = []  # told at the end: what is whole is listed all the same
    for family in store.families():
        current, found, versions = "", labels.Labels(), list[int]()
        try:
            versions = store.versions(family)
            current = store.resolve(family).name
            found = labels.read_labels(store, family)
        except (StoreError, OSError) as error:
            faults.append(_sentence(error))
        marked = {"c": found.canary, "s": found.shadow}
        for version in versions:
            try:
                manifest = read_manifest(store.resolve(f"{family}@{version}"))
            except (StoreError, OSError) as error:
                faults.append(_sentence(error))
                continue
            mark = next((letter for letter, by in marked.items() if by and by.version == version), " ")
            mark = "*" if str(version) == current else mark
            print(f"{mark} {manifest.name}\t{manifest.created:%Y-%m-%d}\t{manifest.sha256[:12]}")
    if faults:
        raise StoreError("\n".join(faults))


def _verify(store: Store, args: argparse.Namespace) -> None:
    folder = store.resolve(args.name)
    trusted = signatures.TrustedKeys.read(args.keys) if args.keys else None
    manifest = verify(folder, trusted=trusted)
    if args.load:
        from model_store.detector import Detector  # noqa: PLC0415 (which no other command needs)

        Detector.load(folder, runtime=args.load, trusted=trusted)
    print(f"{manifest.name} is what was published")


if __name__ == "__main__":
    sys.exit(main())
