"""python -m service verify-audit | replay"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from model_store.audio import Limits, decode
from model_store.detector import Detector
from model_store.errors import BonafideError
from model_store.runtimes import RuntimeName
from model_store.signatures import TrustedKeys
from model_store.store import Store, read_manifest
from service.chain import AuditError, AuditKey
from service.chain_check import verify
from service.settings import Settings

SCORE_TOLERANCE = 1e-4  # what a clip's score may differ by from one machine to another
_NEEDED = {
    *("audio", "model", "version", "sha256", "channel", "format", "sample_rate_hz", "channels"),
    *("threshold", "score", "verdict", "reasons"),
}
_MEDIA_TYPES = {"RAW/ULAW": "audio/x-mulaw", "RAW/ALAW": "audio/x-alaw", "RAW/PCM_16": "audio/L16"}


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `verify-audit` and `replay` to the commands of `python -m service`."""
    check = commands.add_parser("verify-audit", help="find what was removed, changed, moved or cut off in a trail")
    check.add_argument(
        "files", type=Path, nargs="+", metavar="FILE", help="audit-*.jsonl; their .tail lies beside them"
    )
    check.add_argument("--partial", action="store_true", help="the first or last files may be missing")
    again = commands.add_parser("replay", help="score a clip again, and compare with the line of its decision")
    again.add_argument("file", type=Path, metavar="FILE")
    again.add_argument("--line", type=int, required=True, metavar="N", help="counted from 1")
    again.add_argument("--audio", type=Path, required=True, metavar="CLIP", help="the bytes that were sent")
    for command in (check, again):
        command.add_argument("--key-file", type=Path, help="the trail's key (default: BONAFIDE_AUDIT_KEY_FILE)")


def run(args: argparse.Namespace, settings: Settings) -> int:
    """Run one: 0 if nothing is wrong, 1 if something is or it could not be told, with sentences that say what."""
    path = args.key_file or settings.audit_key_file
    try:
        if path is None:
            raise AuditError("The trail's key is named by BONAFIDE_AUDIT_KEY_FILE or --key-file. Received: neither.")
        key = AuditKey.read(path)
        if args.command == "verify-audit":
            result = verify(args.files, key, partial=args.partial)
            for note in result.notes:
                print(f"note: {note}")
            found, right = result.findings, f"{result.lines} lines are as they were written"
        else:
            trusted = TrustedKeys.read(settings.signing_keys) if settings.signing_keys else None
            entry, sent = _entry(args.file, args.line), args.audio.read_bytes()
            store = Store(settings.store)
            found = differences(entry, sent, key, store, runtime=settings.runtime, trusted=trusted)
            right = "the clip has the score and the verdict of that line"
    except (AuditError, BonafideError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    print("\n".join(found) or right)
    return 1 if found else 0


def differences(
    entry: dict[str, Any],
    audio: bytes,
    key: AuditKey,
    store: Store,
    *,
    runtime: RuntimeName = "keras",
    trusted: TrustedKeys | None = None,
) -> list[str]:
    """Score a clip again with the version of a decision's line, and say what is not as the line has it."""
    if key.of_audio(audio) != entry["audio"]:
        return ["the clip is another than the one of that line, or the key is"]
    name = f"{entry['model']}@{entry['version']}"
    try:
        folder = store.resolve(name)
        sha256 = read_manifest(folder).sha256
        if sha256 != entry["sha256"]:
            return [f"{name} of this store is another: {sha256}, and that line has {entry['sha256']}"]
        detector = Detector.load(folder, runtime=runtime, trusted=trusted)
        clip = decode(
            audio,
            sample_rate=detector.manifest.input.sample_rate,
            channel=entry["channel"],
            media_type=_media_type(entry),
            limits=Limits(max_seconds=float("inf")),
        )
    except BonafideError as error:
        return [str(error)]
    [(which, waveform)] = clip.waveforms.items()
    prepared = detector.prepare(waveform, coded=clip.coded, clipped_fraction=clip.clipped_fractions[which])
    [score] = detector.score_prepared([prepared])
    verdict = score.verdict(threshold=entry["threshold"])
    found = []
    if not abs(score.value - entry["score"]) <= SCORE_TOLERANCE:
        found.append(f"the score is {score.value:.6f}, and that line has {entry['score']:.6f}")
    if (verdict, list(score.reasons)) != (entry["verdict"], entry["reasons"]):
        found.append(
            f"the verdict is {verdict} {list(score.reasons)}, and that line has {entry['verdict']} {entry['reasons']}"
        )
    return found


def _entry(path: Path, number: int) -> dict[str, Any]:
    lines = path.read_bytes().splitlines()
    try:
        entry = json.loads(lines[number - 1]) if number >= 1 else {}
    except (IndexError, ValueError):
        entry = {}
    if not isinstance(entry, dict) or entry.get("kind") != "decision" or not entry.keys() >= _NEEDED:
        raise AuditError(f"A line that is replayed is a whole decision. Received: line {number} of {path.name}.")
    return entry


def _media_type(entry: dict[str, Any]) -> str | None:
    """What headerless audio needs; None for what says itself what it is."""
    name = _MEDIA_TYPES.get(entry["format"])
    return name and f"{name};rate={entry['sample_rate_hz']};channels={entry['channels']}"
