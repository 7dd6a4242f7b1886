"""`python -m training report`: what a published model is, and what it does on corpora, as one page with plots.

Every partition is heard through many channels. What chose something (dev) is told apart from what chose nothing, and
every figure is one of `training.evaluate.evaluate` or of the manifest, with the command that makes it again.
"""

import argparse
import shlex
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import keras

from model_store.channel_class import CHANNEL_CLASSES
from model_store.detector import Detector
from model_store.manifest import CARD_FILE, MODEL_FILE, Manifest
from model_store.store import DEFAULT_ROOT, Store
from training import ablate, channels, evaluation_plots, json_tables, model_facts, model_report_plots, plots
from training.card import limits_of
from training.channel_scores import Heard, hear
from training.config import read_object
from training.corpus import CorpusError, Partition, corpus_name, corpus_names, protocol_path, read_to_judge
from training.kinds import read_provenance
from training.options import add_seed
from training.partition_figures import IN_DETAIL, partition_figures
from training.report import render
from training.summary import scores_by_attack
from training.trials import Scores

HELD_OUT = tuple(name for name, channel in channels.CHANNELS.items() if channel.held_out)
DEFAULT_CHANNELS = (
    *("original", "telephone", "a_law", "gsm", "opus", "mp3", "g722", "packet_loss", "narrowband"),
    *HELD_OUT,
)
PAGE = "report.md"
_FIGURES = "A file of figures"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("--model", required=True, metavar="FAMILY[@VERSION]")
    parser.add_argument(
        "--store", type=Path, default=DEFAULT_ROOT, metavar="DIR", help="store of artifacts (default: the shipped one)"
    )
    parser.add_argument(
        "--corpus", type=Path, action="append", required=True, metavar="DIR", help="in the ASVspoof layout; repeat it"
    )
    parser.add_argument(
        "--channels",
        type=lambda text: text.split(","),
        default=list(DEFAULT_CHANNELS),
        metavar="A,B",
        help=f"that eval, or else dev, is heard through (default: {','.join(DEFAULT_CHANNELS)})",
    )
    parser.add_argument("--ablation", type=Path, metavar="FILE", help="ablation.json of ablate")
    parser.add_argument("--audit", type=Path, metavar="FILE", help="audit.json of an audit, or any figures as JSON")
    parser.add_argument("--partial", type=Path, metavar="FILE", help="figures on partial spoofs as JSON")
    parser.add_argument(
        "--weaknesses",
        type=Path,
        metavar="FILE",
        help="Markdown: what the model is known to get wrong (default: what its card says)",
    )
    add_seed(parser, "the bootstrap intervals")
    parser.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help=f"where {PAGE} and its plots are written"
    )


def run(args: argparse.Namespace) -> int:
    """Write the report to `--out`."""
    for name in args.channels:
        channels.named(name)
    corpus_names(args.corpus)
    attached = {name: _tables(getattr(args, name)) for name in ("audit", "partial")}
    ablation = None if args.ablation is None else _ablation(args.ablation)
    given = None if args.weaknesses is None else args.weaknesses.read_text(encoding="utf-8").strip()
    folder = Store(args.store).resolve(args.model)
    weaknesses = given or limits_of((folder / CARD_FILE).read_text(encoding="utf-8"))
    detector = Detector.load(folder)
    manifest = detector.manifest
    args.out.mkdir(parents=True, exist_ok=True)

    partitions = []
    for corpus in args.corpus:
        provenance = read_provenance(corpus.resolve())
        present: list[Partition] = [p for p in ("dev", "eval") if protocol_path(corpus, p).is_file()]
        if not present:
            raise CorpusError(f"A report needs dev or eval. Received: {corpus}, which has neither.")
        for partition in present:
            main = partition == present[-1]
            names = list(dict.fromkeys(args.channels if main else [n for n in args.channels if n in IN_DETAIL]))
            if not names:
                continue
            name = corpus_name(corpus)
            heard = hear(detector, read_to_judge(corpus, partition), names, title=f"{name} {partition}")
            figures = partition_figures(heard, manifest, provenance=provenance, seed=args.seed)
            figures |= {"corpus": name, "partition": partition, "main": main}
            figures |= {"role": model_facts.role(manifest, corpus, partition)}
            figures |= {"learned": model_facts.learned_attacks(manifest, corpus)}
            figures |= {"plots": _plots(figures, heard, manifest, args.out) if main else {}}
            partitions.append(figures)
    model = keras.saving.load_model(folder / MODEL_FILE, compile=False, safe_mode=True)
    render(
        "report.md.j2",
        args.out / PAGE,
        manifest=manifest,
        branches=model_facts.branches(model, manifest.training),
        parameters=model.count_params(),
        megabytes=(folder / MODEL_FILE).stat().st_size / 1e6,
        data=model_facts.data(manifest, args.corpus),
        cpu=model_facts.cpu_milliseconds(folder),
        clip_seconds=model_facts.CLIP_SECONDS,
        repeats=model_facts.REPEATS,
        machine=model_facts.machine(),
        made=datetime.now(UTC).date().isoformat(),
        points=manifest.output.operating_points,
        partitions=partitions,
        ablation=ablation,
        weaknesses=weaknesses,
        seed=args.seed,
        commands=_commands(args, manifest),
        **attached,
    )
    return 0


def _plots(figures: Mapping[str, Any], heard: Heard, manifest: Manifest, out: Path) -> dict[str, str]:
    """Draw a partition's figures, and give their files' names."""
    by_channel = figures["channels"]
    rows = [
        {
            **{key: of_channel[key] for key in ("words", "heard", "eer_percent")},
            "interval_percent": of_channel["eer_interval_over_speakers_percent"] or of_channel["eer_interval_percent"],
        }
        for of_channel in by_channel.values()
    ]
    shown = {by_channel[name]["words"]: Scores.of(heard.trials[name]) for name in figures["shown"]}
    first = figures["shown"][0]
    attacks = scores_by_attack(heard.trials[first])
    balanced = manifest.output.operating_points["balanced"].threshold
    points = {str(name): point.threshold for name, point in manifest.output.operating_points.items()}
    drawn = {
        "channels": model_report_plots.eer_by_channel(rows),
        "attacks": evaluation_plots.attacks(attacks, by_channel[first]["attacks"], threshold=balanced),
        "det": model_report_plots.det_by_channel(shown, points=points),
    }
    if classes := _by_class(heard, figures["shown"]):
        drawn["reliability"] = model_report_plots.reliability_by_class(classes)
    names = {name: f"{figures['corpus']}-{figures['partition']}-{name}.png" for name in drawn}
    for name, canvas in drawn.items():
        plots.save(canvas, out / names[name])
    return names


def _by_class(heard: Heard, shown: Sequence[str]) -> dict[str, Scores]:
    """The scores of each class of channel, of the first channel that has both keys in it: every clip counts once."""
    found: dict[str, Scores] = {}
    for channel_class in CHANNEL_CLASSES:
        for name in shown:
            trials = [t for t in heard.trials[name] if t.channel_class == channel_class]
            if channel_class not in found and len({t.key for t in trials}) > 1:
                found[channel_class] = Scores.of(trials)
    return found


def _ablation(path: Path) -> str:
    """The table of `ablate`; whatever else a file holds, as tables of its own."""
    figures = read_object(path, what=_FIGURES)
    runs = [of_seed for of_row in figures.values() if isinstance(of_row, list) for of_seed in of_row]
    if runs and all(isinstance(of_seed, dict) for of_seed in runs) and all(map(_is_list, figures.values())):
        return ablate.table(figures)
    return json_tables.tables(figures)


def _tables(path: Path | None) -> str | None:
    return None if path is None else json_tables.tables(read_object(path, what=_FIGURES))


def _is_list(value: object) -> bool:
    return isinstance(value, list)


def _commands(args: argparse.Namespace, manifest: Manifest) -> dict[str, str]:
    """The report's own command and the pattern of the others; folders by their names, wherever they lie."""
    store = [] if args.store == DEFAULT_ROOT else ["--store", f"path/to/{args.store.resolve().name}"]
    model = [*store, "--model", manifest.name]
    own = ["report", *model]
    for corpus in args.corpus:
        own += ["--corpus", f"path/to/{corpus_name(corpus)}"]
    if args.channels != list(DEFAULT_CHANNELS):
        own += ["--channels", ",".join(args.channels)]
    for name in ("ablation", "audit", "partial", "weaknesses"):
        if (given := getattr(args, name)) is not None:
            own += [f"--{name}", given.name]
    python = "python -m training"
    return {
        "report": f"{python} {shlex.join([*own, '--seed', str(args.seed), '--out', 'report/'])}",
        "evaluate": (
            f"{python} {shlex.join(['evaluate', *model])} --corpus path/to/CORPUS --partition PARTITION "
            f"--channel CHANNEL --seed {args.seed} --out report/"
        ),
        "score": (
            f"{python} {shlex.join(['score', *model])} --corpus path/to/CORPUS --partition PARTITION "
            f"--channel CHANNEL --out scores.txt"
        ),
    }
