# The whole project in an image that needs no network: `docker build -t fct . && docker run --rm fct` runs the pipeline
# on the data that Debian packages. README.md says how to keep what it makes. Build from a clone, not from a git worktree.

FROM debian:bookworm-slim AS builder
SHELL ["/bin/bash", "-euo", "pipefail", "-c"]
# Debian's security updates are wanted, so the versions are the release's own.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends python3.11 python3.11-venv \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /srv/fct
# An index to look in besides the default: one with CPU builds of torch makes the image some gigabytes smaller.
ARG PIP_EXTRA_INDEX_URL
# What is installed follows these two files alone: a change of the code downloads nothing.
COPY pyproject.toml requirements.lock ./
RUN --mount=type=cache,target=/root/.cache/pip \
    mkdir fct \
    && touch README.md fct/__init__.py \
    && python3.11 -m venv /opt/venv \
    && /opt/venv/bin/pip install --constraint requirements.lock --editable '.[flows,ray,stack]'
COPY . .
RUN --mount=type=cache,target=/root/.cache/pip \
    /opt/venv/bin/pip install --no-deps --editable .

FROM debian:bookworm-slim
# DVC and the record of which commit a model comes from need git; the data package is what makes the image self-contained.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends dataset-fashion-mnist git python3.11 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home --no-log-init --uid 1000 fct \
    && install --directory --owner fct --group fct /srv/fct /srv/s3
COPY --from=builder /opt/venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH \
    DO_NOT_TRACK=1 \
    DVC_NO_ANALYTICS=1 \
    FCT_DATA_MIRROR=/usr/share/datasets/fashion-mnist \
    MLFLOW_DISABLE_TELEMETRY=true \
    PYTHONUNBUFFERED=1
USER 1000
WORKDIR /srv/fct
COPY --chown=fct:fct . .
CMD ["dvc", "repro"]
