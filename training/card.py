"""A manifest -> the model card that is published with it (Mitchell et al. 2019, arXiv:1810.03993), in Markdown."""

from collections.abc import Iterator
from typing import Any

from model_store.manifest import Manifest, OperatingPoint, Output, Pooling

# What a manifest's metrics hold besides corpora.
HISTORY, GATE = "history", "gate"
HELD_OUT = "held out"  # in the place of a partition: clips that models of the same recipe had not learned from

_POOLED: dict[Pooling, str] = {"speech_weighted_mean": "mean", "speech_weighted_soft_minimum": "soft minimum"}

_LIMITS = "## Limits"


def card(manifest: Manifest, *, limits: str) -> str:
    """Say what a model is, what it was made from, what it was measured to do, and what it gets wrong.

    Parameters
    ----------
    limits : Markdown, what no figure here says; may be empty
    """
    shape, output = manifest.input, manifest.output
    sections = [
        f"# {manifest.name}",
        (
            f"Tells human speech from synthesised or converted speech. It hears windows of "
            f"{shape.window_samples / shape.sample_rate:g} s at {shape.sample_rate} Hz, one each "
            f"{shape.hop_samples / shape.sample_rate:g} s; a shorter clip is repeated. Silence around a clip"
            f"{_trimmed(shape.trim_below_db)}. The score of a clip is the {_POOLED[output.pooling]} of its windows' "
            f"logits, weighted by the speech in them and calibrated by the class of its channel to a log-likelihood "
            f"ratio (natural logarithm): above 0 speaks for bonafide."
        ),
        "## Figures",
        _figures(manifest.metrics),
        (
            "The EER is the rate at which false accepts (spoofs called bonafide) and false rejects (bonafide "
            "called spoof) are equally frequent; its 95 % interval is a bootstrap over speakers, or over clips where "
            "fewer than ten speakers are named. Cllr is what the scores cost in bits, and its minimum what they would "
            "cost if they were calibrated on these clips in hindsight. DCF is the normalised cost of deciding as the "
            "scores say where 5 % of the clips are spoofs and a false accept costs ten times a false reject "
            "(ASVspoof 5), and its minimum what the best threshold would cost. Dev, and what was *held out* of "
            "training in turn, chose the calibration and the thresholds; eval chose neither these nor the weights, but "
            "that its calibration holds is a condition of release. Figures on one corpus say little about another: "
            "detectors of this size, trained on little, do much worse on systems, languages and channels that they "
            "have not met."
        ),
        "## Operating points",
        _operating_points(manifest),
        (
            "Each cell: false accepts / false rejects, each attack and each speaker counting the same. *Claimed* is "
            "what the service answers with: measured on attacks and speakers that were left out when lines and "
            "thresholds were fitted, and in brackets where the rate lies, in 95 of 100 cases, for as many other "
            "attacks, or other speakers, of the kind. *(outside)* marks a rate that lies outside. Measured on "
            f"{output.operating_points['balanced'].measured_on}."
        ),
        "## Calibration",
        _calibration(output),
        (
            "`score = slope * logit + intercept`. A clip is `coded` by its format (mu-law, GSM, MP3, ...), otherwise "
            "`narrowband` where nothing lies above 4 kHz, otherwise `wideband`."
        ),
        "## Release gate",
        _gate(manifest.metrics.get(GATE)),
        "## When it says inconclusive",
        (
            f"With less than {output.policy.min_speech_seconds:g} s of speech, with more than "
            f"{100 * output.policy.max_clipped_fraction:g} % of the samples in flat tops, with nothing above "
            f"{output.policy.min_bandwidth_hz:g} Hz, or with silence."
        ),
        "## Data",
        "\n".join(f"- **{corpus.name}**: {corpus.licence}" for corpus in manifest.data),
        *([_LIMITS, limits.strip()] if limits.strip() else []),
        "## Made with",
        (
            f"Commit {manifest.commit}, Keras {manifest.keras}, TensorFlow {manifest.tensorflow}, "
            f"{_origin(manifest)}; the whole configuration is in the manifest."
        ),
    ]
    return "\n\n".join(sections) + "\n"


def limits_of(page: str) -> str:
    """What a card says that the model is known to get wrong; empty where it says nothing."""
    _, _, after = page.partition(f"\n{_LIMITS}\n")
    return after.partition("\n## ")[0].strip()


def _trimmed(below_db: float | None) -> str:
    return " is left as it is" if below_db is None else f", {below_db:g} dB below its loud samples, is cut off before"


def _origin(manifest: Manifest) -> str:
    if imported := manifest.training.get("imported"):
        return f"imported from {imported['file']} (SHA-256 {imported['sha256']})"
    return f"seed {manifest.training.get('fit', {}).get('seed')}"


def _figures(metrics: dict[str, Any]) -> str:
    rows = [
        "| corpus | partition | channel | bonafide | spoof | EER | 95 % interval | Cllr, minimum | DCF, minimum |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for where, f in _evaluated(metrics):
        low, high = f["eer_interval_over_speakers_percent"] or f["eer_interval_percent"]
        clips, dcf = f["trials"], f["dcf"]
        rows.append(
            f"| {where} | {clips['bonafide']} | {clips['spoof']} | {f['eer_percent']:.2f} % | "
            f"{low:.2f} to {high:.2f} % | {f['cllr']:.3f}, {f['min_cllr']:.3f} | "
            f"{dcf['actual']:.3f}, {dcf['min']:.3f} |"
        )
    return "\n".join(rows)


def _operating_points(manifest: Manifest) -> str:
    points = manifest.output.operating_points
    rows = [
        f"| corpus | partition | channel |{''.join(f' {name} |' for name in points)}",
        "|---|---|---|" + "---|" * len(points),
        "| | | *threshold* |" + "".join(f" {point.threshold:.3f} |" for point in points.values()),
        "| | | *claimed* |" + "".join(f" {_claimed(point)} |" for point in points.values()),
    ]
    for where, f in _evaluated(manifest.metrics):
        cells = []
        for name in points:
            rates = f["operating_points"][name]
            accepts, rejects = (
                f"{rates[f'{error}_percent']:.1f}{'' if rates[f'{error}_within'] else ' (outside)'}"
                for error in ("false_accept", "false_reject")
            )
            cells.append(f" {accepts} / {rejects} % |")
        rows.append(f"| {where} |{''.join(cells)}")
    return "\n".join(rows)


def _claimed(point: OperatingPoint) -> str:
    accepts, rejects = (
        f"{100 * rate:.1f} ({100 * low:.1f} to {100 * high:.1f})"
        for rate, (low, high) in (
            (point.false_accept_rate, point.false_accept_interval),
            (point.false_reject_rate, point.false_reject_interval),
        )
    )
    return f"{accepts} / {rejects} %"


def by_corpus(metrics: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Of a manifest's metrics each corpus, with partition -> channel -> figures."""
    return ((name, partitions) for name, partitions in metrics.items() if name not in (HISTORY, GATE))


def _evaluated(metrics: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The first cells of a row, and the figures of corpus, partition and channel."""
    for corpus, partitions in by_corpus(metrics):
        for partition, channels in partitions.items():
            for channel, figures in channels.items():
                yield f"{corpus} | {partition} | {channel}", figures


def _gate(judged: dict[str, Any] | None) -> str:
    if judged is None:
        return "It was not put to the gate."
    rows = ["| what | measured | at most | of |", "|---|---|---|---|"]
    for name, measure in judged["measures"].items():
        value = "-" if measure["value"] is None else f"{measure['value']:.3g}"
        rows.append(f"| {name} | {value} | {measure['at_most']:g} | {measure['of']} |")
    words = (
        f"Measured on {judged['clips']} clips of dev and what was held out; percentages are of verdicts that change."
    )
    if judged["waiver"] is not None:
        words += f" **It did not pass, and was published all the same: {judged['waiver']}**"
    return "\n".join([*rows, "", words])


def _calibration(output: Output) -> str:
    rows = ["| class of channel | slope | intercept |", "|---|---|---|"]
    rows += [f"| {name} | {line.slope:.3f} | {line.intercept:.3f} |" for name, line in output.calibration.items()]
    return "\n".join(rows)
