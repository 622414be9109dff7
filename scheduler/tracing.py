"""Traces by OpenTelemetry, when it is installed and an endpoint is set; else nothing at all.

Owns the only use of that library: making spans, carrying their context in commands (W3C
`traceparent`) and in headers to nodes. Switched off, a span is one shared object that does nothing.
Never puts ids of people, secrets or queries into a span. Called where work begins.
"""

import contextlib
from collections.abc import Iterator
from typing import Any, Final, Protocol, Self

from scheduler.checks import OperationError
from scheduler.settings import Settings

_TRACEPARENT: Final = "traceparent"


class TracingMissingError(OperationError):
    """Traces are wanted, and OpenTelemetry is not installed."""


class Span(Protocol):
    """What callers may do with a span."""

    def set_attribute(self, key: str, value: Any) -> object:
        """Note something about it."""


class _Nothing:
    """The span of everything while traces are off."""

    def set_attribute(self, key: str, value: Any) -> object:
        """Do nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc_info: object) -> None:
        return


#: The span of everything that is not traced.
NOTHING: Final = _Nothing()


class _State:
    """The tracer of this process; None while traces are off."""

    tracer: Any = None
    provider: Any = None


def configure(settings: Settings, role: str) -> None:
    """Begin to trace when the settings say so; raises `TracingMissingError` with a sentence."""
    if not settings.otel_endpoint:
        return
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        raise TracingMissingError(
            "SEATKEEP_OTEL_ENDPOINT is set, but OpenTelemetry is not installed:"
            " pip install 'seatkeep[otel]', or unset it"
        ) from error
    exporter = OTLPSpanExporter(endpoint=settings.otel_endpoint.rstrip("/") + "/v1/traces")
    begin(BatchSpanProcessor(exporter), role, ratio=settings.otel_ratio)


def begin(processor: Any, role: str, *, ratio: float = 1.0) -> None:
    """Hand every finished span to the processor from now on."""
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.sampling import ParentBasedTraceIdRatio

    resource = Resource.create(
        {"service.name": f"seatkeep-{role}", "service.namespace": "seatkeep"}
    )
    provider = TracerProvider(resource=resource, sampler=ParentBasedTraceIdRatio(ratio))
    provider.add_span_processor(processor)
    _State.provider, _State.tracer = provider, provider.get_tracer("seatkeep")


def close() -> None:
    """Hand out what is left, and trace no more."""
    provider, _State.provider, _State.tracer = _State.provider, None, None
    if provider is not None:
        provider.shutdown()


def on() -> bool:
    """Whether anything is traced at all."""
    return _State.tracer is not None


def span(name: str, parent: str = "", **attributes: Any) -> contextlib.AbstractContextManager[Span]:
    """Make a span around a block, below the current one or the one that `parent` names."""
    if _State.tracer is None:
        return NOTHING
    return _span(name, parent, attributes)


def child(name: str, **attributes: Any) -> contextlib.AbstractContextManager[Span]:
    """Make a span around a block, but none where nothing is traced so far."""
    if _State.tracer is None:
        return NOTHING
    from opentelemetry import trace

    inside = trace.get_current_span().get_span_context().is_valid
    return _span(name, "", attributes) if inside else NOTHING


@contextlib.contextmanager
def _span(name: str, parent: str, attributes: dict[str, Any]) -> Iterator[Span]:
    with _State.tracer.start_as_current_span(
        name, context=_context(parent), attributes=attributes
    ) as made:
        yield made


def record(name: str, parent: str, *, start_ns: int, end_ns: int, **attributes: Any) -> None:
    """Make a span of a time that is over."""
    if _State.tracer is not None:
        made = _State.tracer.start_span(
            name, context=_context(parent), start_time=start_ns, attributes=attributes
        )
        made.end(end_ns)


def traceparent() -> str:
    """Return what carries the current span to another process; "" when there is none."""
    return headers().get(_TRACEPARENT, "") if _State.tracer is not None else ""


def headers() -> dict[str, str]:
    """Return the headers that carry the current span; none while traces are off."""
    if _State.tracer is None:
        return {}
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    carried: dict[str, str] = {}
    TraceContextTextMapPropagator().inject(carried)
    carried.pop("tracestate", None)
    return carried


def _context(parent: str) -> Any:
    if not parent:
        return None
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    return TraceContextTextMapPropagator().extract({_TRACEPARENT: parent})
