"""Every metric, once. Rule: the number of series is bounded, whatever clients send.

A model's name comes from outside: it becomes a label only when a backend has answered for it, and only the
first `MAX_MODELS` do. What has no label of its own is counted under `other`.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Protocol

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from gateway.chat import Usage
from gateway.errors import (
    Overloaded,
    UpstreamAuthFailed,
    UpstreamError,
    UpstreamServerError,
    UpstreamTimeout,
)

MAX_MODELS = 200
MAX_SERIES = 5_000  # pairs of client and model
MAX_NAME = 100
OTHER = "other"
RATIOS = (0.25, 0.5, 0.67, 0.8, 0.9, 0.95, 1.05, 1.1, 1.25, 1.5, 2.0, 4.0)
DURATIONS_S = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0)

_UPSTREAM_LABELS = frozenset(
    kind.code or kind.type
    for kind in (UpstreamError, UpstreamServerError, UpstreamAuthFailed, UpstreamTimeout, Overloaded)
)
_MAX_TOKENS = 2**31 - 1  # of one call: a backend's nonsense must not spoil the sums


class FinishedCall(Protocol):
    """What is read of the record of a call."""

    @property
    def client_name(self) -> str: ...  # noqa: D102
    @property
    def model(self) -> str: ...  # noqa: D102
    @property
    def backend(self) -> str: ...  # noqa: D102
    @property
    def status(self) -> int: ...  # noqa: D102
    @property
    def usage(self) -> Usage | None: ...  # noqa: D102
    @property
    def latency_s(self) -> float: ...  # noqa: D102
    @property
    def error_label(self) -> str | None: ...  # noqa: D102
    @property
    def limited_by(self) -> str | None: ...  # noqa: D102
    @property
    def admitted(self) -> bool: ...  # noqa: D102


class _Series:
    """The children of one client and model, looked up once."""

    __slots__ = ("client", "duration", "input_tokens", "model", "output_tokens", "requests")

    def __init__(self, metrics: Metrics, client: str, model: str) -> None:
        self.client = client.encode("utf-8", "replace").decode()
        self.model = model
        self.input_tokens = metrics.input_tokens.labels(self.client, model)
        self.output_tokens = metrics.output_tokens.labels(self.client, model)
        self.duration = metrics.request_duration.labels(model)
        self.requests: dict[int, Counter] = {}  # by status


class Metrics:
    """The gateway's metrics, in a registry of their own."""

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call] # the library's; else each series has a twin
        self.registry = registry = CollectorRegistry()
        by_model = ("client", "model")
        self.requests = Counter(
            "ai_gateway_requests_total", "Requests.", (*by_model, "status"), registry=registry
        )
        self.requests_in_progress = Gauge(
            "ai_gateway_requests_in_progress", "Requests in flight.", registry=registry
        )
        self.input_tokens = Counter(
            "ai_gateway_input_tokens_total", "Input tokens.", by_model, registry=registry
        )
        self.output_tokens = Counter(
            "ai_gateway_output_tokens_total", "Output tokens.", by_model, registry=registry
        )
        self.request_duration = Histogram(
            "ai_gateway_request_duration_seconds",
            "Time from a request's arrival to the end of its answer.",
            ("model",),  # by client too, its buckets would make nine lines of the page in ten
            buckets=DURATIONS_S,
            registry=registry,
        )
        self.active_clients = Gauge(
            "ai_gateway_active_clients", "Clients that are active.", registry=registry
        )
        self.upstream_errors = Counter(
            "ai_gateway_upstream_errors_total",
            "Calls that failed because of the backend.",
            ("client", "provider"),
            registry=registry,
        )
        self.refused = Counter(
            "ai_gateway_limits_refused_total",
            "Calls that a limit refused, or would have refused where limits are only watched.",
            ("rule", "enforced"),
            registry=registry,
        )
        self.estimates = Histogram(
            "ai_gateway_input_estimate_ratio",
            "Input tokens expected of a call, as a part of those that it was billed for.",
            ("backend",),
            buckets=RATIOS,
            registry=registry,
        )
        self.limiter_degraded = Gauge(
            "ai_gateway_limiter_degraded",
            "1 while Redis is away, and each process limits by itself.",
            registry=registry,
        )
        self._models: set[str] = set()
        self._series: dict[tuple[str, str], _Series] = {}
        self._estimates: dict[str, Histogram] = {}  # by backend

    def finished(self, record: FinishedCall) -> None:
        """Count a call that has ended, well or not."""
        series = self._series_of(record.client_name, self._model_label(record))
        requests = series.requests.get(record.status)
        if requests is None:
            requests = self.requests.labels(series.client, series.model, record.status)
            series.requests[record.status] = requests
        requests.inc()
        series.duration.observe(record.latency_s)
        if (usage := record.usage) is not None:
            series.input_tokens.inc(max(0, min(usage.prompt_tokens, _MAX_TOKENS)))
            series.output_tokens.inc(max(0, min(usage.completion_tokens, _MAX_TOKENS)))
        if record.error_label in _UPSTREAM_LABELS:
            self.upstream_errors.labels(series.client, record.backend).inc()
        if record.limited_by is not None:
            self.refused.labels(record.limited_by, "no" if record.admitted else "yes").inc()

    def in_progress(self) -> AbstractContextManager[object]:
        """Count a request as in flight as long as the `with` block runs."""
        return self.requests_in_progress.track_inprogress()

    def count_active_clients(self, count: Callable[[], int]) -> None:
        """Ask `count`, at each scrape, how many clients are switched on."""
        self.active_clients.set_function(count)

    def estimated(self, backend: str, expected: int, billed: int) -> None:
        """Compare the input tokens that were expected of a call with those that it was billed for."""
        ratio = self._estimates.get(backend)
        if ratio is None:
            ratio = self._estimates[backend] = self.estimates.labels(backend)
        ratio.observe(expected / billed)

    def render(self) -> tuple[bytes, str]:
        """All metrics in Prometheus's text format, and its content type."""
        return generate_latest(self.registry), CONTENT_TYPE_PLAIN_0_0_4

    def _model_label(self, record: FinishedCall) -> str:
        model = record.model
        if model in self._models:
            return model
        if record.status >= 400 or len(self._models) >= MAX_MODELS:
            return OTHER
        if not model.isprintable() or not 0 < len(model) <= MAX_NAME:  # lone surrogates are not printable
            return OTHER
        self._models.add(model)
        return model

    def _series_of(self, client: str, model: str) -> _Series:
        """The series of a client and model; past the cap, new pairs share one."""
        key = (client, model)
        if key not in self._series and len(self._series) >= MAX_SERIES:
            key = (OTHER, OTHER)
        series = self._series.get(key)
        if series is None:
            series = self._series[key] = _Series(self, *key)
        return series
