"""The benchmark of training compares equals and counts right. How fast anything is, is not for a test to say."""

import json
import time
from collections.abc import Iterator
from dataclasses import asdict

import pytest

from benchmarks import learning, stats, training
from benchmarks.learning import Learning, Loaded, Pass, Steps
from tests.test_fit import CONFIG
from training import dataset
from training.corpus import read_partition
from training.loader import Batch, Loader


def passes(rates: list[float], cpu_ms: float) -> list[Pass]:
    return [Pass(rate, cpu_ms, idle_share=0.1, others_share=0.2) for rate in rates]


FOUND = Learning(
    loaded=Loaded(25_380, 24.0, 20.0, 35.0, 2_765.0, 4_000.0),
    steps=[Steps("duo", 32, passes([4.0, 3.0, 4.0], 480.0), passes([5.0, 3.0, 4.0], 400.0))],
)


def test_a_ratio_is_of_rounds_and_that_of_busy_cores_of_their_time() -> None:
    (steps,) = FOUND.steps
    assert steps.ratio() == stats.Spread(1.0, 0.8, 1.0)
    assert steps.if_busy().median == pytest.approx(400 / 480)


def test_what_a_process_prints_is_read_back_and_reported() -> None:
    assert Learning.from_json(json.loads(json.dumps(asdict(FOUND)))) == FOUND
    text = "\n".join(learning.markdown(FOUND))
    assert "25,380 made clips, 24.0 hours" in text
    assert "in 20 s (35 s of CPU time)" in text
    assert "2,765 MB, of 4,000 MB" in text
    row = "4.00 (3.00 to 4.00) | 4.00 (3.00 to 5.00) | 1.00 (0.80 to 1.00) | 0.83 (0.83 to 0.83)"
    assert f"| duo | 32 | {row} | 480 (480 to 480) | 400 (400 to 400) | 10 (10 to 10) |" in text
    assert "took 20 % of the machine's CPU time" in text


def test_a_pass_counts_its_own_time_and_that_of_others() -> None:
    def spin() -> None:
        until = time.process_time() + 0.3
        while time.process_time() < until:
            pass

    asleep, busy = training.timed(lambda: time.sleep(0.3), 3), training.timed(spin, 3)
    assert asleep.steps_per_second == pytest.approx(10, rel=0.2)
    assert asleep.cpu_ms < 10
    assert busy.cpu_ms == pytest.approx(100, rel=0.2)
    for taken in (asleep, busy):
        assert 0 <= taken.idle_share <= 1
        assert 0 <= taken.others_share <= 1.1


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> list[dataset.Recording]:
    root = tmp_path_factory.mktemp("made")
    training.make_partition(root, clips=130)
    utterances = read_partition(root, "train")
    assert len({u.id for u in utterances}) == 130
    assert sum(u.key == "bonafide" for u in utterances) == 13
    assert {u.attack for u in utterances} == {None, *(f"A{n:02}" for n in range(1, 7))}
    found, loaded = training.load(root)
    assert loaded.clips == len(found) == 130
    assert loaded.waveforms_mb == pytest.approx(sum(r.samples.size for r in found) * 2e-6)
    assert loaded.audio_hours == pytest.approx(130 * 3.4 / 3_600, rel=0.1)
    assert loaded.peak_mb > loaded.waveforms_mb
    return found


def test_a_pass_counts_the_time_of_those_that_make_its_batches(recordings: list[dataset.Recording]) -> None:
    many = CONFIG.model_copy(update={"fit": CONFIG.fit.model_copy(update={"epoch_windows": 4_000})})
    with Loader(recordings, many, workers=1) as loader:
        next(loader.epoch(0))
        own = time.process_time()
        taken = training.timed(lambda: [None for _ in loader.epoch(1)], 500)
        own = time.process_time() - own
    assert taken.cpu_ms * 500 / 1e3 > 1.5 * own


@pytest.mark.parametrize("slow", [False, True])
def test_a_pipeline_that_holds_the_learner_up_is_seen(
    recordings: list[dataset.Recording], monkeypatch: pytest.MonkeyPatch, slow: bool
) -> None:
    class Late(Loader):
        def epoch(self, epoch: int) -> Iterator[Batch]:
            for batch in super().epoch(epoch):
                time.sleep(0.1)
                yield batch

    if slow:
        monkeypatch.setattr(training, "Loader", Late)
    steps = training.measure(recordings, "tiny", CONFIG, rounds=2, seconds=0.01)
    assert (steps.recipe, steps.batch_windows) == ("tiny", 8)
    assert len(steps.from_clips) == len(steps.in_memory) == 2
    assert all(taken.steps_per_second > 0 for taken in steps.from_clips + steps.in_memory)
    if slow:
        assert steps.ratio().lowest < 0.5
