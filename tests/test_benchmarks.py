"""The benchmarks compare equals, and count right. How fast anything is, is not for a test to say."""

import asyncio
import email
import inspect
import io
import itertools
import json
import math
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import onnx
import pytest
from fastapi import UploadFile
from onnx import helper, numpy_helper

from benchmarks import (
    arrivals,
    clips,
    compare,
    floor,
    lit_service,
    load,
    mosec_service,
    overload,
    pareto,
    report,
    rounds,
    servers,
    stages,
    stats,
)
from benchmarks.__main__ import Apart
from benchmarks.arrivals import Arrivals, arrive
from benchmarks.as_shipped import HIDDEN
from benchmarks.cost import Costs, Length
from benchmarks.obvious import ObviousDetector
from benchmarks.phases import Open
from benchmarks.prober import Prober
from benchmarks.results import Results, Start
from benchmarks.rounds import Batch, Case, Loads
from benchmarks.servers import Memory, Server
from model_store import audio
from model_store.detector import Detector
from model_store.manifest import ONNX_FILE
from model_store.store import Store

# The obvious service ----------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:.*slated for removal:DeprecationWarning")  # librosa loads audioread's backends
def test_the_obvious_service_gives_the_logits_of_the_detector(store: Path) -> None:
    folder = Store(store).resolve("simple_cnn")
    detector, obvious = Detector.load(folder), ObviousDetector(folder)
    for clip in clips.encoded().values():
        waveform = audio.decode(clip.data, sample_rate=detector.manifest.input.sample_rate).waveforms[0]
        logits = [segment.logit for segment in detector.score([waveform])[0].segments]
        assert rounds.greatest_difference(logits, obvious.logits(io.BytesIO(clip.data))) <= 1e-3


@pytest.mark.filterwarnings("ignore:.*slated for removal:DeprecationWarning")
def test_the_engines_give_the_logits_of_the_obvious_service(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = Store(store).resolve("simple_cnn")
    obvious, sent = ObviousDetector(folder), list(clips.encoded().values())
    expected = [obvious.logits(io.BytesIO(clip.data)) for clip in sent]
    lit = lit_service.DetectorAPI(folder)
    lit.setup("cpu")
    forms = [{"file": UploadFile(io.BytesIO(clip.data))} for clip in sent]
    answers = lit.unbatch(lit.predict(lit.batch([lit.decode_request(form) for form in forms])))
    monkeypatch.setenv(servers.MOSEC_ARTIFACT, str(folder))
    decode, infer = mosec_service.Decode(), mosec_service.Infer()
    mosec = infer.forward([decode.forward(decode.deserialize(clip.data)) for clip in sent])
    for logits, one, other in zip(expected, answers, mosec, strict=True):
        assert rounds.greatest_difference(logits, lit.encode_response(one)["logits"]) <= 1e-4
        assert rounds.greatest_difference(logits, other["logits"]) <= 1e-4


@pytest.mark.parametrize("command", ["benchmarks", "benchmarks.overload", "benchmarks.compare"])
def test_help_is_the_commands_own(command: str) -> None:
    """Mosec reads the arguments of whoever imports it."""
    asked = [sys.executable, "-m", command, "--help"]
    found = subprocess.run(asked, capture_output=True, text=True, timeout=120, check=True)
    assert f"usage: python -m {command} " in found.stdout


def test_a_difference_between_the_two_stops_the_benchmark() -> None:
    assert rounds.greatest_difference([1.0, -2.0], [1.0, -2.0005]) == pytest.approx(5e-4)
    with pytest.raises(RuntimeError, match="same logit"):
        rounds.greatest_difference([1.0, -2.0], [1.0, -2.002])
    with pytest.raises(RuntimeError, match="same logit"):
        rounds.greatest_difference([1.0], [math.nan])


def test_the_clips_pass_for_speech(store: Path) -> None:
    detector = Detector.load(Store(store).resolve("simple_cnn"))
    waveform = clips.speech(4.0, sample_rate=detector.manifest.input.sample_rate)
    assert detector.score([waveform])[0].speech_seconds > 1.5
    assert detector.score([np.zeros_like(waveform)])[0].speech_seconds == 0


def test_a_multipart_body_holds_the_clips() -> None:
    sent = list(clips.encoded(seconds=0.3).values())
    body, content_type = clips.multipart("files", sent)
    message = email.message_from_bytes(f"Content-Type: {content_type}\r\n\r\n".encode() + body)
    assert [part.get_param("name", header="content-disposition") for part in message.get_payload()] == ["files"] * 3
    received = [part.get_payload(decode=True) for part in message.get_payload()]
    assert [data[:64] for data in received] == [clip.data[:64] for clip in sent]
    assert sum(body.count(clip.data) for clip in sent) == 3


def test_what_is_hidden_from_the_service_is_not_a_requirement_of_it() -> None:
    folder = Path(__file__).parent.parent / "requirements"
    service, development = ((folder / name).read_text() for name in ("service.txt", "dev.txt"))
    for distribution in HIDDEN.values():
        assert f"\n{distribution}==" not in service
        assert f"\n{distribution}==" in development


def test_the_service_as_shipped_imports_nothing_that_its_lock_does_not_have(store: Path) -> None:
    """What Keras and others import wherever they find it would count as the service's memory and start."""
    code = """
        import sys
        from importlib.metadata import packages_distributions
        from pathlib import Path
        from benchmarks.as_shipped import HIDDEN
        sys.modules.update(dict.fromkeys(HIDDEN))
        import service.__main__
        from model_store.detector import Detector
        Detector.load(Path(sys.argv[1]))
        found = packages_distributions()
        modules = {name.partition(".")[0] for name, module in sys.modules.items() if module}
        print(*{name for module in modules for name in found.get(module, [])})
    """
    command = [sys.executable, "-c", inspect.cleandoc(code), str(store / "simple_cnn" / "1")]
    said = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
    locked = (Path(__file__).parent.parent / "requirements" / "service.txt").read_text()
    names = {re.sub(r"[-_.]+", "-", name).lower() for name in said.split()} - {"bonafide"}
    assert {"keras", "numpy", "fastapi"} <= names
    assert [name for name in names if f"\n{name}==" not in locked] == []


# Servers ----------------------------------------------------------------------------------------------------


def test_a_server_is_measured_with_all_that_it_starts() -> None:
    child = "x = bytearray(60_000_000)\nwhile True: pass"
    code = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    process = subprocess.Popen([sys.executable, "-c", code], start_new_session=True)
    try:
        server = Server("ours", "", process.pid, 0.0)
        until = time.monotonic() + 60
        while not (server.cpu_seconds() > 0.3 and server.memory().rss_mb > 60):  # the parent itself only waits
            assert time.monotonic() < until
            time.sleep(0.02)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@pytest.mark.parametrize(("number", "nohup"), [("TERM", False), ("HUP", False), ("HUP", True)])
def test_who_is_told_to_end_ends_its_servers(store: Path, tmp_path: Path, number: str, nohup: bool) -> None:
    """One that is stopped, too; under nohup a terminal that is closed ends nothing."""
    script = f"""
import pathlib, signal, sys, time
from benchmarks import servers
signal.signal(signal.SIGHUP, signal.SIG_{"IGN" if nohup else "DFL"})  # whatever these tests run under
servers.told_to_end()
store, log = map(pathlib.Path, sys.argv[1:])
with servers.ours(store, "simple_cnn", log=log, settings=dict(BONAFIDE_RUNTIME="onnx")) as server:
    with servers.alone(servers.Server("another", "", 0, 0.0), [server]):
        print(server.pid, flush=True)
        time.sleep({1 if nohup else 60})
"""
    command = [sys.executable, "-c", script, store, tmp_path / "log"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        pid = int(process.stdout.readline())
        process.send_signal(getattr(signal, f"SIG{number}"))
        process.communicate(timeout=60)
    try:
        assert (process.returncode == 0) is nohup
        assert not Path(f"/proc/{pid}").exists()
    finally:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


# The floor --------------------------------------------------------------------------------------------------


def _graph() -> onnx.ModelProto:
    """(n, 8) -> a matrix -> (n, 1, 3, 4) -> two convolutions in a row, and a third beside them."""
    tensors = {"matrix": (8, 12), "first": (2, 1, 3, 3), "second": (5, 2, 1, 1), "beside": (2, 1, 1, 3)}
    nodes = [
        helper.make_node("MatMul", ["windows", "matrix"], ["bands"]),
        helper.make_node("Reshape", ["bands", "shape"], ["features"]),
        helper.make_node("Conv", ["features", "first"], ["x"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["x"], ["y"]),
        helper.make_node("Conv", ["y", "second"], ["z"]),
        helper.make_node("Conv", ["features", "beside"], ["w"]),
    ]
    constants = [numpy_helper.from_array(np.ones(shape, np.float32), name) for name, shape in tensors.items()] + [
        numpy_helper.from_array(np.array([-1, 1, 3, 4]), "shape")
    ]
    start = helper.make_tensor_value_info("windows", onnx.TensorProto.FLOAT, ["n", 8])
    ends = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in ("z", "w")]
    graph = helper.make_graph(nodes, "graph", [start], ends, constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])


def test_products_are_counted_as_by_hand() -> None:
    model = _graph()
    matrix, first, second, beside = 8 * 12, 2 * 3 * 4 * 9, 5 * 3 * 4 * 2, 2 * 3 * 2 * 3
    assert floor.products(floor.of_one_window(model).graph) == 2 * (matrix + first + second + beside)
    front = floor.front_end(model)
    assert [node.op_type for node in front.graph.node] == ["MatMul", "Reshape"]
    assert floor.products(floor.of_one_window(front).graph) == 2 * matrix
    with pytest.raises(ValueError, match="where shapes are known"):
        floor.products(onnx.shape_inference.infer_shapes(model).graph)


def test_the_count_of_an_artifact_is_that_of_its_network(store: Path) -> None:
    model = onnx.load(Store(store).resolve("simple_cnn") / ONNX_FILE)
    whole, front = (floor.products(floor.of_one_window(part).graph) for part in (model, floor.front_end(model)))
    assert 0 < front < whole


@pytest.mark.parametrize("module", ["floor", "cost", "stages"])
def test_a_process_of_its_own_multiplies_on_one_thread(module: str) -> None:
    script = (
        f"import benchmarks.{module}, threadpoolctl; print([p['num_threads'] for p in threadpoolctl.threadpool_info()])"
    )
    environment = {name: value for name, value in os.environ.items() if name != "OPENBLAS_NUM_THREADS"}
    said = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert set(json.loads(said.stdout)) == {1}


def test_a_share_of_the_floor_is_of_rounds() -> None:
    timed = [floor.Timed("onnx", 2, [0.004, 0.002]), floor.Timed(floor.FRONT_END, 2, [0.001, 0.001])]
    found = floor.Floor(window_mflop=50.0, front_end_mflop=10.0, peak_gflops=[50.0, 100.0], timed=timed)
    assert found.share("onnx", 2) == stats.Spread(0.5, 0.5, 0.5)  # of the medians: 0.444
    assert found.network_ms(2) == pytest.approx(1.0)


# Cost and error ---------------------------------------------------------------------------------------------


def test_the_front_is_what_nothing_beats(tmp_path: Path) -> None:
    figures = {"cheap": (0.2, 1.0), "knee": (0.1, 2.0), "beaten": (0.15, 3.0), "dear": (0.09, 9.0), "same": (0.1, 2.5)}
    points = [pareto.Point(name, "se_resnet on lfcc", 1, eer, ms) for name, (eer, ms) in figures.items()]
    assert [point.name for point in pareto.front(points)] == ["cheap", "knee", "dear"]
    pareto.plot(points, tmp_path / "pareto.png")
    assert (tmp_path / "pareto.png").read_bytes().startswith(b"\x89PNG")


# Statistics -------------------------------------------------------------------------------------------------


def test_a_spread_is_the_median_and_the_range() -> None:
    assert stats.spread([3.0, 1.0, 2.0]) == stats.Spread(2.0, 1.0, 3.0)
    assert stats.spread([4.0, 1.0]) == stats.Spread(2.5, 1.0, 4.0)
    assert f"{stats.spread([1.0, 2.0, 4.0]):.1f}" == "2.0 (1.0 to 4.0)"
    with pytest.raises(ValueError, match="at least one"):
        stats.spread([])


def test_ratios_are_of_rounds() -> None:
    assert stats.ratios([10.0, 30.0], [1.0, 2.0]) == [10.0, 15.0]  # the ratio of the means would be 13.3
    with pytest.raises(ValueError, match="shorter"):
        stats.ratios([1.0, 2.0], [1.0])


def test_percentiles_are_in_milliseconds() -> None:
    latencies = [number / 1000 for number in range(101)]
    assert stats.percentile_ms(latencies, 50) == pytest.approx(50)
    assert stats.percentile_ms(latencies, 99) == pytest.approx(99)


def test_growth_tells_linear_from_quadratic() -> None:
    lengths = [1.0, 10.0, 100.0]
    assert stats.growth(lengths, [0.5 * length for length in lengths]) == pytest.approx(1)
    assert stats.growth(lengths, [0.1 * length**2 for length in lengths]) == pytest.approx(2)


def test_costs_of_a_request_are_over_those_that_succeeded() -> None:
    loads = Loads()
    outcome = load.Outcome([0.1, 0.1, 0.1, 0.1], errors=6, elapsed_seconds=2.0, cpu_seconds=0.004)
    loads.add(outcome, server_cpu_seconds=0.8)
    loads.add(load.Outcome([0.1], errors=1, elapsed_seconds=0.5, cpu_seconds=0.002), server_cpu_seconds=0.3)
    assert loads.throughput == [2.0, 2.0]
    assert loads.server_cpu_ms == pytest.approx([200, 300])
    assert loads.client_cpu_ms == pytest.approx([1, 2])
    assert loads.errors == 7


def test_a_server_that_answers_nothing_stops_the_benchmark(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        url = f"http://127.0.0.1:{closed.getsockname()[1]}"
    gone, case = Server("ours", url, os.getpid(), 0.0), Case("pcm16", 1, ("ours",))
    with pytest.raises(RuntimeError, match="no answer from 'ours'"):
        rounds.one_load(gone, case, clips.encoded(seconds=0.1), Loads(), seconds=0.1, folder=tmp_path)


# The client -------------------------------------------------------------------------------------------------

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
BUSY = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 2\r\n\r\n{}"
CUT_SHORT = b"HTTP/1.1 200 OK\r\nContent-Length: 200\r\n\r\n{}"
NO_LENGTH = b"HTTP/1.1 200 OK\r\n\r\n{}"


async def _load(answers: Iterator[bytes], *, connections: int) -> tuple[load.Outcome, list[bytes]]:
    """What the client makes of a server that gives these answers in turn, and what that was sent."""
    bodies: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = int(head.lower().partition(b"content-length:")[2].split()[0])
                bodies.append(await reader.readexactly(length))
                answer = next(answers)
                writer.write(answer)
                if answer in {CUT_SHORT, NO_LENGTH}:
                    break
        except asyncio.IncompleteReadError:
            pass
        finally:
            writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        target = load.Target(f"http://127.0.0.1:{port}/detect", "audio/wav", b"some audio")
        outcome = await load.load(target, connections=connections, seconds=0.3)
        await asyncio.sleep(0.01)
    return outcome, bodies


@pytest.mark.parametrize("connections", [1, 4])
@pytest.mark.parametrize("fault", [BUSY, CUT_SHORT, NO_LENGTH], ids=["503", "cut short", "no length"])
def test_the_client_counts_errors_as_errors(fault: bytes, connections: int) -> None:
    given: list[bytes] = []

    def answers() -> Iterator[bytes]:
        for answer in itertools.cycle([OK, fault, OK]):
            given.append(answer)
            yield answer

    outcome, bodies = asyncio.run(_load(answers(), connections=connections))
    assert set(bodies) == {b"some audio"}
    assert outcome.errors == given.count(fault) > 0
    assert len(outcome.latencies) == given.count(OK) > 0
    assert outcome.throughput == pytest.approx(given.count(OK) / outcome.elapsed_seconds)


def test_a_server_that_is_not_there_is_an_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    target = load.Target(f"http://127.0.0.1:{port}/detect", "audio/wav", b"")
    outcome = asyncio.run(load.load(target, connections=2, seconds=0.1))
    assert outcome.errors >= 2
    assert outcome.latencies == []
    assert outcome.throughput == 0


# The report -------------------------------------------------------------------------------------------------


def _results(*, ours: list[float], errors: int = 0, rss_mb: float = 700.0) -> Results:
    servers = ("ours, onnx", "obvious", "obvious, on_batch", "LitServe")
    figures = {"client_cpu_ms": [0.1], "latencies": [0.06], "others_share": [0.0]}
    loads = {
        "ours, onnx": Loads(throughput=ours, errors=errors, server_cpu_ms=[6.0, 8.0, 6.0], **figures),
        "obvious": Loads(throughput=[10.0, 10.0, 20.0], server_cpu_ms=[90.0] * 3, **figures),
        "obvious, on_batch": Loads(throughput=[100.0] * 3, server_cpu_ms=[12.0, 12.0, 24.0], **figures),
        "LitServe": Loads(throughput=[100.0, 110.0, 120.0], server_cpu_ms=[12.0] * 3, **figures),
    }
    cases = {
        Case("pcm16", 8, servers): loads,
        Case("pcm16", 8, servers[:1], raw=True): {servers[0]: loads[servers[0]]},
    }
    lengths = [Length(seconds, 1e-4 * seconds, 3e-3 * seconds, 0.5 * seconds) for seconds in (1.0, 10.0, 60.0)]
    timed = [floor.Timed("onnx", 8, [0.04] * 3), floor.Timed(floor.FRONT_END, 8, [0.016] * 3)]
    return Results(
        machine={"cores": "2"},
        model="simple_cnn@1",
        logit_difference=1e-6,
        clip_windows={"pcm16": 2},
        clip_names={"pcm16": "WAV PCM16 16 kHz"},
        starts={"ours, onnx": [Start(1.4, 1.5), Start(1.4, 1.5)], "obvious": [Start(4.0, 5.0)]},
        loads=cases,
        memory={"ours, onnx": Memory(rss_mb, 200.0), "obvious": Memory(900.0, 800.0)},
        batches=[Batch("ours, onnx", "WAV PCM16 16 kHz", 100, [180.0, 190.0, 200.0], 300.0)],
        costs={"ours, onnx": Costs(model_clips_per_second=200.0, lengths=lengths)},
        floor=floor.Floor(350.0, 50.0, [100.0] * 3, timed),
    )


def test_goals_are_met_or_missed() -> None:
    good = {goal.what.removeprefix("ours, onnx: "): goal for goal in _results(ours=[200.0, 240.0, 480.0]).goals()}
    assert {what: goal.measured for what, goal in good.items() if not goal.met} == {
        # 6 ms a request, of which the network is 2 windows of 3 ms
        "resident after load": "668 MiB",
    }
    assert good["HTTP, decode, resampling and front end, of the network's time"].measured == "0 (0 to 33) %"
    assert good["speed of the model's call, of float32's floor"].measured == "70 (70 to 70) %"
    assert good["`/batch` of 100, of the model's own rate"].measured == "95 (90 to 100) %"
    assert good["CPU a request, obvious, on_batch ÷ ours"].measured == "2.00 (1.50 to 4.00)"
    slow = [goal for goal in _results(ours=[90.0, 90.0, 230.0], errors=1, rss_mb=200.0).goals() if not goal.met]
    assert [goal.what.removeprefix("ours, onnx: ") for goal in slow] == [
        "requests of ours that failed",
        "throughput, 8 clients, ÷ obvious",
        "throughput, 8 clients, ÷ LitServe",
    ]


@pytest.mark.parametrize("module", ["cost", "floor", "pareto", "stages"])
def test_what_is_not_there_is_named_in_a_sentence(module: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", f"benchmarks.{module}", str(tmp_path / "none")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("cannot measure: ")
    assert str(tmp_path / "none") in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


def test_a_part_that_fails_costs_only_its_own_figures(tmp_path: Path) -> None:
    apart = Apart()
    assert apart.measure("stages", str(tmp_path / "none")) is None
    whole = _results(ours=[200.0, 240.0, 480.0])
    cut = replace(whole, costs={}, floor=None, failed=apart.failed)
    lost = {goal.what.removeprefix("ours, onnx: ") for goal in set(whole.goals()) - set(cut.goals())}
    assert lost == {
        "speed of the model's call, of float32's floor",
        "`/batch` of 100, of the model's own rate",
        "HTTP, decode, resampling and front end, of the network's time",
        "memory that a clip of 60 s takes",
    }
    report.write(cut, tmp_path)
    text = (tmp_path / "results.md").read_text(encoding="utf-8")
    assert "**Not measured, since it failed: benchmarks.stages ended with 1.**" in text
    assert "| ours, onnx | WAV PCM16 16 kHz | 100 | 190 (180 to 200) |  | 300 |" in text


def test_the_report_is_written(tmp_path: Path) -> None:
    report.write(_results(ours=[200.0, 240.0, 480.0]), tmp_path)
    text = (tmp_path / "results.md").read_text(encoding="utf-8")
    assert "| ours, onnx: throughput, 8 clients, ÷ obvious | ≥ 20 | 24.00 (20.00 to 24.00) | met |" in text
    assert "| ours, onnx | WAV PCM16 16 kHz | 100 | 190 (180 to 200) | 95 | 300 |" in text
    assert "| onnx | 8 | 5.00 (5.00 to 5.00) | 70 |" in text
    assert "to the power of 1.00" in text
    assert json.loads((tmp_path / "results.json").read_text())["loads"][0]["throughput"] == [200.0, 240.0, 480.0]
    assert all((tmp_path / name).read_bytes().startswith(b"\x89PNG") for name in ("throughput.png", "lengths.png"))


@pytest.mark.parametrize(("share", "quiet"), [(0.05, True), (0.4, False)])
def test_a_run_beside_others_says_so(share: float, quiet: bool) -> None:
    results = _results(ours=[100.0, 120.0, 230.0])
    for loads in next(iter(results.loads.values())).values():
        loads.others_share = [share]
    assert ("not a quiet machine" in "\n".join(report.markdown(results))) is not quiet


# Overload ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", [False, True])
def test_arrivals_come_at_their_times_whatever_is_answered(fault: bool) -> None:
    answers = itertools.cycle([OK, BUSY.replace(b"503", b"429")])

    async def scenario() -> Arrivals:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with closing(writer), suppress(asyncio.IncompleteReadError, OSError):
                while head := await reader.readuntil(b"\r\n\r\n"):
                    await reader.readexactly(int(head.lower().partition(b"content-length:")[2].split()[0]))
                    if fault:
                        break
                    await asyncio.sleep(0.05)
                    writer.write(next(answers))

        async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
            target = load.Target(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/", "audio/wav", b"audio")
            found = await arrive(target, rate=200.0, seconds=0.5)
            server.close()
            await server.wait_closed()
            await asyncio.sleep(0.2)
            return found

    found = asyncio.run(scenario())
    sent = len(found.late_seconds)
    assert 50 < sent < 200  # of a hundred, on average
    if fault:
        assert (found.lost, found.seconds) == (sent, {})
    else:
        assert (found.lost, found.unsent, found.seconds.keys()) == (0, 0, {"200", "429"})
        assert sum(len(seconds) for seconds in found.seconds.values()) == sent
        assert min(seconds for each in found.seconds.values() for seconds in each) >= 0.05


def test_a_connection_that_is_closed_makes_room_for_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrivals, "_CONNECTIONS", 20)

    async def scenario() -> Arrivals:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with closing(writer), suppress(asyncio.IncompleteReadError, OSError):
                await reader.readuntil(b"audio")
                writer.write(OK)

        async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
            target = load.Target(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/", "audio/wav", b"audio")
            return await arrive(target, rate=100.0, seconds=1.0)

    found = asyncio.run(scenario())
    assert found.unsent < 10
    assert len(found.seconds["200"]) + found.lost + found.unsent == len(found.late_seconds)


def _overload(**changes: object) -> dict[str, object]:
    percentiles = {"p50": 1.0, "p99": 5.0, "max": 900.0}
    load_ = {
        "capacity": [100.0, 110.0, 100.0],
        "answer_ms": [10.0, 11.0, 10.0],
        "loop_ms": [1.0, 1.0, 1.0],
        "offered": [1_000.0, 1_100.0],
        "answered": [95.0, 94.0],
        "kept": [0.905, 0.895],
        "answers_share": [0.95, 0.97],
        "refused": [900.0, 1_000.0],
        "refusal_us": [40.0, 50.0],
        "service_cores": 1,
        "client_cpu_share": [0.3, 0.3],
        "statuses": {"200": 950, "429": 9_050},
        "lost": 0,
        "unsent": 0,
        "admitted_ms": percentiles,
        "shed_ms": percentiles,
        "client_late_ms": percentiles,
        "probes_ms": {"/metrics": percentiles},
        "probes_failed": 0,
        **changes,
    }
    return {"seconds": 10.0, "overload": load_, "switches": {"switches": 20, "failed": 0}}


@pytest.mark.parametrize(
    ("changes", "missed"),
    [
        ({}, []),
        ({"kept": [0.905, 0.893]}, [3]),
        ({"statuses": {"200": 950, "429": 9_049, "500": 1}}, [0]),
        ({"lost": 1}, [0]),
        ({"shed_ms": {"p50": 1.0, "p99": 101.0, "max": 102.0}}, [1]),
        ({"admitted_ms": {"p50": 1.0, "p99": 101.0, "max": 10_001.0}}, [2]),
        ({"probes_ms": {"/metrics": {"p50": 1.0, "p99": 51.0, "max": 52.0}}}, [4]),
        ({"probes_failed": 1}, [4]),
    ],
)
def test_promises_under_overload_are_met_or_missed(changes: dict[str, object], missed: list[int]) -> None:
    found = _overload(**changes)
    assert [place for place, goal in enumerate(overload.goals(found)) if not goal.met] == missed
    said = overload.table(found)
    assert said.count("| missed |") == len(missed)
    assert "a refusal 45 (40 to 50) µs: refusals took 4.3 (3.6 to 5.0) % of the cores" in said
    assert "96 % of the CPU time that it got went into answers" in said


def test_a_service_at_several_times_what_it_can_do(store: Path, tmp_path: Path) -> None:
    """A short run, of a small model, on whatever machine: how fast it is is not asked."""
    (tmp_path / "clip").write_bytes(clips.encoded(seconds=2.0)["ulaw"].data)
    settings = {"BONAFIDE_RUNTIME": "onnx", "BONAFIDE_MAX_QUEUE_CLIPS": "60", "BONAFIDE_DEADLINE_SECONDS": "60"}
    cores = os.sched_getaffinity(0)
    with servers.ours(store, "simple_cnn", log=tmp_path / "log", settings=settings, cores={min(cores)}) as server:
        assert os.sched_getaffinity(server.pid) == {min(cores)}
        assert os.sched_getaffinity(0) == cores
        found = overload.overload(server, tmp_path / "clip", seconds=1.0, times=4.0)
    assert set(found["statuses"]) <= {"200", "429"}
    assert all(0 < loop < answer for loop, answer in zip(found["loop_ms"], found["answer_ms"], strict=True))
    assert found["statuses"]["200"] > 0
    assert (found["lost"], found["probes_failed"]) == (0, 0)


def test_versions_are_loaded_in_turn(store: Path, tmp_path: Path) -> None:
    """The other version answers from its own tree: one that lacks the service does not start."""
    before = tmp_path / "before"
    before.mkdir()
    for name in ("benchmarks", "model_store", "service", "openapi"):
        (before / name).symlink_to(Path.cwd() / name)
    cases = [Case("pcm16", 2, (compare.HERE, str(before)))]
    run = partial(compare.compare, cases=cases, store=store, model="simple_cnn", runtime="keras", seconds=0.2, count=2)
    found = run([before])
    assert [len(loads.throughput) for loads in found[cases[0]].values()] == [2, 2]
    first, second = compare.table(found).splitlines()[2:]
    assert first.startswith("| pcm16, 2 clients | this | ")
    assert " | 1.00 (1.00 to 1.00) | " in first
    assert first.endswith(" | 0 |")
    found[cases[0]][str(before)].errors = 7  # throughput and latency are of the others
    assert str(before) in second
    assert compare.table(found).endswith(" | 7 |")
    (before / "service").unlink()
    with pytest.raises(RuntimeError, match="A server is ready"):
        run([before])
    with pytest.raises(RuntimeError, match="trees of their own"):
        run([before, before])


def test_a_refusal_is_what_the_loop_took_beyond_answers() -> None:
    arrivals = Arrivals(seconds={"200": [0.1] * 50, "429": [0.01] * 400}, answered_in_time=40, elapsed_seconds=2.0)
    prober = Prober(Server("ours", "http://none", 0, 0.0))
    found = Open(arrivals, prober, cpu_seconds=0.54, loop_seconds=0.07)
    assert found.answered == 20.0
    assert found.answers_share(9.72) == pytest.approx(0.9)
    assert found.refusal_ms(1.0) == pytest.approx(0.05)  # 70 ms, of which 50 answers took 1 ms each


def test_a_server_is_alone_while_it_is_measured() -> None:
    """One that is idle and yet busy takes nothing then, nor does a process below it, and goes on afterwards."""
    spins = "import os\nos.fork()\nwhile True: pass"
    with subprocess.Popen([sys.executable, "-c", spins]) as process:
        busy, measured = (Server(name, "", pid, 0.0) for name, pid in (("busy", process.pid), ("ours", os.getpid())))

        def taken(seconds: float = 0.3) -> float:
            before = busy.cpu_seconds()
            time.sleep(seconds)
            return busy.cpu_seconds() - before

        try:
            taken(1.0)
            with servers.alone(measured, [busy, measured]):
                time.sleep(0.1)
                assert taken() <= 0.02
            assert taken() > 0.05
        finally:
            busy.signal(signal.SIGKILL)


def test_a_stage_counts_what_it_computes_and_not_what_it_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    def computes() -> None:
        end = time.process_time() + 0.003
        while time.process_time() < end:
            pass

    def waits() -> None:
        time.sleep(0.01)
        sum(range(50_000))  # a little, or it would be waited for in vain

    monkeypatch.setattr(stages, "_ROUNDS", 1)
    monkeypatch.setattr(stages, "_STAGE_SECONDS", 0.005)
    found = stages.measure({"computes": computes, "waits": waits})
    assert 0.003 <= found["computes"] < 0.01
    assert found["waits"] < 0.003
