"""A configuration and two partitions -> a trained model. Nothing here can see eval.

A run is a folder: ``config.json``, ``history.json`` (a line of figures for each epoch), ``best.keras`` (the epoch with
the lowest dev EER) and ``last.keras`` (to go on from, with the optimizer's state). Run again, it goes on after
the last whole epoch, and gives what it would have given uninterrupted.
"""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import keras
import numpy as np
from tqdm import tqdm

from training import dataset
from training.config import Config
from training.families import build
from training.front_ends import FILTERBANK, filterbank
from training.metrics import equal_error_rate
from training.trials import Scores

History = dict[str, list[float]]


def fit(config: Config, corpora: Sequence[Path], run: Path) -> Path:
    """Train, choose the epoch on dev, and return the path of its model.

    Parameters
    ----------
    corpora : folders in the ASVspoof layout, each with a train and a dev partition, learned from together
    run : the run's folder; made, or gone on with if it holds the same configuration

    Raises
    ------
    ValueError
        The folder holds a run of another configuration, or the frozen filterbank did not stay frozen.
    """
    _claim(run, config)
    keras.utils.set_random_seed(config.fit.seed)
    train, dev = (
        dataset.load(corpora, partition, sample_rate=config.input.sample_rate) for partition in ("train", "dev")
    )
    bonafide = np.array([r.utterance.key == "bonafide" for r in dev])
    smaller = min(sum(r.utterance.key == key for r in train) for key in ("bonafide", "spoof"))
    steps = -(-2 * smaller // config.fit.batch_size)
    if (run / "last.keras").exists():
        model = keras.saving.load_model(run / "last.keras")
    else:
        model = _compiled(config, steps=steps)
    epoch = int(model.optimizer.iterations) // steps
    history = {name: values[:epoch] for name, values in read_history(run).items()}

    while epoch < config.fit.epochs and not _stale(history, config.fit.patience):
        progress = tqdm(
            dataset.batches(train, config, epoch=epoch),
            total=steps,
            desc=f"epoch {epoch + 1}/{config.fit.epochs}",
            unit="step",
            disable=None,
        )
        _seed_dropout(model, config.fit.seed, epoch)
        sums = dict.fromkeys(("loss", "accuracy"), 0.0)
        for waveforms, labels in progress:
            logs = model.train_on_batch(waveforms, labels, return_dict=True)
            sums = {name: sums[name] + float(logs[name]) * len(labels) for name in sums}
            progress.set_postfix(loss=f"{logs['loss']:.3f}", refresh=False)
        _check_frozen(model, config)
        logits = dataset.clip_logits(model, dev, config)
        figures = {
            **{name: value / (2 * smaller) for name, value in sums.items()},
            "dev_loss": float(np.mean(np.logaddexp(0, np.where(bonafide, -logits, logits)))),
            "dev_eer": equal_error_rate(Scores(bonafide=logits[bonafide], spoof=logits[~bonafide])).rate,
        }
        epoch += 1
        for name, value in figures.items():
            history.setdefault(name, []).append(value)
        tqdm.write(f"epoch {epoch}: " + ", ".join(f"{name} {value:.4f}" for name, value in figures.items()))
        # Each file is replaced whole, and last.keras, which counts the epochs, comes last: a run that is killed
        # in between repeats the epoch and writes the same again.
        if figures["dev_eer"] <= min(history["dev_eer"]):
            # A view of the same weights that was never compiled: an artifact has no use for an optimizer.
            bare = keras.Model(model.input, model.output, name=model.name)
            _replace(run / "best.keras", bare.save)
        _replace(run / "history.json", lambda path: path.write_text(json.dumps(history, indent=1)))
        _replace(run / "last.keras", model.save)
    return run / "best.keras"


def read_history(run: Path) -> History:
    """The figures of each epoch so far, by name: loss, accuracy, dev_loss, dev_eer (a rate, not per cent)."""
    path = run / "history.json"
    return json.loads(path.read_text()) if path.exists() else {}


def _claim(run: Path, config: Config) -> None:
    run.mkdir(parents=True, exist_ok=True)
    path = run / "config.json"
    text = config.model_dump_json(indent=1)
    if path.exists() and path.read_text() != text:
        raise ValueError(f"A run goes on with the configuration that it began with. Received: another one than {path}.")
    path.write_text(text)


def _compiled(config: Config, *, steps: int) -> keras.Model:
    model = build(config)
    # A first epoch of rising rates: batch normalisation has its statistics before the large steps begin.
    schedule = keras.optimizers.schedules.CosineDecay(
        0.0,
        steps * max(config.fit.epochs - 1, 1),
        alpha=0.01,
        warmup_target=config.fit.learning_rate,
        warmup_steps=steps,
    )
    model.compile(
        optimizer=keras.optimizers.AdamW(schedule, weight_decay=config.fit.weight_decay),
        loss=keras.losses.BinaryCrossentropy(from_logits=True, label_smoothing=config.fit.label_smoothing),
        metrics=[keras.metrics.BinaryAccuracy(name="accuracy", threshold=0.0)],
    )
    return model


def _seed_dropout(model: keras.Model, seed: int, epoch: int) -> None:
    """Give each layer that draws its own stream for this epoch: a saved model does not keep where it was in it."""
    for place, layer in enumerate(model.layers):
        if (generator := getattr(layer, "seed_generator", None)) is not None:
            generator.state.assign(np.random.SeedSequence((seed, epoch, place)).generate_state(2))


def _stale(history: History, patience: int) -> bool:
    """Whether the best dev EER is `patience` epochs old."""
    rates = history.get("dev_eer", [])
    return bool(rates) and len(rates) - 1 - int(np.argmin(rates)) >= patience


def _check_frozen(model: keras.Model, config: Config) -> None:
    """Guard the front end: `model.trainable = True` somewhere would silently let the filterbank drift."""
    expected = filterbank(config.front_end, sample_rate=config.input.sample_rate)
    if not np.array_equal(model.get_layer(FILTERBANK).get_weights()[0], expected):
        raise ValueError("The filterbank of the front end is frozen. Received: one that training has changed.")


def _replace(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` make a file beside `path`, then put it in its place in one step."""
    temporary = path.with_name(f"new-{path.name}")
    write(temporary)
    temporary.replace(path)
