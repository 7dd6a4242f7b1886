"""Artifacts made by the real training and the real publishing, from a made corpus of a few seconds.

Nobody has learned anything worth knowing in an epoch of it: tests know nothing about a verdict but what a threshold
far out makes of it.
"""

import json
from pathlib import Path

import keras
import soundfile

from tests.signals import RATE, speech
from training.config import BranchConfig, Config, FitConfig, FrontEndConfig, InputConfig
from training.fit import fit
from training.model import FUSION
from training.publish import publish
from training.train import CORPORA_FILE

CONFIG = Config(
    branches={
        "main": BranchConfig(
            options={"filters": [4, 4, 4, 4], "dense": 8, "dropout": 0.0}, front_end=FrontEndConfig(bands=32)
        )
    },
    input=InputConfig(sample_rate=RATE, window_seconds=1.0, hop_seconds=0.5),
    fit=FitConfig(epochs=3, batch_size=4, learning_rate=1e-2, averaging=0.0),
)
QUIETER = 0.2  # it learned a few clips by heart: logits far out, in which rounding errors are large too


def make_store(root: Path) -> Path:
    """A store of two families, ``simple_cnn`` and ``other_cnn``: the same network, with logits of the other sign.

    Only the first is for the onnx runtime too.
    """
    store, corpus, run = root / "store", make_corpus(root / "made"), root / "run"
    path = fit(CONFIG, [corpus], run)
    made = [{"name": "made", "path": str(corpus), "protocols": {"train": "0" * 64, "dev": "1" * 64}}]
    (run / CORPORA_FILE).write_text(json.dumps(made))
    model = keras.saving.load_model(path, compile=False)
    last = model.get_layer(FUSION)
    learned = last.get_weights()
    for family, factor in (("simple_cnn", QUIETER), ("other_cnn", -QUIETER)):
        last.set_weights([factor * weights for weights in learned])
        model.save(path)
        (run / "config.json").write_text(CONFIG.model_copy(update={"name": family}).model_dump_json())
        licences = {"made": "made for the tests"}
        publish(run, store, licences=licences, waiver="nobody will rely on it", onnx=factor > 0)
    return store


def make_corpus(root: Path) -> Path:
    """Bonafide is dark and spoof is bright: 8 clips in train, 8 in dev, of 1 to 1.2 s."""
    protocols = root / "ASVspoof2019_LA_cm_protocols"
    protocols.mkdir(parents=True)
    for partition, suffix, attack in (("train", "trn", "A01"), ("dev", "trl", "A02")):
        folder = root / f"ASVspoof2019_LA_{partition}" / "flac"
        folder.mkdir(parents=True)
        lines = []
        for n in range(8):
            spoof = n % 2
            signal = speech(seconds=1.0 + 0.2 * (n % 3) / 2, tilt=0.3 if spoof else 1.0, seed=n)
            soundfile.write(folder / f"{partition}{n}.flac", signal, RATE)
            lines.append(f"S{n % 4} {partition}{n} - {attack if spoof else '-'} {'spoof' if spoof else 'bonafide'}\n")
        (protocols / f"ASVspoof2019.LA.cm.{partition}.{suffix}.txt").write_text("".join(lines))
    return root
