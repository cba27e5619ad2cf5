# The tracker alone, from its wheel, in a slim image, as a user without rights.
#
#   docker build -t tracker .
#   docker run -e TRACKER_PUBLIC_WITHOUT_KEYS=true -p 127.0.0.1:8000:8000 -v tracker-data:/var/lib/tracker tracker
#
# The variable: see docs/howto/docker.md. It is not set here, as it is for who runs the image to say.

FROM python:3.11-slim AS build
WORKDIR /source
COPY pyproject.toml setup.cfg README.md LICENSE ./
COPY config config
# tracker/config is a link to ../config: both must be here, or the wheel would lack its defaults.
COPY tracker tracker
RUN python -m venv /opt/tracker \
    && python -m pip wheel --no-cache-dir --no-deps --wheel-dir /wheels . \
    && /opt/tracker/bin/pip install --no-cache-dir --disable-pip-version-check /wheels/*.whl \
    && /opt/tracker/bin/tracker --version

FROM python:3.11-slim
RUN useradd --system --uid 10001 --home-dir /var/lib/tracker --shell /usr/sbin/nologin tracker \
    && install --directory --owner=tracker --group=tracker --mode=0750 /var/lib/tracker
COPY --from=build /opt/tracker /opt/tracker
ENV PATH=/opt/tracker/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
USER 10001
WORKDIR /var/lib/tracker
# The journal is the truth: it must outlive the container.
VOLUME /var/lib/tracker
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s --retries=3 \
    CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8000/-/healthz', timeout=2).close()"]
# Exec form: the supervisor is process 1, gets the signals itself and waits for its children. It does not wait for
# strangers; where workers are killed often, `docker run --init` has their remains taken away.
ENTRYPOINT ["tracker"]
# 0.0.0.0 is the container's own network; which address of the host reaches it is for `docker run -p` to say.
CMD ["serve", "--bind", "0.0.0.0:8000", "--data-dir", "/var/lib/tracker", "--no-tail"]
