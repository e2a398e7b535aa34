"""The metrics: their names and labels, what counts where, and that foreign names cannot flood them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import pytest
from prometheus_client.parser import text_string_to_metric_families

from gateway.chat import Usage
from gateway.clock import ManualClock
from gateway.errors import (
    BadRequest,
    GatewayError,
    InvalidApiKey,
    Overloaded,
    RateLimited,
    UpstreamAuthFailed,
    UpstreamError,
    UpstreamServerError,
    UpstreamTimeout,
)
from gateway.metrics import DURATIONS_S, MAX_MODELS, MAX_SERIES, Metrics
from gateway.usage import CallRecord


@dataclass
class Call:
    client_name: str = "app"
    model: str = "gpt-4o"
    backend: str = "openai"
    status: int = 200
    usage: Usage | None = None
    latency_s: float = 1.5
    error_label: str | None = None
    limited_by: str | None = None
    admitted: bool = True


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(f"ai_gateway_{name}", labels)


def models(metrics: Metrics) -> set[str]:
    return {
        sample.labels["model"]
        for family in metrics.registry.collect()
        for sample in family.samples
        if "model" in sample.labels
    }


def test_the_metrics_have_the_names_types_and_labels_that_dashboards_know() -> None:
    metrics = Metrics()
    metrics.finished(Call(error_label="upstream_error", limited_by="concurrency"))
    metrics.estimated("openai", 90, 100)
    body, content_type = metrics.render()
    families = {
        family.name: (family.type, {tuple(sorted(sample.labels)) for sample in family.samples})
        for family in text_string_to_metric_families(body.decode())
    }
    assert content_type == "text/plain; version=0.0.4; charset=utf-8"
    assert families == {
        "ai_gateway_requests": ("counter", {("client", "model", "status")}),
        "ai_gateway_requests_in_progress": ("gauge", {()}),
        "ai_gateway_input_tokens": ("counter", {("client", "model")}),
        "ai_gateway_output_tokens": ("counter", {("client", "model")}),
        "ai_gateway_request_duration_seconds": (
            "histogram",
            {("model",), ("le", "model")},
        ),
        "ai_gateway_active_clients": ("gauge", {()}),
        "ai_gateway_upstream_errors": ("counter", {("client", "provider")}),
        "ai_gateway_limits_refused": ("counter", {("enforced", "rule")}),
        "ai_gateway_input_estimate_ratio": ("histogram", {("backend",), ("backend", "le")}),
        "ai_gateway_limiter_degraded": ("gauge", {()}),
    }
    assert b'\nai_gateway_requests_total{client="app",model="gpt-4o",status="200"} 1.0\n' in body


def test_what_limits_refused_is_told_from_what_they_would_have_refused() -> None:
    metrics = Metrics()
    metrics.finished(Call(status=429, limited_by="requests_per_minute", admitted=False))
    metrics.finished(Call(status=502, limited_by="requests_per_minute"))
    metrics.finished(Call())
    for enforced in ("yes", "no"):
        assert value(metrics, "limits_refused_total", rule="requests_per_minute", enforced=enforced) == 1


def test_an_estimate_is_compared_with_the_bill() -> None:
    metrics = Metrics()
    metrics.estimated("openai", 90, 100)
    metrics.estimated("openai", 300, 100)
    assert value(metrics, "input_estimate_ratio_sum", backend="openai") == pytest.approx(3.9)
    assert value(metrics, "input_estimate_ratio_bucket", backend="openai", le="0.95") == 1


def test_a_finished_call_is_counted_with_its_tokens_and_its_time() -> None:
    metrics = Metrics()
    usage = Usage(
        input_tokens=10, cache_read_tokens=5, cache_write_tokens=1, output_tokens=7, reasoning_tokens=3
    )
    metrics.finished(Call(usage=usage, latency_s=0.3))
    metrics.finished(Call(usage=usage, latency_s=90.0))
    metrics.finished(Call(status=429))
    labels = {"client": "app", "model": "gpt-4o"}
    assert value(metrics, "requests_total", **labels, status="200") == 2
    assert value(metrics, "requests_total", **labels, status="429") == 1
    assert value(metrics, "input_tokens_total", **labels) == 32
    assert value(metrics, "output_tokens_total", **labels) == 20
    assert value(metrics, "request_duration_seconds_sum", model="gpt-4o") == pytest.approx(91.8)
    for le, calls in (("0.25", 0), ("0.5", 1), ("120.0", 3)):
        assert value(metrics, "request_duration_seconds_bucket", model="gpt-4o", le=le) == calls
    assert (DURATIONS_S[0], DURATIONS_S[-1]) == (0.05, 120.0)


@pytest.mark.parametrize(("tokens", "counted"), [(-5, 0), (10**400, 2**31 - 1)])
def test_nonsense_in_a_usage_spoils_nothing(tokens: int, counted: int) -> None:
    metrics = Metrics()
    metrics.finished(Call(usage=Usage(input_tokens=tokens, output_tokens=tokens)))
    assert value(metrics, "input_tokens_total", client="app", model="gpt-4o") == counted
    assert value(metrics, "output_tokens_total", client="app", model="gpt-4o") == counted


@pytest.mark.parametrize(
    ("error", "counted"),
    [
        (UpstreamError("x"), 1),
        (UpstreamServerError("x"), 1),
        (UpstreamServerError("x", code="its_own_code"), 1),
        (UpstreamAuthFailed("x"), 1),
        (UpstreamTimeout("x"), 1),
        (Overloaded("x"), 1),
        (BadRequest("x"), None),
        (RateLimited("x"), None),
        (InvalidApiKey("x"), None),
        (GatewayError("x"), None),
    ],
)
def test_upstream_errors_are_the_backends_failures_and_nobody_elses(
    error: GatewayError, counted: int | None
) -> None:
    metrics, now = Metrics(), datetime(2026, 1, 1, tzinfo=UTC)
    record = CallRecord("r", 1, "app", "anthropic", "openai-chat", now, 0.0, ManualClock(now))
    record.fail(error)
    record.finish()
    metrics.finished(record)
    assert value(metrics, "upstream_errors_total", client="app", provider="anthropic") == counted


def test_requests_in_flight_are_counted_down_on_every_way_out() -> None:
    metrics = Metrics()
    with metrics.in_progress(), metrics.in_progress():
        assert value(metrics, "requests_in_progress") == 2
    with pytest.raises(KeyError), metrics.in_progress():
        raise KeyError
    assert value(metrics, "requests_in_progress") == 0


def test_active_clients_are_asked_for_when_the_page_is_read() -> None:
    metrics, clients = Metrics(), ["a", "b"]
    metrics.count_active_clients(lambda: len(clients))
    assert value(metrics, "active_clients") == 2
    clients.pop()
    assert value(metrics, "active_clients") == 1


def test_two_gateways_in_one_process_count_apart() -> None:
    one, other = Metrics(), Metrics()
    one.finished(Call())
    assert value(one, "requests_total", client="app", model="gpt-4o", status="200") == 1
    assert value(other, "requests_total", client="app", model="gpt-4o", status="200") is None


# --- bounds ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("calls", "labels"),
    [
        ([Call(status=404)], {"other"}),
        ([Call(status=499)], {"other"}),
        ([Call(status=404), Call(), Call(status=500)], {"other", "gpt-4o"}),
        ([Call(model="")], {"other"}),
        ([Call(model="x" * 101)], {"other"}),
        ([Call(model="x\ny")], {"other"}),
        ([Call(model="cut \ud83d")], {"other"}),
        ([Call(model="mistral-größe/ü:free")], {"mistral-größe/ü:free"}),
    ],
)
def test_a_model_becomes_a_label_only_when_its_backend_has_answered(
    calls: Sequence[Call], labels: set[str]
) -> None:
    metrics = Metrics()
    for call in calls:
        metrics.finished(call)
    assert models(metrics) == labels
    metrics.render()


def test_a_model_with_a_label_keeps_it_when_it_fails() -> None:
    metrics = Metrics()
    metrics.finished(Call())
    metrics.finished(Call(status=500, error_label="server_error"))
    assert value(metrics, "requests_total", client="app", model="gpt-4o", status="500") == 1


def test_models_past_the_cap_are_counted_together() -> None:
    metrics = Metrics()
    for number in range(MAX_MODELS + 50):
        metrics.finished(Call(model=f"model {number}"))
    assert len(models(metrics)) == MAX_MODELS + 1
    assert value(metrics, "requests_total", client="app", model="other", status="200") == 50
    metrics.finished(Call(model="model 0"))
    assert value(metrics, "requests_total", client="app", model="model 0", status="200") == 2


def test_pairs_of_client_and_model_past_the_cap_are_counted_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.metrics.MAX_SERIES", 5)
    metrics = Metrics()
    for number in range(20):
        metrics.finished(Call(client_name=f"client {number}", error_label="timeout"))
    assert value(metrics, "requests_total", client="other", model="other", status="200") == 15
    assert value(metrics, "upstream_errors_total", client="other", provider="openai") == 15
    assert value(metrics, "requests_total", client="client 4", model="gpt-4o", status="200") == 1
    assert MAX_SERIES >= 1_000


def test_a_client_with_a_broken_name_does_not_break_the_page() -> None:
    metrics = Metrics()
    metrics.finished(Call(client_name='a"b\\c\nd\ud83d'))
    assert rb'client="a\"b\\c\nd?"' in metrics.render()[0]
