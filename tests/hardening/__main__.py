"""python -m tests.hardening [rows | fuzz | soak]: attack a service and write docs/hardening.md; all three by default.

What is measured is kept in docs/hardening.json, so that a part can be measured again by itself.
"""

import argparse
import dataclasses
import json
import sys
import tempfile
from pathlib import Path

from model_store.store import DEFAULT_ROOT
from tests.hardening import document, measure
from tests.hardening.barrage import FLAT, barrage
from tests.hardening.rows import ROWS

SEED = 2019
PARTS = ["rows", "fuzz", "soak"]
WARM = 4_000


def main() -> int:
    """Measure; 1 if anything is not as it should be."""
    parser = argparse.ArgumentParser(prog="python -m tests.hardening", description=__doc__)
    parser.add_argument("part", nargs="?", choices=PARTS, help="default: all")
    parser.add_argument("--requests", type=int, help="of fuzz and soak (default: 10,000 and 20,000)")
    parser.add_argument("--seed", type=int, default=SEED)
    args = parser.parse_args()
    parts = [args.part] if args.part else PARTS
    found = json.loads(document.FIGURES.read_text()) if document.FIGURES.exists() else {}
    found |= document.conditions()
    wrong: list[str] = []
    if "rows" in parts:
        defaults = measure.unprotected()
        wrong += [f"{row.name}: the call: {defaults[row.name]}" for row in ROWS if defaults[row.name] != row.default]
    with tempfile.TemporaryDirectory() as folder:
        for part in parts:
            with measure.watched(Path(folder), store=DEFAULT_ROOT, models=document.MODEL) as service:
                if part == "rows":
                    measured = {row.name: service.ask(row.send()) for row in ROWS}
                    wrong += [
                        f"{r.name}: {measured[r.name].answer}" for r in ROWS if measured[r.name].answer != r.answer
                    ]
                    found[part] = {name: dataclasses.asdict(one) for name, one in measured.items()}
                    continue
                soak = part == "soak"
                requests = args.requests or (20_000 if soak else 10_000)
                seed, whole = args.seed + soak, 0.5 if soak else 0.1
                report = barrage(service, requests=requests, seed=seed, whole=whole, warm=WARM)
                wrong += report.findings
                wrong += [f"memory grew by {100 * report.growth:.1f} %"] if soak and report.growth > FLAT else []
                found[part] = dataclasses.asdict(report)
            print(part, json.dumps(found[part]))
    document.FIGURES.parent.mkdir(exist_ok=True)
    document.FIGURES.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    if set(PARTS) <= found.keys():
        document.DOCUMENT.write_text(document.written(found), encoding="utf-8")
    print("\n".join(wrong) or "as it should be")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
