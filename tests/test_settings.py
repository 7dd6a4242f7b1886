"""The table of knobs: each documented, each checked before anything starts."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from service.settings import Settings, table, unknown

NAMES = [f"BONAFIDE_{name.upper()}" for name in Settings.model_fields]


def undocumented(text: str) -> list[str]:
    return [name for name in NAMES if f"`{name}`" not in text]


def test_the_readme_has_every_setting() -> None:
    readme = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
    assert undocumented(readme) == []
    assert undocumented(readme.replace("`BONAFIDE_STORE`", "")) == ["BONAFIDE_STORE"]


def test_help_has_every_setting_with_its_meaning() -> None:
    lines = table().splitlines()
    assert [line.split()[0] for line in lines] == NAMES
    for line, field in zip(lines, Settings.model_fields.values(), strict=True):
        assert field.description, line
        assert field.description in line
        assert "(default: " in line


def test_the_environment_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BONAFIDE_MODELS", "simple_cnn@2, other")
    monkeypatch.setenv("BONAFIDE_DRAIN_SECONDS", "2.5")
    found = Settings()
    assert (found.models, found.drain_seconds) == (("simple_cnn@2", "other"), 2.5)


def test_a_variable_that_is_no_setting_is_found() -> None:
    assert unknown([*NAMES, "bonafide_port", "PATH", "MY_BONAFIDE_KEY"]) == []
    assert unknown([*NAMES, "BONAFIDE_KEY", "bonafide_keyz", "PATH"]) == ["BONAFIDE_KEY", "bonafide_keyz"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "65536"),
        ("PORT", ""),
        ("LOG_LEVEL", "LOUD"),
        ("OPERATING_POINT", "custom"),
        ("RUNTIME", "torch"),
        ("THREADS", "0"),
        ("MAX_QUEUE_CLIPS", "0"),
        ("MAX_CLIP_SECONDS", "-1"),
        ("DEADLINE_SECONDS", "nan"),
        ("DEADLINE_SECONDS", "inf"),
        ("DRAIN_SECONDS", "-1"),
        ("STORE_POLL_SECONDS", "1e10"),
    ],
)
def test_a_value_out_of_range_is_refused(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(f"BONAFIDE_{name}", value)
    with pytest.raises(ValidationError, match=name.lower()):
        Settings()
