"""A manifest -> the model card that is published with it (Mitchell et al. 2019, arXiv:1810.03993), in Markdown."""

from typing import Any

from model_store.manifest import Manifest


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
            f"{shape.hop_samples / shape.sample_rate:g} s; a shorter clip is repeated. The score of a clip is the mean "
            f"of its windows' logits, weighted by the speech in them{_calibration(manifest)}."
        ),
        "## Figures",
        _figures(manifest.metrics),
        (
            "The EER is the rate at which false accepts (spoofs called bonafide) and false rejects (bonafide "
            "called spoof) are equally frequent; its 95 % interval is a bootstrap over speakers, or over clips where "
            "fewer than ten speakers are named. Cllr is what the scores cost in bits, and its minimum what they would "
            "cost if they were calibrated on these clips in hindsight. Dev chose the epoch, the calibration and the "
            "thresholds; eval chose nothing. Figures on one corpus say little about another: detectors of this size, "
            "trained on little, do much worse on systems, languages and channels that they have not met."
        ),
        "## Operating points",
        _operating_points(manifest),
        f"Measured on {output.operating_points['balanced'].measured_on}.",
        "## When it says inconclusive",
        (
            f"With less than {output.policy.min_speech_seconds:g} s of speech, with more than "
            f"{100 * output.policy.max_clipped_fraction:g} % of the samples at the peak, with nothing above "
            f"{output.policy.min_bandwidth_hz:g} Hz, or with silence."
        ),
        "## Data",
        "\n".join(f"- **{corpus.name}**: {corpus.licence}" for corpus in manifest.data),
        *(["## Limits", limits.strip()] if limits.strip() else []),
        "## Made with",
        (
            f"Commit {manifest.commit}, Keras {manifest.keras}, TensorFlow {manifest.tensorflow}, {_origin(manifest)}; "
            f"the whole configuration is in the manifest."
        ),
    ]
    return "\n\n".join(sections) + "\n"


def _calibration(manifest: Manifest) -> str:
    if manifest.output.calibration.fitted_on == "nothing":
        return ", and not calibrated: it is a logit"
    return " and calibrated to a log-likelihood ratio (natural logarithm): above 0 speaks for bonafide"


def _origin(manifest: Manifest) -> str:
    if imported := manifest.training.get("imported"):
        return f"imported from {imported['file']} (SHA-256 {imported['sha256']})"
    return f"seed {manifest.training.get('fit', {}).get('seed')}"


def _figures(metrics: dict[str, Any]) -> str:
    rows = [
        "| corpus | partition | bonafide | spoof | EER | 95 % interval | Cllr | its minimum |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for corpus, partitions in metrics.items():
        if corpus == "history":
            continue
        for partition, f in partitions.items():
            low, high = f["eer_interval_over_speakers_percent"] or f["eer_interval_percent"]
            clips = f["trials"]
            rows.append(
                f"| {corpus} | {partition} | {clips['bonafide']} | {clips['spoof']} | {f['eer_percent']:.2f} % | "
                f"{low:.2f} to {high:.2f} % | {f['cllr']:.3f} | {f['min_cllr']:.3f} |"
            )
    return "\n".join(rows)


def _operating_points(manifest: Manifest) -> str:
    evaluated = [
        (corpus, partition)
        for corpus, partitions in manifest.metrics.items()
        if corpus != "history"
        for partition in partitions
    ]
    names = "".join(f" {corpus} {partition} |" for corpus, partition in evaluated)
    rows = [
        f"| operating point | threshold | where chosen |{names}",
        "|---|---|---|" + "---|" * len(evaluated),
    ]
    for name, point in manifest.output.operating_points.items():
        cells = [f"{100 * point.false_accept_rate:.1f} / {100 * point.false_reject_rate:.1f} %"]
        for corpus, partition in evaluated:
            rates = manifest.metrics[corpus][partition]["operating_points"][name]
            cells.append(f"{rates['false_accept_percent']:.1f} / {rates['false_reject_percent']:.1f} %")
        rows.append(f"| {name} | {point.threshold:.3f} | " + " | ".join(cells) + " |")
    return "\n".join(rows) + "\n\nEach cell: false accepts / false rejects."
