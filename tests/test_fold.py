import keras
import numpy as np
import pytest

from tests.test_model import of
from training.families import FAMILIES
from training.fold import fold
from training.model import make_branches

NOISE = np.random.default_rng(1).standard_normal((3, 97, 40, 1)).astype(np.float32)


def trained(family: str) -> keras.Model:
    """A branch whose batch normalisation has seen something: constants that a mistake would not get past."""
    keras.utils.set_random_seed(0)  # of some draws, few neurons are awake, and any fold is right
    model = make_branches(of(family))["main"]
    rng = np.random.default_rng(0)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.set_weights([rng.uniform(0.5, 1.5, weights.shape) for weights in layer.get_weights()])
    return model


@pytest.mark.parametrize("family", FAMILIES)
def test_a_folded_model_gives_the_same_logits_and_normalises_no_convolution(family: str) -> None:
    model = trained(family)
    folded = fold(model)
    seen = np.resize(NOISE, (3, *model.input_shape[1:]))
    before, after = (np.asarray(m(seen, training=False)) for m in (model, folded))
    assert np.allclose(before, after, rtol=1e-3, atol=1e-4)
    left, had = (sum(isinstance(layer, keras.layers.BatchNormalization) for layer in m.layers) for m in (folded, model))
    assert had > 0 or family == "rates"  # which has nothing to normalise
    # Behind a max-feature-map, or the pooling and the dense layers of AASIST, there is no convolution to fold into.
    kept = {"lcnn": had, "aasist": had - 6, "aasist_l": had - 6}
    assert left == kept.get(family, 0)


def test_a_convolution_that_is_heard_elsewhere_too_keeps_its_normalisation() -> None:
    waveform = keras.Input((16,))
    image = keras.layers.Reshape((4, 4, 1))(waveform)
    convolved = keras.layers.Conv2D(2, 3, name="heard_twice")(image)
    normalised = keras.layers.BatchNormalization(name="kept")(convolved)
    logit = keras.layers.Dense(1)(keras.layers.Flatten()(keras.layers.Add()([convolved, normalised])))
    model = keras.Model(waveform, logit)
    assert fold(model).get_layer("kept")


def test_a_convolution_that_is_not_linear_keeps_its_normalisation() -> None:
    waveform = keras.Input((16,))
    image = keras.layers.Reshape((4, 4, 1))(waveform)
    convolved = keras.layers.Conv2D(2, 3, activation="relu")(image)
    normalised = keras.layers.BatchNormalization(name="kept")(convolved)
    model = keras.Model(waveform, keras.layers.Dense(1)(keras.layers.Flatten()(normalised)))
    model.get_layer("kept").set_weights([np.full(2, value) for value in (1.0, 0.5, -1.0, 2.0)])
    assert fold(model).get_layer("kept")


def test_a_fold_that_goes_wrong_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.fold._folded_weights", lambda c, n: (c.get_weights()[0], np.zeros(c.filters)))
    with pytest.raises(ValueError, match="gives the logits of its original"):
        fold(trained("simple_cnn"))
