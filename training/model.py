"""A configuration -> the networks that learn, and the artifact's model that comes of them.

Both are put together from the same branches, each a model of its own: features -> outputs. The learner hides parts of
the features and gives each branch's outputs by themselves, so that each learns as if it were alone; the artifact
fuses their logits into one.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import keras
import numpy as np
from keras import layers, ops

from training.config import Config
from training.families import FAMILIES
from training.fold import fold
from training.front_ends import FRONT_ENDS, FrontEnds
from training.losses import LOSSES
from training.masks import Mask

FUSION = "fusion"  # the name of the layer that weighs the branches
_CPU = Path("/proc/cpuinfo")

Branches = Mapping[str, keras.Model]


def make_branches(config: Config) -> Branches:
    """The networks of a configuration, untrained, by the names of its branches.

    Raises
    ------
    ValueError
        A family, front end or loss that does not exist, or options that a family cannot be built with.
    """
    if config.fit.loss not in LOSSES:
        raise ValueError(f"A loss is one of {', '.join(LOSSES)}. Received: {config.fit.loss!r}.")
    _, features = _heard(config)
    made = {}
    for (name, branch), seen in zip(config.branches.items(), features, strict=True):
        if branch.family not in FAMILIES:
            raise ValueError(f"A family is one of {', '.join(FAMILIES)}. Received: {branch.family!r}.")
        start = keras.Input(seen.shape[1:])
        try:
            with _precision(config):
                embedding = FAMILIES[branch.family](start, **branch.options)
        except (TypeError, ValueError, KeyError) as error:
            rule = f"The family {branch.family} is built with options that it has, of kinds and sizes that fit"
            raise ValueError(f"{rule}. Received: {branch.options} ({type(error).__name__}: {error}).") from error
        made[name] = keras.Model(start, LOSSES[config.fit.loss].head(embedding), name=name)
    return made


def make_learner(config: Config, branches: Branches) -> keras.Model:
    """What `fit` trains: waveform (batch, window_samples) -> outputs (batch, branches * k), branch by branch."""
    waveform, features = _heard(config)
    outputs = [branch(Mask(config.fit.mask)(seen)) for branch, seen in zip(branches.values(), features, strict=True)]
    together = ops.concatenate(outputs, axis=-1) if len(outputs) > 1 else outputs[0]
    return keras.Model(waveform, together, name="learner")


def branches_of(learner: keras.Model, config: Config) -> Branches:
    """The branches inside a learner, as when it has come back from the disk; in float32, whatever they learned in."""
    return {name: _in_float32(learner.get_layer(name)) for name in config.branches}


def make_logits(config: Config, branches: Branches) -> keras.Model:
    """Waveform (batch, window_samples) -> the logits of each branch, (batch, branches), within its bounds.

    Higher is bonafide.
    """
    waveform, features = _heard(config)
    to_logit = LOSSES[config.fit.loss].logit
    logits = []
    for branch, seen, described in zip(branches.values(), features, config.branches.values(), strict=True):
        logit = to_logit(branch(seen))
        logits.append(logit if described.bounds is None else ops.clip(logit, *described.bounds))
    return keras.Model(waveform, ops.concatenate(logits, axis=-1) if len(logits) > 1 else logits[0])


def make_artifact(config: Config, branches: Branches, *, weights: Sequence[float]) -> keras.Model:
    """What is published: waveform (batch, window_samples) -> logit (batch,), the weighted sum of the branches'."""
    logits = make_logits(config, branches)
    fusion = layers.Dense(1, use_bias=False, name=FUSION)
    logit = layers.Reshape((), name="logit")(fusion(logits.output))
    fusion.set_weights([np.reshape(weights, (-1, 1)).astype(np.float32)])
    return keras.Model(logits.input, logit, name=config.name)


def build(config: Config) -> keras.Model:
    """The whole model of a configuration, untrained."""
    branches = {name: fold(branch) for name, branch in make_branches(config).items()}
    return make_artifact(config, branches, weights=[1 / len(config.branches)] * len(config.branches))


@contextmanager
def _precision(config: Config) -> Iterator[None]:
    """The precision that networks are made in (Micikevicius et al. 2018, arXiv:1710.03740).

    bfloat16 has the range of float32, so that a loss need not be scaled; weights are float32 in any case.
    """
    before = keras.config.dtype_policy()
    if config.fit.mixed_precision and _multiplies_bfloat16():
        keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def _multiplies_bfloat16() -> bool:
    """Whether there is a GPU, or a CPU with AMX, which TensorFlow uses: other CPUs are no faster with bfloat16."""
    if keras.distribution.list_devices("gpu"):
        return True
    return keras.config.backend() == "tensorflow" and _CPU.exists() and "amx_bf16" in _CPU.read_text().split()


def _in_float32(branch: keras.Model) -> keras.Model:
    """A branch as an artifact has it: itself, or a copy that computes in float32."""
    if {layer.compute_dtype for layer in branch.layers} == {"float32"}:
        return branch

    def in_float32(operation: keras.Operation) -> keras.Operation:
        settings = operation.get_config()
        if isinstance(operation, keras.Layer):  # others compute in what they are given
            settings["dtype"] = "float32"
        return type(operation).from_config(settings)

    copy = keras.models.clone_model(branch, clone_function=in_float32)
    copy.set_weights(branch.get_weights())
    return copy


def _heard(config: Config) -> tuple[keras.KerasTensor, list[keras.KerasTensor]]:
    """A waveform, and what each branch sees of it."""
    waveform = keras.Input((config.input.window_samples,), name="waveform")
    front_ends = FrontEnds(waveform, sample_rate=config.input.sample_rate)
    for branch in config.branches.values():
        if branch.front_end.kind not in FRONT_ENDS:
            raise ValueError(f"A front end is one of {', '.join(FRONT_ENDS)}. Received: {branch.front_end.kind!r}.")
    return waveform, [front_ends(branch.front_end) for branch in config.branches.values()]
