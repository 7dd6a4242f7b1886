"""A folder of raw recordings: mono files of any rate, and ``index.csv``, which says what each of them is."""

import csv
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from training.corpus import KEYS, CorpusError

_INDEX = "index.csv"
_LOSSY = (".ogg", ".oga", ".opus", ".mp3", ".gsm", ".sb")  # the last are a game's name for MP3


@dataclass(frozen=True, slots=True)
class Raw:
    """One row of ``index.csv``.

    Attributes
    ----------
    path : str
        Below the folder.
    label : str
        ``bonafide`` or ``spoof``.
    attack : str
        Of a spoof; empty or ``-`` otherwise.
    source : str
        Where the recording comes from; what stands before the first ``/`` is the source that a cap or a fold means.
    """

    path: str
    label: str
    attack: str
    speaker: str
    language: str
    generator: str
    source: str
    licence: str

    @property
    def origin(self) -> str:
        """The source as a whole: a package, a synthesiser."""
        return self.source.split("/")[0]

    @property
    def lossy(self) -> bool:
        """Whether it came in a file of a lossy codec, by its name."""
        return self.source.lower().endswith(_LOSSY)


COLUMNS = [field.name for field in fields(Raw)]


def write_index(folder: Path, rows: Iterable[Raw]) -> None:
    """Write ``index.csv``."""
    with (folder / _INDEX).open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(asdict(row) for row in rows)


def read_index(folder: Path) -> list[Raw]:
    """Read ``index.csv``, its paths made those of the files.

    Raises
    ------
    CorpusError
        No index, a column that it lacks, an unknown label, or a label and an attack that contradict each other.
    """
    path = folder / _INDEX
    if not path.is_file():
        raise CorpusError(f"A folder of raw recordings holds {_INDEX}. Received: {folder}, which has none.")
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        if missing := set(COLUMNS) - set(reader.fieldnames or ()):
            raise CorpusError(f"{path}: the columns are {', '.join(COLUMNS)}. Received: none of {sorted(missing)}.")
        rows = [Raw(**{name: (row[name] or "").strip() for name in COLUMNS}) for row in reader]
    for row in rows:
        if row.label not in KEYS or (row.label == "spoof") != (row.attack not in ("", "-")):
            raise CorpusError(
                f"{path}: the label is one of {', '.join(KEYS)}, and a spoof alone has an attack. "
                f"Received: {row.label!r}, {row.attack!r} for {row.path}."
            )
    located = [(row, str(folder / row.path)) for row in rows]
    return [Raw(**{**asdict(row), "path": where}) for row, where in located]
