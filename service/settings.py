"""The table of knobs. Each is an environment variable: ``BONAFIDE_`` and the name in capitals."""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from model_store.cores import available_cores
from model_store.manifest import OperatingPointName
from model_store.runtimes import RuntimeName
from model_store.store import DEFAULT_ROOT

_Seconds = Annotated[float, Field(allow_inf_nan=False, le=1e9)]  # 31 years: threads can wait for 292


class Settings(BaseSettings):
    """What may differ between two deployments. A value out of range stops the start."""

    model_config = SettingsConfigDict(env_prefix="BONAFIDE_", frozen=True)

    host: str = Field(default="127.0.0.1", description="address to listen on")
    port: int = Field(default=8000, ge=0, le=65_535, description="port to listen on; 0 takes a free one")
    log_level: str = Field(default="INFO", pattern="^(DEBUG|INFO|WARNING|ERROR)$", description="least level logged")

    store: Path = Field(default=DEFAULT_ROOT, description="folder of the model store")
    models: Annotated[tuple[str, ...], NoDecode] = Field(
        default=("duo",),
        min_length=1,
        description="family or family@version, separated by commas; the first is the default of a request",
    )
    signing_keys: Path | None = Field(
        default=None, description="file of public keys; a model that none of them has signed is not loaded"
    )
    store_poll_seconds: _Seconds = Field(
        default=5.0, ge=0, description="seconds between looks at the store for another version; 0: only at SIGHUP"
    )
    runtime: RuntimeName = Field(default="keras", description="what runs them: keras, on TensorFlow, or onnx")
    operating_point: OperatingPointName = Field(default="balanced", description="the default of a request")

    max_body_bytes: int = Field(default=64 << 20, ge=1, description="bytes of a request's body, or 413")
    max_batch_clips: int = Field(default=500, ge=1, description="clips in one batch, or 400")
    max_clip_seconds: _Seconds = Field(default=600.0, gt=0, description="seconds of one clip, or 422")
    max_bodies_bytes: int = Field(default=256 << 20, ge=1, description="bytes of all requests' bodies, or 429")
    max_queue_clips: int = Field(default=64, ge=1, description="clips in work or waiting at a time, or 429")
    max_queue_seconds: _Seconds = Field(
        default=1_200.0, gt=0, description="seconds of audio in work or waiting at a time, or 429"
    )
    max_batches: int = Field(default=8, ge=1, description="batches in work at a time, or 429")
    body_seconds: _Seconds = Field(default=60.0, gt=0, description="seconds in which a request's body arrives, or 504")
    deadline_seconds: _Seconds = Field(default=10.0, gt=0, description="seconds in which a clip is scored, or 504")
    drain_seconds: _Seconds = Field(
        default=0.0, ge=0, description="seconds between failing /health/ready and closing the port, when told to stop"
    )
    threads: int = Field(
        default_factory=available_cores,
        ge=1,
        description="threads that decode, and threads that call a model, each on one core",
    )

    keys: Path | None = Field(default=None, description="file of API keys, read again when it changes")
    audit_dir: Path | None = Field(default=None, description="folder of the audit trail")
    audit_key_file: Path | None = Field(default=None, description="file of 32 random bytes or more: the trail's key")
    audit_required: bool = Field(default=True, description="503 for a decision that the trail cannot take")
    audit_sync_seconds: _Seconds = Field(
        default=1.0, ge=0, description="seconds between having the disk keep the trail and signing it"
    )
    audit_file_bytes: int = Field(default=64 << 20, ge=1, description="bytes of a file of the trail, before the next")

    @field_validator("signing_keys", mode="before")
    @classmethod
    def _none(cls, value: object) -> object:
        return value or None  # empty, as compose hands it on: nobody has to sign

    @field_validator("models", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(part.strip() for part in value.split(",")) if isinstance(value, str) else value


def unknown(variables: Iterable[str]) -> list[str]:
    """The variables that are named as a setting is and are none."""
    known = {f"BONAFIDE_{name.upper()}" for name in Settings.model_fields}
    return sorted(name for name in variables if name.upper().startswith("BONAFIDE_") and name.upper() not in known)


def table() -> str:
    """Every setting as a line of text: its variable, what it is for, and its default."""
    lines = []
    for name, field in Settings.model_fields.items():
        default = "the cores" if field.default_factory else field.default
        text = ",".join(default) if isinstance(default, tuple) else "none" if default is None else default
        lines.append(f"  BONAFIDE_{name.upper():18} {field.description} (default: {text})")
    return "\n".join(lines)
