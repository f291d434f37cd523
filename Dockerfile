# syntax=docker/dockerfile:1
FROM python:3.13-slim AS build
WORKDIR /src
RUN python -m venv /opt/fluxora
COPY requirements.txt ./
RUN /opt/fluxora/bin/python -m pip install --no-cache-dir --no-deps --require-hashes -r requirements.txt
COPY . .
RUN /opt/fluxora/bin/python -m pip install --no-cache-dir --no-deps .

FROM python:3.13-slim
COPY --from=build /opt/fluxora /opt/fluxora
RUN useradd --system --home-dir /nonexistent --shell /usr/sbin/nologin fluxora
USER fluxora
ENV PATH=/opt/fluxora/bin:$PATH HOST=0.0.0.0 PORT=8000 ENVIRONMENT=production
EXPOSE 8000
HEALTHCHECK CMD ["python", "-c", "import httpx; httpx.get('http://127.0.0.1:8000/health/live').raise_for_status()"]
CMD ["fluxora"]
