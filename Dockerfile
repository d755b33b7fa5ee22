# The application: api, scheduler, executor and the `swath` command, with what they need from the lock.
# Plain `docker build` does; deploy/build.sh gives it the base image, which needs Python >= 3.11 with venv.
ARG BASE_IMAGE=python:3.11-slim

FROM ${BASE_IMAGE} AS installed
# build/ca-certificates.crt is there only where the network has a certificate authority of its own; it stays in this stage.
COPY deploy/requirements.lock build/ca-certificates.crt* /opt/build/
COPY vendor/wheels /opt/build/wheels
# pymesos, pure Python, is published as source only.
RUN if [ -s /opt/build/ca-certificates.crt ]; then export PIP_CERT=/opt/build/ca-certificates.crt; fi \
    && python3 -m venv /opt/swath/venv \
    && /opt/swath/venv/bin/pip install --no-cache-dir --disable-pip-version-check --require-hashes \
        --only-binary :all: --no-binary pymesos --find-links /opt/build/wheels --requirement /opt/build/requirements.lock \
    && /opt/swath/venv/bin/pip uninstall --yes --quiet setuptools pip
COPY swath /opt/swath/app/swath
COPY api /opt/swath/app/api
COPY scheduler /opt/swath/app/scheduler
COPY executor /opt/swath/app/executor
COPY migrations /opt/swath/app/migrations
# Compiled now, for a container's file system may be read-only.
RUN /opt/swath/venv/bin/python -m compileall -q /opt/swath/app \
    && printf '#!/bin/sh\nexec /opt/swath/venv/bin/python -m swath.cli.main "$@"\n' > /opt/swath/venv/bin/swath \
    && chmod 755 /opt/swath/venv/bin/swath

FROM ${BASE_IMAGE}
# Numeric, so that an engine can tell that it is not root. An executor's container is given another user: it needs the engine's socket.
RUN groupadd --gid 10001 swath && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /nonexistent swath
COPY --from=installed /opt/swath /opt/swath
ENV PATH=/opt/swath/venv/bin:$PATH \
    PYTHONPATH=/opt/swath/app \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1
WORKDIR /opt/swath/app
USER 10001:10001
CMD ["swath", "--help"]
