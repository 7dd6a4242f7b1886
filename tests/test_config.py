import json
from pathlib import Path

import pytest

from training import config


def test_a_file_says_what_differs_and_an_override_wins(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"name": "mine", "fit": {"epochs": 5, "seed": 1}}))
    loaded = config.load(path, ["fit.epochs=3", "branches.main.family=lcnn", 'branches.main.options={"dropout": 0.1}'])
    assert (loaded.name, loaded.fit.epochs, loaded.fit.seed) == ("mine", 3, 1)
    assert loaded.branches["main"] == config.BranchConfig(family="lcnn", options={"dropout": 0.1})
    assert loaded.fit.batch_size == config.Config().fit.batch_size


@pytest.mark.parametrize(
    "override",
    [
        *("fit.epoch=3", "fit.epochs=many", "fit.pairs=2", "novelty=1", "branches.main.front_end.around=[9,4]"),
        *("fit.epochs=0", "fit.learning_rate=NaN", "fit.seed=-1", "augment.speed=5", "input.window_seconds=0"),
        *("input.hop_seconds=-1", "branches.main.front_end.bands=0", "name=My Model", "name=../x", "name.first=x"),
    ],
)
def test_what_does_not_exist_or_fit_is_refused(tmp_path: Path, override: str) -> None:
    (tmp_path / "config.json").write_text('{"name": "mine"}')
    with pytest.raises(ValueError, match=rf"Received: {override.partition('=')[0]}") as told:
        config.load(tmp_path / "config.json", [override])
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("name", ["a b", "ü", "a/b", "-a", "", "fusion", "logit", "waveform"])
def test_a_branch_is_named_as_a_layer_can_be(name: str) -> None:
    with pytest.raises(ValueError, match=rf"A branch is named .*, and not waveform, .*Received: '{name}'"):
        config.load(None, [f"branches={json.dumps({name: {}})}"])


@pytest.mark.parametrize(("text", "message"), [("{", "is JSON. Received: .*config.json: "), ("[]", "which is a list")])
def test_a_file_is_a_json_object(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(ValueError, match=message):
        config.load(tmp_path / "config.json")


def test_an_override_reads_key_equals_value() -> None:
    with pytest.raises(ValueError, match="reads key.sub_key=value. Received: 'fit.epochs'"):
        config.load(None, ["fit.epochs"])


def test_bounds_are_a_lower_and_a_higher_one() -> None:
    assert config.load(None, ["branches.main.bounds=[-3, 0.5]"]).branches["main"].bounds == (-3, 0.5)
    with pytest.raises(ValueError, match=r"Bounds are a lower and a higher one. Received: \(2.0, 2.0\)"):
        config.load(None, ["branches.main.bounds=[2, 2]"])


def test_a_configuration_survives_the_manifest() -> None:
    chosen = config.load(None, ["fit.epochs=3"])
    assert config.Config.model_validate(chosen.model_dump(mode="json")) == chosen


@pytest.mark.parametrize("recipe", sorted(Path(config.__file__).parent.glob("recipes/*.json")), ids=lambda p: p.stem)
def test_a_recipe_is_a_configuration_of_what_it_is_named_after(recipe: Path) -> None:
    assert config.load(recipe).name == recipe.stem
