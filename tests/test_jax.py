"""Training on Keras' JAX backend, in a process of its own: this one has TensorFlow."""

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import keras
import numpy as np
import pytest

from tests.corpora import make_corpus
from training import dataset, fit
from training.config import Config

ROOT = Path(__file__).parent.parent
RECIPE = {
    "branches": {
        "main": {
            "options": {"filters": [4, 4, 4, 4], "pools": [[2, 2]] * 4, "dense": 8},
            "front_end": {"kind": "log_linear", "bands": 20},
        }
    },
    "input": {"window_seconds": 0.5, "hop_seconds": 0.5},
    "fit": {"optimizer": "muon", "epochs": 2, "epoch_windows": 16, "batch_size": 8, "averaging": 0.5, "mask": 0.2},
}


@pytest.mark.skipif(find_spec("jax") is None, reason="JAX is not installed")
def test_a_run_of_jax_is_gone_on_with_and_served_by_tensorflow(tmp_path: Path) -> None:
    corpus = make_corpus(tmp_path / "corpus")
    recipe, out = tmp_path / "recipe.json", tmp_path / "run"
    recipe.write_text(json.dumps(RECIPE))
    code = "import sys; sys.modules['tensorflow'] = None; from training.__main__ import main; sys.exit(main())"
    command = [sys.executable, "-c", code, "train", "--corpus", str(corpus), "--config", str(recipe), "--out", str(out)]
    subprocess.run(command, env=os.environ | {"KERAS_BACKEND": "jax"}, cwd=ROOT, check=True, timeout=120)

    config = Config.model_validate_json((out / "config.json").read_text())
    dev = dataset.load([corpus], "dev", sample_rate=config.input.sample_rate)
    model = keras.saving.load_model(out / fit.MODEL_FILE, compile=False)
    outputs = keras.Model(model.input, keras.ops.expand_dims(model.output, -1))
    weight = model.get_layer("fusion").get_weights()[0].item()
    logits = fit.clip_logits(outputs, dev, config)[:, 0] / weight
    bonafide = np.array([recording.utterance.key == "bonafide" for recording in dev])
    loss = np.mean(np.logaddexp(0, np.where(bonafide, -logits, logits)))
    history = fit.read_history(out)
    assert history["dev_loss"][-1] == pytest.approx(loss, abs=1e-4)

    text = (out / "config.json").read_text()
    (out / "config.json").write_text(text.replace('"epochs": 2', '"epochs": 3'))
    fit.fit(config.model_copy(update={"fit": config.fit.model_copy(update={"epochs": 3})}), [corpus], out)
    assert len(fit.read_history(out)["loss"]) == 3
