"""A configuration and two partitions -> a trained model. Nothing here can see eval.

A run is a folder: ``config.json``, ``history.json`` (a line of figures for each epoch), ``last.keras`` (the learner, to
go on from, with the optimizer's state; its batch normalisation has the statistics of the average of its weights) and,
once it is done, ``model.keras``: the artifact's model, with the average of the weights over the last steps. Run again,
it goes on after the last whole epoch, and gives what it would have given uninterrupted.

No epoch is chosen: dev is only watched, so that what is fitted on it afterwards is not flattered.
"""

import json
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import keras
import numpy as np
import numpy.typing as npt
from scipy.special import expit
from tqdm import tqdm

from model_store.cores import available_cores
from training import dataset
from training.config import Config
from training.corpus import KEYS, Partition
from training.fold import fold
from training.fusion import weigh
from training.loader import Batch, Loader, epoch_windows
from training.losses import LOSSES
from training.metrics import equal_error_rate
from training.model import branches_of, make_artifact, make_branches, make_learner, make_logits
from training.muon import ConvolutionMuon
from training.normalisation import FusedBatchNormalization
from training.sampling import Sampler
from training.trials import Scores

History = dict[str, list[float]]

MODEL_FILE, LEARNER_FILE = "model.keras", "last.keras"
OPTIMIZERS: dict[str, type[keras.optimizers.Optimizer]] = {
    "adamw": keras.optimizers.AdamW,
    "muon": ConvolutionMuon,
}
_PIECE = 32  # recordings scored in one call
_STATISTICS_WINDOWS = 1_024  # at least, that batch normalisation's statistics are estimated on


def fit(
    config: Config, corpora: Sequence[Path], run: Path, *, start: Path | None = None, teachers: Sequence[Path] = ()
) -> Path:
    """Train, and return the path of the model.

    Parameters
    ----------
    corpora : folders in the ASVspoof layout, learned from together; each has a train or a dev partition, or both
    run : the run's folder; made, or gone on with if it holds the same configuration
    start : another run's folder, whose branches of the same names, by the average of their weights, are begun with
    teachers : other runs' folders, whose models' opinion becomes a part of the labels, `fit.distillation`

    Raises
    ------
    ValueError
        The folder holds a run of another configuration, train or dev lacks a class, or a teacher hears windows of
        another length or rate.
    """
    claim_config(run, config)
    teaching = [_teacher(teacher, config) for teacher in teachers]
    keras.utils.set_random_seed(config.fit.seed)
    train, dev = (_load(corpora, partition, config) for partition in ("train", "dev"))
    for corpus, count in Sampler([(r.utterance, r.corpus) for r in train], config.fit).unheard.items():
        tqdm.write(f"not learned from: {count:,} clips of {corpus}: it has one class, and there are no copies of them")
    steps = -(-epoch_windows(train, config) // config.fit.batch_size)
    if (run / LEARNER_FILE).exists():
        learner = read_learner(run / LEARNER_FILE, config)
    else:
        learner = make_learner(config, make_branches(config))
        if start is not None:
            _begin_with(learner, start / LEARNER_FILE, config)
        compile_learner(learner, config, steps=steps)
    epoch = int(learner.optimizer.iterations) // steps
    history = {name: values[:epoch] for name, values in read_history(run).items()}
    watched = make_logits(config, branches_of(learner, config))  # once: to compile it takes JAX as long as an epoch

    with Loader(train, config) as loader:
        while epoch < config.fit.epochs:
            _seed_layers(learner, config.fit.seed, epoch)
            latest = deque[Batch](maxlen=-(-_STATISTICS_WINDOWS // config.fit.batch_size))
            made = kept(taught(loader.epoch(epoch), teaching, share=config.fit.distillation), latest)
            loss = learn(learner, made, steps=steps, title=f"epoch {epoch + 1}/{config.fit.epochs}")
            with averaged(learner):
                estimate_statistics(learner, latest)
                for name in config.branches:  # those that learn in bfloat16 are watched by copies
                    watched.get_layer(name).set_weights(learner.get_layer(name).get_weights())
                logits = clip_logits(watched, dev, config)
            figures = {"loss": loss, **_figures(dev, logits.mean(axis=1))}
            epoch += 1
            for name, value in figures.items():
                history.setdefault(name, []).append(value)
            tqdm.write(f"epoch {epoch}: " + ", ".join(f"{name} {value:.4f}" for name, value in figures.items()))
            # Each file is replaced whole, and last.keras, which counts the epochs, comes last: a run that is killed
            # in between repeats the epoch and writes the same again.
            _replace(run / "history.json", lambda path: path.write_text(json.dumps(history, indent=1)))
            _replace(run / LEARNER_FILE, learner.save)
    with averaged(learner):
        branches = {name: fold(branch) for name, branch in branches_of(learner, config).items()}
        logits = clip_logits(make_logits(config, branches), dev, config)
        learned = {r.utterance.attack for r in train if r.utterance.attack}
        utterances = [r.utterance for r in dev]
        weights = weigh(config, logits, utterances, training_attacks=learned)
        _replace(run / MODEL_FILE, make_artifact(config, branches, weights=weights).save)
    return run / MODEL_FILE


def learn(learner: keras.Model, batches: Iterable[Batch], *, steps: int, title: str) -> float:
    """Take a step on each batch; the mean loss of their windows."""
    total, count = 0.0, 0
    progress = tqdm(batches, total=steps, desc=title, unit="step", disable=None)
    for batch in progress:
        loss = float(learner.train_on_batch(batch.waveforms, batch.labels))
        total, count = total + loss * len(batch.labels), count + len(batch.labels)
        progress.set_postfix(loss=f"{loss:.3f}", refresh=False)
    return total / count


def kept(batches: Iterable[Batch], latest: "deque[Batch]") -> Iterator[Batch]:
    """Batches, each of which `latest` has afterwards."""
    for batch in batches:
        yield batch
        latest.append(batch)


def estimate_statistics(learner: keras.Model, batches: Iterable[Batch]) -> None:
    """Let batch normalisation have the means and variances that some batches have in a learner as it is.

    Those that it kept while learning are of weights that moved, and averaged weights have others (Izmailov et al. 2018,
    arXiv:1803.05407, section 3.2; Wu & Johnson 2021, arXiv:2105.07576). What is learned later does not depend on them.
    """
    layers = [layer for layer in learner._flatten_layers() if isinstance(layer, keras.layers.BatchNormalization)]
    momenta = [layer.momentum for layer in layers]
    for number, batch in enumerate(batches if layers else ()):
        for layer in layers:
            layer.momentum = number / (number + 1)  # a plain mean of what the batches have
        learner(batch.waveforms, training=True)
    for layer, momentum in zip(layers, momenta, strict=True):
        layer.momentum = momentum


def taught(batches: Iterable[Batch], teachers: Sequence[keras.Model], *, share: float) -> Iterator[Batch]:
    """Batches whose labels are, by a `share`, the probability that teachers give each window: of their mean logit.

    Distillation (Hinton et al. 2015, arXiv:1503.02531), where a teacher hears just what its student does (Beyer et al.
    2022, arXiv:2106.05237). Of what nobody spoke, teachers are not asked. Without any, the batches as they are.
    """
    for batch in batches:
        if not teachers:
            yield batch
            continue
        logit = np.mean([teacher.predict_on_batch(batch.waveforms) for teacher in teachers], axis=0)
        believed = np.where(batch.spoken, share, 0)[:, None]
        labels = (1 - believed) * batch.labels + believed * np.asarray(expit(logit))[:, None]
        yield batch._replace(labels=labels.astype(np.float32))


def read_history(run: Path) -> History:
    """The figures of each epoch so far, by name: loss, dev_loss, dev_eer (a rate, not per cent)."""
    path = run / "history.json"
    return json.loads(path.read_text()) if path.exists() else {}


def clip_logits(model: keras.Model, recordings: Sequence[dataset.Recording], config: Config) -> npt.NDArray[np.float64]:
    """The mean of each recording's windows' logits, (recordings, branches), in pieces so that memory stays bounded.

    In TensorFlow several pieces at a time: a call by itself leaves idle the core that the loader has while the model
    learns. JAX gives a model's weights away to a call, and compiles for each number of windows: few ones, then.
    """

    def of_piece(first: int) -> list[npt.NDArray[np.float64]]:
        cuts = [dataset.cut(recording, config) for recording in recordings[first : first + _PIECE]]
        ends = np.cumsum([len(cut) for cut in cuts])
        empty = np.zeros((-ends[-1] % _PIECE, config.input.window_samples), np.float32)
        logits = np.asarray(model.predict_on_batch(np.concatenate([*cuts, empty])), np.float64)
        return [part.mean(axis=0) for part in np.split(logits, ends)[:-1]]

    means = of_piece(0)  # alone: it makes the function that the others call
    with ThreadPoolExecutor(available_cores() if keras.config.backend() == "tensorflow" else 1) as pool:
        for piece in pool.map(of_piece, range(_PIECE, len(recordings), _PIECE)):
            means += piece
    return np.array(means)


@contextmanager
def averaged(learner: keras.Model) -> Iterator[None]:
    """Let a learner have the average of its weights over the last steps (Polyak & Juditsky 1992), for a while."""
    current = [variable.numpy() for variable in learner.trainable_variables]
    if learner.optimizer.use_ema:
        learner.optimizer.finalize_variable_values(learner.trainable_variables)
        for variable in learner.trainable_variables:  # of its own: JAX would give the optimizer's away to a call
            variable.assign(np.array(variable))
    try:
        yield
    finally:
        for variable, value in zip(learner.trainable_variables, current, strict=True):
            variable.assign(value)


def per_branch(config: Config) -> Callable[[keras.KerasTensor, keras.KerasTensor], keras.KerasTensor]:
    """The loss of a learner: the sum of its branches' own."""
    of_branch = LOSSES[config.fit.loss].loss
    smoothing = config.fit.label_smoothing

    def per_branch(labels: keras.KerasTensor, outputs: keras.KerasTensor) -> keras.KerasTensor:
        smoothed = labels * (1 - smoothing) + smoothing / 2
        return sum(of_branch(smoothed, of_one) for of_one in keras.ops.split(outputs, len(config.branches), axis=-1))

    return per_branch


def claim_config(run: Path, config: Config) -> None:
    """Record a run's configuration, or raise a ValueError where the folder holds a run of another one."""
    run.mkdir(parents=True, exist_ok=True)
    path = run / "config.json"
    text = config.model_dump_json(indent=1)
    if path.exists() and path.read_text() != text:
        raise ValueError(f"A run goes on with the configuration that it began with. Received: another one than {path}.")
    path.write_text(text)


def _load(corpora: Sequence[Path], partition: Partition, config: Config) -> list[dataset.Recording]:
    """A partition of the corpora, if it has both classes."""
    recordings = dataset.load(corpora, partition, sample_rate=config.input.sample_rate)
    bonafide, spoof = (sum(r.utterance.key == key for r in recordings) for key in KEYS)
    if not bonafide or not spoof:
        received = f"{bonafide} bonafide, {spoof} spoof in {partition}"
        raise ValueError(f"Training takes both classes, in train and in dev. Received: {received}.")
    return recordings


def _begin_with(learner: keras.Model, path: Path, config: Config) -> None:
    other = read_learner(path, config)
    with averaged(other):
        for name in config.branches:
            try:
                learner.get_layer(name).set_weights(other.get_layer(name).get_weights())
            except ValueError as error:
                rule = "A run begins with the weights of branches that are named and made alike"
                raise ValueError(f"{rule}. Received: {name!r}, for which {path} has none.") from error


def _teacher(run: Path, config: Config) -> keras.Model:
    own, student = Config.model_validate_json((run / "config.json").read_text()).input, config.input
    if (own.window_samples, own.sample_rate) != (student.window_samples, student.sample_rate):
        rule = "A teacher hears windows as long as its student's, at the same rate"
        needed = f"{student.window_samples} samples at {student.sample_rate} Hz"
        raise ValueError(f"{rule}: {needed}. Received: {run}, {own.window_samples} at {own.sample_rate} Hz.")
    return keras.saving.load_model(run / MODEL_FILE, compile=False)


def read_learner(path: Path, config: Config) -> keras.Model:
    """What a run goes on from, with its optimizer."""
    own = {"per_branch": per_branch(config)} | {
        kind.__name__: kind for kind in (ConvolutionMuon, FusedBatchNormalization)
    }
    return keras.saving.load_model(path, custom_objects=own)


def compile_learner(learner: keras.Model, config: Config, *, steps: int) -> None:
    """Give a learner its loss, and an optimizer for epochs of so many steps."""
    # A first epoch of rising rates: batch normalisation has its statistics before the large steps begin.
    schedule = keras.optimizers.schedules.CosineDecay(
        0.0,
        steps * max(config.fit.epochs - 1, 1),
        alpha=0.01,
        warmup_target=config.fit.learning_rate,
        warmup_steps=steps,
    )
    reach = config.fit.averaging * steps * config.fit.epochs
    averaging = {"use_ema": True, "ema_momentum": 1 - 1 / reach} if reach > 1 else {}
    optimizer = OPTIMIZERS[config.fit.optimizer](
        schedule, weight_decay=config.fit.weight_decay, global_clipnorm=5.0, **averaging
    )
    optimizer.build(learner.trainable_variables)  # or TensorFlow traces the first step twice
    learner.compile(optimizer=optimizer, loss=per_branch(config))


def _figures(dev: Sequence[dataset.Recording], logits: npt.NDArray[np.float64]) -> dict[str, float]:
    bonafide = np.array([r.utterance.key == "bonafide" for r in dev])
    return {
        "dev_loss": float(np.mean(np.logaddexp(0, np.where(bonafide, -logits, logits)))),
        "dev_eer": equal_error_rate(Scores(bonafide=logits[bonafide], spoof=logits[~bonafide])).rate,
    }


def _seed_layers(learner: keras.Model, seed: int, epoch: int) -> None:
    """Give each layer that draws its own stream for this epoch: a saved model does not keep where it was in it."""
    for place, layer in enumerate(learner._flatten_layers()):
        if (generator := getattr(layer, "seed_generator", None)) is not None:
            generator.state.assign(np.random.SeedSequence((seed, epoch, place)).generate_state(2))


def _replace(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` make a file beside `path`, then put it in its place in one step."""
    temporary = path.with_name(f"new-{path.name}")
    write(temporary)
    temporary.replace(path)
