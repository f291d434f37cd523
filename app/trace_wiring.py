"""Wires the traces, where somebody collects them."""

from typing import TYPE_CHECKING

import structlog

from app.settings import Settings

if TYPE_CHECKING:
    from app.traces import OpenTelemetryTraces

_logger = structlog.stdlib.get_logger(__name__)


def traces_of(settings: Settings) -> "OpenTelemetryTraces | None":
    """Return what sends traces; None: nobody asked for it, or its packages are missing.

    That is no reason to refuse to start: platforms set the variable for whatever they run.
    """
    if settings.otel_exporter_otlp_endpoint is None:
        return None
    try:
        from app.traces import OpenTelemetryTraces  # noqa: PLC0415 - packages of an extra
    except ModuleNotFoundError as error:
        advice = "pip install 'fluxora-streams[traces]'"
        _logger.warning("traces_unavailable", missing=error.name, advice=advice)
        return None
    return OpenTelemetryTraces(settings.otel_exporter_otlp_endpoint, settings.otel_service_name)
