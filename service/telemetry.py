"""Prometheus metrics, on a registry of the app's own, and structured logs. Never audio, names or keys."""

import logging
import sys
from collections.abc import Sequence
from typing import Any, get_args

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector
from pythonjsonlogger.json import JsonFormatter

from model_store.detector import Verdict
from model_store.manifest import Manifest

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

log = logging.getLogger("bonafide")


class Telemetry:
    """The metrics of one app."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        self.requests = Histogram(
            "bonafide_request_seconds",
            "Time from the first byte of a request to the last of its answer.",
            ("route", "status"),
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.stages = Histogram(
            "bonafide_stage_seconds",
            "Time of a stage: a clip's decode and queue, and a detector's call, infer.",
            ("stage",),
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.verdicts = Counter(
            "bonafide_verdicts", "Verdicts given.", ("family", "version", "verdict"), registry=self.registry
        )
        self.reasons = Counter(
            "bonafide_inconclusive", "Reasons of inconclusive verdicts.", ("reason",), registry=self.registry
        )
        self.errors = Counter("bonafide_errors", "Problems answered, of clips too.", ("code",), registry=self.registry)
        self.audio = Counter(
            "bonafide_audio_seconds",
            "Seconds of audio scored.",
            ("family", "version"),
            registry=self.registry,
        )
        self.batch = Histogram(
            "bonafide_call_windows",
            "Windows in one call of a detector.",
            buckets=(1, 2, 3, 4, 5, 6, 7, 8),
            registry=self.registry,
        )
        self.waiting = Gauge("bonafide_queue_clips", "Clips in work or waiting.", registry=self.registry)
        self.waiting_audio = Gauge(
            "bonafide_queue_audio_seconds",
            "Seconds of audio in them; of those not decoded, estimated.",
            registry=self.registry,
        )
        self.rate = Gauge(
            "bonafide_audio_rate",
            "Seconds of audio scored a second, when there was work lately.",
            registry=self.registry,
        )
        self.dropped = Counter(
            "bonafide_dropped",
            "Clips dropped before a stage, decode or infer: the caller had gone, or the deadline had passed.",
            ("stage",),
            registry=self.registry,
        )
        self.ready = Gauge("bonafide_ready", "1 when requests are taken.", registry=self.registry)
        self.models = Gauge("bonafide_models_loaded", "Detectors loaded.", registry=self.registry)
        self.model_info = Gauge(
            "bonafide_model_info",
            "1 for each detector loaded.",
            ("family", "version", "sha256"),
            registry=self.registry,
        )
        self.model_share = Gauge(
            "bonafide_model_share",
            "Share of its family's requests that a version is given, as stable, canary or shadow.",
            ("family", "version", "role"),
            registry=self.registry,
        )
        self.loads = Counter(
            "bonafide_model_loads",
            "Versions loaded, or failed to be, since the start.",
            ("outcome",),
            registry=self.registry,
        )
        self.store_stale = Gauge(
            "bonafide_store_stale",
            "1 while what the store asks for cannot be loaded and what was there before serves.",
            registry=self.registry,
        )

        self.shadow_clips = Counter(
            "bonafide_shadow_clips",
            "Clips offered to a shadow: scored, dropped since others had the time, or failed.",
            ("family", "version", "outcome"),
            registry=self.registry,
        )
        self.shadow_verdicts = Counter(
            "bonafide_shadow_verdicts",
            "Clips by the verdict that was answered, live, and the shadow's.",
            ("family", "version", "live", "shadow"),
            registry=self.registry,
        )
        self.shadow_difference = Histogram(
            "bonafide_shadow_difference",
            "The shadow's score less the one that was answered.",
            ("family", "version"),
            buckets=(-10, -5, -2, -1, -0.5, -0.1, 0.1, 0.5, 1, 2, 5, 10),
            registry=self.registry,
        )

        self.key_requests = Counter(
            "bonafide_key_requests", "Requests with a live key, by its id.", ("key",), registry=self.registry
        )
        self.key_limited = Counter(
            "bonafide_key_limited", "Requests refused as over the client's rate.", ("key",), registry=self.registry
        )
        self.key_audio = Counter(
            "bonafide_key_audio_seconds", "Seconds of audio scored for a key.", ("key",), registry=self.registry
        )
        self.keys_stale = Gauge(
            "bonafide_keys_stale", "1 while the keys file cannot be used and older keys are.", registry=self.registry
        )

        self.audit_lines = Counter("bonafide_audit_lines", "Decisions in the audit trail.", registry=self.registry)
        self.audit_unwritten = Counter(
            "bonafide_audit_unwritten", "Decisions that the audit trail could not take.", registry=self.registry
        )
        self.audit_failing = Gauge(
            "bonafide_audit_failing", "1 while the audit trail cannot be written.", registry=self.registry
        )

        for stage in ("decode", "infer"):  # a rate needs the 0 before the first
            self.dropped.labels(stage)
        for outcome in ("loaded", "failed"):
            self.loads.labels(outcome)

    def serving(self, models: Sequence[tuple[str, Manifest, float]], behind: Sequence[str]) -> None:
        """Say what is loaded, each version with its role and its share, and what could not be."""
        self.model_info.clear()
        self.model_share.clear()
        for role, manifest, share in models:
            version = (manifest.family, str(manifest.version))
            self.model_info.labels(*version, manifest.sha256).set(1)
            self.model_share.labels(*version, role).set(share)
            if role != "shadow":
                for verdict in get_args(Verdict):  # one that is never given has a share too, 0
                    self.verdicts.labels(*version, verdict)
        self.models.set(len(models))
        self.store_stale.set(bool(behind))


def log_config(level: str) -> dict[str, Any]:
    """The logging configuration of the process: one JSON object a line, on standard output."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "json": {
                "()": JsonFormatter,
                "fmt": "%(asctime)s %(levelname)s %(name)s %(message)s",
                "rename_fields": {"asctime": "time", "levelname": "level", "name": "logger"},
                "datefmt": "%Y-%m-%dT%H:%M:%S%z",
            }
        },
        "handlers": {"stdout": {"class": "logging.StreamHandler", "formatter": "json", "stream": sys.stdout}},
        "root": {"handlers": ["stdout"], "level": level},
    }
