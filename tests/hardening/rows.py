"""The table of docs/hardening.md as code: an attack, what it does to the call that anybody would write first, and what
this service answers. `ELSEWHERE` has the rows that other tests hold, by those tests' names.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

from tests.hardening import attacks
from tests.hardening.attacks import MULTIPART, Sent


@dataclass(frozen=True, slots=True)
class Row:
    """An attack that is one request.

    `default` is what `unprotected` tells of the call in `call`; `answer` what `measure` tells of this service's answer,
    within `cpu_seconds` of the service's processor time and `growth_mb` of its memory.
    """

    name: str
    attack: str
    call: str
    default: str
    answer: str
    send: Callable[[], Sent]
    cpu_seconds: float = 1.0
    growth_mb: float = 50.0


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """An attack or a fault that takes more than a request, and the tests that make it."""

    attack: str
    default: str
    promise: str
    tests: tuple[str, ...]


READ = "`soundfile.read`"
FORM = "`await request.form()`"
ROWS = (
    Row(
        "constant_frames",
        "48 KB of FLAC: 90 minutes of constant frames, 8 channels",
        READ,
        "MemoryError at 2 GB",
        "422 too_many_channels",
        lambda: Sent(attacks.constant_frames()),
    ),
    Row(
        "one_value",
        "24 KB of FLAC: ten minutes of one value at 192 kHz",
        READ,
        "takes 460 MB",
        "200, 1 channel scored, as silence",
        lambda: Sent(attacks.one_value()),
        cpu_seconds=10.0,
        growth_mb=250.0,
    ),
    Row(
        "day_of_silence",
        "24 h of silence in a few MB of Ogg Vorbis",
        READ,
        "MemoryError at 2 GB",
        "422 too_long",
        lambda: Sent(attacks.day_of_silence()),
    ),
    Row(
        "one_hertz",
        "31 KB of WAV that claims 1 Hz",
        "`soxr.resample` to 16 kHz",
        "MemoryError at 2 GB",
        "422 sample_rate_out_of_range",
        lambda: Sent(attacks.one_hertz()),
    ),
    Row(
        "flac_claims_most",
        "FLAC that claims 2^36 - 1 samples",
        READ,
        "MemoryError at 2 GB",
        "422 too_long",
        lambda: Sent(attacks.flac_claiming(2**36 - 1)),
    ),
    Row(
        "flac_of_no_length",
        "FLAC that claims no length, as a pipe's does",
        READ,
        "ValueError, which no handler of audio errors expects",
        "200, 1 channel scored",
        lambda: Sent(attacks.flac_claiming(0)),
    ),
    Row(
        "nan",
        "a sample that is NaN",
        READ,
        "passes it on",
        "422 non_finite_samples",
        lambda: Sent(attacks.not_finite(math.nan)),
    ),
    Row(
        "inf",
        "a sample that is infinite",
        READ,
        "passes it on",
        "422 non_finite_samples",
        lambda: Sent(attacks.not_finite(math.inf)),
    ),
    Row(
        "beyond_float32",
        "a sample of 1e300, infinite as float32",
        READ,
        "passes it on",
        "422 non_finite_samples",
        lambda: Sent(attacks.not_finite(1e300)),
    ),
    Row(
        "anti_phase",
        "stereo with L = -R",
        "the mean of the channels",
        "silence",
        "200, 2 channels scored",
        lambda: Sent(attacks.anti_phase()),
    ),
    Row(
        "not_audio",
        "bytes that are no audio",
        "`librosa.load`",
        "starts programs",
        "415 unsupported_format",
        lambda: Sent(b"not audio" * 100),
    ),
    Row(
        "heap_addresses",
        "a WAV that breaks off in its header",
        f"the text of {READ}'s error",
        "has an address of the heap",
        "422 undecodable",
        lambda: Sent(b"RIFF\0\0\0\0WAVEjunk"),
    ),
    Row(
        "chunked_body",
        "200 MB in chunks, without a length",
        "`await request.body()`",
        "takes and keeps them",
        "413 body_too_large",
        lambda: Sent(attacks.megabytes(200)),
        growth_mb=100.0,  # the 64 MiB that it may be
    ),
    Row(
        "declared_body",
        "200 MB with their length declared",
        "`await request.body()`",
        "takes and keeps them",
        "413 body_too_large",
        lambda: Sent(bytes(200_000_000)),
    ),
    Row(
        "many_fields",
        "1,001 fields in a form",
        FORM,
        "400, application/json",
        "400 malformed_request",
        lambda: Sent(attacks.many_fields(), MULTIPART),
    ),
    Row(
        "many_files",
        "2,000 files in a form",
        FORM,
        "400, application/json",
        "400 malformed_request",
        lambda: Sent(attacks.many_files(), MULTIPART, "/batch"),
    ),
    Row(
        "huge_part_header",
        "a part of a form with a header of 20 MB",
        FORM,
        "400, application/json",
        "400 malformed_request",
        lambda: Sent(attacks.huge_part_header(), MULTIPART, "/batch"),
    ),
)
ELSEWHERE = (
    Elsewhere(
        "FLAC that libsndfile 1.2.2 cannot read",
        "an error",
        "decoded by the second decoder",
        ("test_audio.py::test_eight_real_flacs_that_libsndfile_cannot_read",),
    ),
    Elsewhere(
        "bytes that are no HTTP",
        "400, text/plain",
        "400 malformed_request, a problem as any",
        ("test_protocol.py::test_bytes_that_are_no_http_are_a_problem",),
    ),
    Elsewhere(
        "a body behind an `Upgrade` to h2c, as Java's client sends it, or to a WebSocket",
        "lost, and read as the next request",
        "the `Upgrade` is ignored: the body is kept, and read once",
        (
            "test_protocol.py::test_an_upgrade_is_ignored",
            "test_protocol.py::test_a_body_after_an_upgrade_is_no_request",
            "test_protocol.py::test_a_websocket_is_answered_as_a_request",
        ),
    ),
    Elsewhere(
        "20 MB of request headers",
        "200: uvicorn takes them",
        "400 malformed_request at 64 KiB",
        ("test_protocol.py::test_a_head_without_an_end_is_ended",),
    ),
    Elsewhere(
        "100 slow connections, in the header or in the body",
        "uvicorn keeps them all",
        "closed by the shipped nginx; a body by the app too",
        (
            "test_nginx.py::test_a_hundred_slow_connections_are_closed",
            "test_problems.py::test_a_body_that_does_not_arrive_is_not_waited_for",
        ),
    ),
    Elsewhere(
        "overload",
        "`--limit-concurrency` fails the health checks too",
        "429 and Retry-After at once; health and metrics answer",
        (
            "test_problems.py::test_a_full_queue_answers_at_once",
            "test_overload.py::test_what_is_refused_is_refused_before_its_body_is_there",
            "test_refusals.py::test_who_is_still_sending_sees_the_refusal_and_may_go_on",
            "test_overload.py::test_health_and_metrics_do_not_ask_for_a_place",
            "test_overload.py::test_a_batch_of_hundreds_does_not_stop_single_clips",
        ),
    ),
    Elsewhere(
        "a deadline that has passed, a client that has gone",
        "the work is still done",
        "504; what still waits is dropped, and the place is free when the work ends",
        (
            "test_problems.py::test_past_the_deadline_is_504",
            "test_overload.py::test_what_waits_past_its_deadline_is_not_scored",
            "test_engine.py::test_what_nobody_waits_for_is_not_done",
            "test_admission.py::test_a_place_is_free_when_the_last_that_works_on_it_has_ended",
        ),
    ),
    Elsewhere(
        "SIGTERM",
        "new connections are refused at once",
        "not ready first, then drained: nothing is lost",
        (
            "test_process.py::test_it_serves_logs_drains_and_ends",
            "test_process.py::test_told_to_stop_under_load_it_loses_nothing",
        ),
    ),
    Elsewhere(
        "kill -9 under load",
        "what was in work is lost",
        "that, and no more",
        ("test_process.py::test_killed_under_load_it_loses_what_was_in_work_and_no_more",),
    ),
    Elsewhere(
        "another version under load; a store that breaks meanwhile",
        "",
        "no request fails, each answer names its version; the last good one serves on, and says so",
        (
            "test_switch.py::test_switches_under_load_cost_no_answer",
            "test_switch.py::test_a_request_keeps_the_version_that_it_came_to",
            "test_switch.py::test_a_store_that_breaks_is_told_and_serves_on",
        ),
    ),
    Elsewhere(
        "no valid artifact at the start",
        "`--workers 2` exits with 0",
        "exits with 1 and one sentence",
        (
            "test_process.py::test_a_store_that_is_not_there_stops_the_start",
            "test_process.py::test_a_flipped_bit_stops_the_start",
        ),
    ),
    Elsewhere(
        'an artifact that is cut, bit-flipped, half-published, linked, in `../`; `"1\\n"` as a version',
        "",
        "never loaded",
        (
            "test_store.py::test_a_truncated_missing_or_linked_file_is_found",
            "test_store.py::test_a_flipped_bit_is_found",
            "test_store.py::test_only_real_version_folders_are_versions",
            "test_store.py::test_what_is_not_a_version_is_refused",
            "test_store.py::test_killed_at_any_step_a_publish_leaves_a_store_that_verifies",
        ),
    ),
    Elsewhere(
        "`.keras` with Lambda, a gadget or HDF5 links",
        "Keras 3.15 refuses it in safe mode",
        "refused by its hash, or for want of a signature, before Keras opens it",
        (
            "test_detector.py::test_a_flipped_byte_is_refused_before_keras_opens_the_file",
            "test_signatures.py::test_what_is_not_as_it_was_signed_is_refused_before_keras_opens_it",
            "test_signatures.py::test_what_is_opened_is_what_was_verified",
        ),
    ),
    Elsewhere(
        "words planted in audio, names and keys",
        "",
        "in no log, metric, trail or temporary file, of the service or of nginx",
        (
            "test_canary.py::test_nothing_that_a_caller_sends_is_kept",
            "test_nginx.py::test_nothing_that_a_caller_sends_is_in_the_logs",
            "test_nginx.py::test_audio_never_touches_the_disk",
        ),
    ),
    Elsewhere(
        "requests made at random and from the API's document",
        "",
        "no 5xx but 503 and 504, no answer that is not documented, memory flat",
        (
            "test_fuzz.py::test_no_request_gets_an_answer_that_it_should_not",
            "test_fuzz.py::test_the_document_tells_every_answer",
        ),
    ),
)
