# syntax=docker/dockerfile:1
# Careline as a container: `docker build -t careline .`, then see compose.yaml. The root file system may be read-only:
# everything that is written goes to /data.

FROM python:3.12-slim AS build
WORKDIR /src
RUN python -m venv /opt/careline
COPY requirements.lock ./
RUN /opt/careline/bin/pip install --no-cache-dir --disable-pip-version-check --require-hashes -r requirements.lock
COPY pyproject.toml README.md LICENSE ./
COPY alembic ./alembic
COPY core ./core
COPY state ./state
COPY tools ./tools
COPY agent ./agent
RUN /opt/careline/bin/pip install --no-cache-dir --disable-pip-version-check --no-deps --no-build-isolation .

FROM python:3.12-slim
RUN useradd --system --uid 10001 --home-dir /data --no-create-home careline \
    && mkdir /data && chown careline /data
COPY --from=build /opt/careline /opt/careline
ENV PATH=/opt/careline/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    CARELINE_HOST=0.0.0.0 \
    CARELINE_DATA_DIR=/data/knowledge \
    CARELINE_DATABASE_URL=sqlite+aiosqlite:////data/careline.db
USER careline
WORKDIR /data
VOLUME /data
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s \
    CMD ["python", "-c", "import os, urllib.request; urllib.request.urlopen('http://127.0.0.1:' + os.environ.get('CARELINE_PORT', '8000') + '/livez', timeout=2)"]
ENTRYPOINT ["careline"]
CMD ["serve"]
