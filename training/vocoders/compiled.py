"""Generators and their learning, compiled by whichever backend Keras runs on: TensorFlow or JAX.

Each backend is imported by the function that needs it, so that neither has to be installed beside the other.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import keras
import numpy as np
import numpy.typing as npt

from training.vocoders.generators import waveforms

Waveform = npt.NDArray[np.float32]
Judge = Callable[[Any], Any]  # samples -> features, then verdicts


class Losses(Protocol):
    """What is to be made small, of real and made samples (batch, n) and those who judge them."""

    def hear(self, real: Any) -> Any:
        """The log mel spectrogram, (batch, frames, bands)."""

    def of_generator(self, real: Any, made: Any, judges: Sequence[Judge]) -> tuple[Any, Any]:
        """The generator's loss, and the distance of spectra in it."""

    def of_adversaries(self, real: Any, made: Any, judges: Sequence[Judge]) -> Any:
        """The adversaries' loss, zero for none."""


class Learner(Protocol):
    """A step of learning, and the end of it."""

    def step(self, real: Waveform, *, opposed: bool) -> Any:
        """Learn from segments (batch, n), with or without the adversaries -> the distance of spectra, a scalar."""

    def finish(self) -> None:
        """Put what was learned in the generator."""


@dataclass(frozen=True, slots=True)
class Contest:
    """Who learns, by what: the generator by `optimizer`, the adversaries, if any, by `opponent`."""

    generator: keras.Model
    adversaries: Sequence[keras.Model]
    losses: Losses
    optimizer: keras.optimizers.Optimizer
    opponent: keras.optimizers.Optimizer


def learner(contest: Contest) -> Learner:
    """Learning on the backend in use."""
    contest.optimizer.build(contest.generator.trainable_variables)
    contest.opponent.build([weight for adversary in contest.adversaries for weight in adversary.trainable_variables])
    return _OnJax(contest) if keras.backend.backend() == "jax" else _OnTensorFlow(contest)


def forward(generator: keras.Model) -> Callable[[Any], Waveform]:
    """A trained generator: log mel float32 (batch, frames, bands) -> samples (batch, frames * hop)."""
    if keras.backend.backend() != "jax":
        return lambda mel: np.asarray(waveforms(generator, mel))
    import jax  # noqa: PLC0415

    weights = _values(generator.trainable_variables)
    run = jax.jit(lambda weights, mel: waveforms(_call(generator, weights), mel))
    return lambda mel: np.asarray(run(weights, mel))


class _OnTensorFlow:
    def __init__(self, contest: Contest) -> None:
        import tensorflow as tf  # noqa: PLC0415

        generator, adversaries, losses = contest.generator, contest.adversaries, contest.losses

        @tf.function  # type: ignore[untyped-decorator]
        def step(real: Any, opposed: bool) -> Any:
            judges = adversaries if opposed else ()
            with tf.GradientTape(persistent=True) as tape:
                made = waveforms(generator, losses.hear(real))
                loss, distance = losses.of_generator(real, made, judges)
                verdict = losses.of_adversaries(real, tf.stop_gradient(made), judges)
            weights = generator.trainable_variables
            contest.optimizer.apply(tape.gradient(loss, weights), weights)
            if opposed:
                judged = [weight for adversary in adversaries for weight in adversary.trainable_variables]
                contest.opponent.apply(tape.gradient(verdict, judged), judged)
            return distance

        self._step: Callable[[Any, bool], Any] = lambda real, opposed: step(tf.constant(real), opposed)

    def step(self, real: Waveform, *, opposed: bool) -> Any:
        return self._step(real, opposed)

    def finish(self) -> None:
        """Nothing: variables are changed in place."""


class _OnJax:
    def __init__(self, contest: Contest) -> None:
        import jax  # noqa: PLC0415

        generator, adversaries, losses = contest.generator, contest.adversaries, contest.losses
        self._generator = generator
        self._state = (
            _values(generator.trainable_variables),
            [_values(adversary.trainable_variables) for adversary in adversaries],
            _values(contest.optimizer.variables),
            _values(contest.opponent.variables),
        )

        def total(weights: Any, judged: Any, real: Any, opposed: bool) -> Any:
            """Both losses, each with a gradient for its own weights alone."""
            models = adversaries if opposed else ()
            still, moving = (
                [_call(model, values) for model, values in zip(models, given, strict=False)]
                for given in (jax.lax.stop_gradient(judged), judged)
            )
            made = waveforms(_call(generator, weights), losses.hear(real))
            loss, distance = losses.of_generator(real, made, still)
            return loss + losses.of_adversaries(real, jax.lax.stop_gradient(made), moving), distance

        def step(state: Any, real: Any, opposed: bool) -> Any:
            weights, judged, memory, of_opponent = state
            (_, distance), (slopes, of_judged) = jax.value_and_grad(total, argnums=(0, 1), has_aux=True)(
                weights, judged, real, opposed
            )
            weights, memory = contest.optimizer.stateless_apply(memory, slopes, weights)
            if opposed:
                flat, structure = jax.tree.flatten(judged)
                flat, of_opponent = contest.opponent.stateless_apply(of_opponent, jax.tree.leaves(of_judged), flat)
                judged = jax.tree.unflatten(structure, flat)
            return (weights, judged, memory, of_opponent), distance

        # XLA's pool of threads on a CPU blocks for ever where several Fourier transforms wait for it at once.
        options = {"xla_cpu_multi_thread_eigen": False} if jax.default_backend() == "cpu" else None
        self._step = jax.jit(step, static_argnums=2, donate_argnums=0, compiler_options=options)

    def step(self, real: Waveform, *, opposed: bool) -> Any:
        self._state, distance = self._step(self._state, real, opposed)
        return distance

    def finish(self) -> None:
        for variable, value in zip(self._generator.trainable_variables, self._state[0], strict=True):
            variable.assign(value)


def _values(variables: Sequence[Any]) -> list[Any]:
    return [variable.value for variable in variables]


def _call(model: keras.Model, weights: Any) -> Judge:
    """A model of those weights; none of ours has any that is not learned."""
    return lambda x: model.stateless_call(weights, [], x)[0]
