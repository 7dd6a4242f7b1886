"""Corpora -> a table with a row for each clip: what the protocol says of it, and what is measured."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd
from tqdm import tqdm

from model_store.errors import AudioError
from training.corpus import PARTITIONS, protocol_path, read_partition
from training.features import FEATURES, decode_as_is, measure
from training.trials import NOTHING


def read_corpora(roots: Sequence[Path]) -> pd.DataFrame:
    """List every utterance of each partition that the corpora have a protocol of.

    Returns
    -------
    DataFrame
        Columns `corpus`, `partition`, `speaker`, `id`, `attack` (``-`` for bonafide), `key` and `path`.

    Raises
    ------
    CorpusError
        As `corpus.read_partition`; and for a folder that has no protocol at all.
    """
    return pd.DataFrame(
        {
            "corpus": corpus,
            "partition": partition,
            "speaker": utterance.speaker,
            "id": utterance.id,
            "attack": utterance.attack or NOTHING,
            "key": utterance.key,
            "path": utterance.path,
        }
        for corpus, root in zip(_names(roots), roots, strict=True)
        for partition in [p for p in PARTITIONS if protocol_path(root, p).is_file()] or PARTITIONS[:1]
        for utterance in read_partition(root, partition)
    )


def drawn(utterances: pd.DataFrame, *, at_most: int | None, seed: int) -> pd.DataFrame:
    """Draw so many utterances of each partition and class, or take all where `at_most` is None."""
    if at_most is None:
        return utterances
    shuffled = utterances.sample(frac=1, random_state=seed)
    return shuffled.groupby(["partition", "key"]).head(at_most).sort_index()


def measured(utterances: pd.DataFrame) -> pd.DataFrame:
    """Add a column for each of `FEATURES`, and `problem`: why a clip cannot be decoded, or None."""
    names = [*(feature.name for feature in FEATURES), "problem"]
    with ThreadPoolExecutor() as pool:
        rows = pool.map(_measured, utterances["path"])
        progress = tqdm(rows, total=len(utterances), desc="measure", unit="clip", disable=None)
        return utterances.join(pd.DataFrame(list(progress), index=utterances.index, columns=names))


def _measured(path: Path) -> dict[str, float | str]:
    try:
        waveform, sample_rate = decode_as_is(path)
    except AudioError as error:
        return {"problem": str(error)}
    return {**measure(waveform, sample_rate=sample_rate)}


def _names(roots: Sequence[Path]) -> list[str]:
    """What a report calls the corpora: their folders' names, or paths where two have the same."""
    folders = [root.resolve() for root in roots]
    names = [folder.parent.name if folder.name == "LA" else folder.name for folder in folders]
    return names if len(set(names)) == len(names) else [str(folder) for folder in folders]
