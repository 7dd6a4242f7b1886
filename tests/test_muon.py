import keras
import numpy as np

from training.muon import ConvolutionMuon


def step(kernel_shape: tuple[int, ...], gradient: np.ndarray, *, learning_rate: float = 0.1) -> np.ndarray:
    """What the optimizer's first step adds to a variable of zeros."""
    variable = keras.Variable(np.zeros(kernel_shape, np.float32))
    optimizer = ConvolutionMuon(learning_rate, weight_decay=0.0)
    optimizer.build([variable])
    optimizer.apply([keras.ops.convert_to_tensor(gradient.astype(np.float32))])
    return np.asarray(variable.numpy())


def test_a_step_of_a_kernel_has_no_direction_that_lags_behind() -> None:
    rng = np.random.default_rng(0)
    gradient = rng.standard_normal((3, 3, 4, 8)) * np.geomspace(1, 0.05, 8)  # of some outputs hardly any
    before = np.linalg.svd(gradient.reshape(36, 8), compute_uv=False)
    taken = step((3, 3, 4, 8), gradient).reshape(36, 8)
    after = np.linalg.svd(taken, compute_uv=False)
    assert before[0] / before[-1] > 10
    assert after[0] / after[-1] < 2
    # As large as AdamW's usually are, and against the gradient.
    assert 0.6 < after.mean() / (0.1 * 0.2 * 36**0.5) < 1.3
    assert np.sum(taken * gradient.reshape(36, 8)) < 0


def test_a_bias_and_what_ends_in_a_logit_take_the_steps_of_adamw() -> None:
    gradient = np.array([3.0, -0.5, 1e-3, 2.0, -1.0])
    assert np.allclose(step((5,), gradient), -0.1 * np.sign(gradient), atol=1e-3)
    assert np.allclose(step((5, 1), gradient[:, None]), -0.1 * np.sign(gradient)[:, None], atol=1e-3)


def test_all_weights_decay_as_asked() -> None:
    for weight_decay in (0.0, 0.5):
        variables = [keras.Variable(np.ones(shape, np.float32)) for shape in ((3, 3, 4, 8), (5,), (5, 1))]
        optimizer = ConvolutionMuon(0.1, weight_decay=weight_decay)
        optimizer.build(variables)
        optimizer.apply([keras.ops.zeros(variable.shape) for variable in variables])
        for variable in variables:
            assert np.allclose(variable.numpy(), 1 - 0.1 * weight_decay, atol=1e-6)
