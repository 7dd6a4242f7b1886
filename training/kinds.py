"""Errors by what a clip is: its sample rate, its length, its attack, and what a corpus knows of it besides."""

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from training.corpus import CorpusError, read_utf8
from training.recordings import Recording
from training.stability import Answer, errors

Provenance = Mapping[str, Mapping[str, str]]  # utterance: column: value

_BANDS_SECONDS = (1.5, 2.0, 3.0, 5.0)


def read_provenance(corpus: Path) -> Provenance:
    """`provenance.csv` in or beside the ``LA`` folder, by its column `id`; empty where there is none.

    Raises
    ------
    CorpusError
        It is not UTF-8, or has no column `id`.
    """
    for path in (corpus / "provenance.csv", corpus.parent / "provenance.csv"):
        if path.is_file():
            rows = csv.DictReader(io.StringIO(read_utf8(path), newline=""))
            if "id" not in (columns := rows.fieldnames or ()):
                raise CorpusError(f"{path}: a column is called id, between commas. Received: {', '.join(columns)}.")
            return {row["id"]: row for row in rows}
    return {}


def sources(provenance: Provenance) -> dict[str, str]:
    """Where each clip comes from: the first two parts of its column `source`, a repository or a package."""
    return {name: "/".join(row["source"].split("/")[:2]) for name, row in provenance.items() if row.get("source")}


def kinds(
    recordings: Sequence[Recording],
    answers: Sequence[Answer],
    provenance: Provenance,
    *,
    sample_rate: int,
    point: str,
) -> dict[str, dict[str, Any]]:
    """Count errors at an operating point, kind by kind.

    Returns
    -------
    dict
        Title of a table, kind, class: as `training.stability.errors`. A table that nothing is known for is left out.
    """

    def duration(recording: Recording) -> str:
        seconds, low = recording.waveform.size / sample_rate, 0.0
        for high in _BANDS_SECONDS:
            if seconds < high:
                return f"{low:g} to {high:g} s"
            low = high
        return f"{low:g} s or more"

    def known(column: str) -> Callable[[Recording], str | None]:
        """What provenance has in a column; an empty cell is "none", and an utterance that it lacks has no kind."""
        return lambda r: (provenance[r.utterance.id].get(column) or "none") if r.utterance.id in provenance else None

    titles: dict[str, Callable[[Recording], str | None]] = {
        "Sample rate": lambda r: f"{r.file_rate:,} Hz",
        "Duration": duration,
        "Attack": lambda r: r.utterance.attack,
        "Coding": known("coding"),
        "Language": known("language"),
    }
    tables: dict[str, dict[str, Any]] = {}
    for title, kind_of in titles.items():
        members: dict[str, list[int]] = {}
        for index, recording in enumerate(recordings):
            if (kind := kind_of(recording)) is not None:
                members.setdefault(kind, []).append(index)
        if members:
            tables[title] = {
                kind: errors([answers[i] for i in indices], [recordings[i].utterance.key for i in indices], point=point)
                for kind, indices in sorted(members.items())
            }
    return tables
