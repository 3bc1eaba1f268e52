# An image with every program of Barker: docker build -t barker . && docker run barker outbox … (docs/howto/deploy.rst).
# What is installed is known by its hash, as everywhere (requirements*.txt); tests/scale/test_image.py does these steps.

FROM debian:trixie-slim AS build
# Debian's own packages are as the release has them: it keeps no older ones to pin.
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install -y --no-install-recommends ca-certificates gcc libc6-dev libssl-dev pkg-config python3-dev python3-venv
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1
WORKDIR /build
COPY requirements-build.txt requirements.txt requirements-npm.txt ./
# Proton is compiled, with TLS: up to a minute.
RUN python3 -m venv /opt/barker \
 && /opt/barker/bin/pip install -qq --require-hashes -r requirements-build.txt \
 && /opt/barker/bin/pip install -qq --require-hashes --no-build-isolation -r requirements.txt
# npm, for the pages' libraries: nothing of it is in the image.
RUN python3 -m venv npm && npm/bin/pip install -qq --require-hashes -r requirements-npm.txt
COPY webui/package.json webui/package-lock.json webui/
WORKDIR /build/webui
RUN PATH="/build/npm/bin:$PATH" npm ci --omit=dev --ignore-scripts --no-audit --no-fund --loglevel=error
WORKDIR /build
COPY pyproject.toml setup.py README.rst ./
COPY barker barker
COPY benchmarks benchmarks
COPY monitoring monitoring
COPY webui webui
RUN /opt/barker/bin/pip install -qq --no-deps --no-build-isolation . \
 && /opt/barker/bin/pip uninstall -qq -y setuptools pip \
 && /opt/barker/bin/python -m compileall -q /opt/barker/lib

FROM debian:trixie-slim
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install -y --no-install-recommends libssl3t64 python3 \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --uid 10001 --no-create-home --home-dir /var/lib/barker --shell /usr/sbin/nologin barker \
 && install -d -o barker -g barker -m 700 /etc/barker /var/lib/barker
COPY --from=build /opt/barker /opt/barker
ENV PATH=/opt/barker/bin:/usr/local/bin:/usr/bin:/bin PYTHONUNBUFFERED=1 BARKER_DATA=/var/lib/barker
# A number, so that an engine sees that it is not root.
USER 10001
WORKDIR /var/lib/barker
VOLUME /var/lib/barker
# Of the service that the container's variables are for: BARKER_PORT, BARKER_HOST, BARKER_TLS …
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s CMD ["barker", "health"]
ENTRYPOINT ["barker"]
CMD ["--help"]
