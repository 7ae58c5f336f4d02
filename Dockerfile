# One image for a whole hub and for each of its processes: what a container is, its command says (docker-compose.yml).
ARG PYTHON=3.12
# Others are for a card: a base with the CUDA toolkit to build on, one with its libraries to run on. Both need the same Python.
ARG BUILD_BASE=python:${PYTHON}-slim-bookworm
ARG BASE=python:${PYTHON}-slim-bookworm

FROM ${BUILD_BASE} AS build
RUN apt-get update \
 && apt-get install -y --no-install-recommends build-essential \
      $(command -v python3 >/dev/null || echo python3 python3-venv) \
 && rm -rf /var/lib/apt/lists/*
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python3 -m venv /opt/troupe
WORKDIR /src
# llama.cpp first and by itself: it takes minutes and changes seldom. Built for every x86-64-v3 or ARM processor, not for
# the one that builds; for a card see hub-gpu in docker-compose.yml.
ARG CMAKE_ARGS="-DGGML_NATIVE=OFF"
COPY constraints.txt ./
RUN /opt/troupe/bin/pip install -c constraints.txt "$(grep '^llama-cpp-python==' constraints.txt)"
COPY pyproject.toml README.md LICENSE NOTICE ./
COPY proto ./proto
COPY bus ./bus
COPY store ./store
COPY host ./host
COPY actors ./actors
COPY gateway ./gateway
COPY clients ./clients
COPY cli ./cli
# The parts of the hub: a container cannot `troupe add`.
ARG EXTRAS=llama
RUN /opt/troupe/bin/pip install -c constraints.txt ".[${EXTRAS}]"

FROM ${BASE}
# libgomp1: llama.cpp's threads.
RUN apt-get update \
 && apt-get install -y --no-install-recommends libgomp1 $(command -v python3 >/dev/null || echo python3) \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --uid 10001 --user-group --no-create-home --home-dir /var/lib/troupe --shell /usr/sbin/nologin troupe \
 && install -d -o troupe -g troupe -m 0700 /var/lib/troupe
COPY --from=build /opt/troupe /opt/troupe
ENV PATH=/opt/troupe/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    TROUPE_HOME=/var/lib/troupe
USER troupe
WORKDIR /var/lib/troupe
VOLUME /var/lib/troupe
EXPOSE 8080 50051
HEALTHCHECK --interval=15s --timeout=10s --start-period=60s --retries=3 CMD ["troupe", "alive"]
CMD ["troupe", "up"]
