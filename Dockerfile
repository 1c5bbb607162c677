# The service, without the sandbox. Data (SQLite's file, unless a database is named) is in /data; nothing else is written,
# so the root file system can be read-only. The tag moves: build what you run with
# --build-arg BASE_IMAGE=public.ecr.aws/docker/library/python:3.12-slim@sha256:… (README.md of deploy/kubernetes, step 1).
ARG BASE_IMAGE=public.ecr.aws/docker/library/python:3.12-slim

FROM ${BASE_IMAGE} AS build
WORKDIR /src
RUN python3 -m venv /build && python3 -m venv --without-pip /opt/wharfinger
# Before the sources: a change of the code alone reuses these layers.
COPY requirements-build.lock requirements.lock ./
RUN /build/bin/pip install --no-cache-dir --require-hashes --no-deps --requirement requirements-build.lock
RUN /build/bin/pip --python /opt/wharfinger/bin/python install --no-cache-dir --only-binary :all: \
    --require-hashes --no-deps --requirement requirements.lock
COPY pyproject.toml README.md LICENSE ./
COPY api api
COPY service service
COPY migrations migrations
RUN /build/bin/pip wheel --no-cache-dir --no-build-isolation --no-deps --wheel-dir /wheels . \
    && /build/bin/pip --python /opt/wharfinger/bin/python install --no-cache-dir --no-index --no-deps /wheels/*.whl \
    && install --directory --owner 10001 --group 10001 /data

FROM ${BASE_IMAGE}
COPY --from=build /opt/wharfinger /opt/wharfinger
COPY --from=build --chown=10001:10001 /data /data
ENV HOME=/data \
    PATH=/opt/wharfinger/bin:${PATH} \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    WHARFINGER__DATA_DIR=/data \
    WHARFINGER__HOST=0.0.0.0 \
    WHARFINGER__PORT=8080
# A number, so that Kubernetes can check runAsNonRoot.
USER 10001:10001
WORKDIR /data
VOLUME /data
EXPOSE 8080
STOPSIGNAL SIGTERM
# The slim base has no curl.
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s \
    CMD ["python3", "-c", "import os, urllib.request; urllib.request.urlopen('http://127.0.0.1:' + os.environ['WHARFINGER__PORT'] + '/healthz', timeout=2)"]
ENTRYPOINT ["wharfinger"]
CMD ["serve"]
