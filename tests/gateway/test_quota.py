"""What a client's settings limit, and what its caller is told of it."""

from __future__ import annotations

import pytest

from gateway.client import Quota, RateLimit
from gateway.errors import InsufficientQuota, RateLimited
from gateway.limits.base import ONE, Admission, Cost, Rule, WindowState
from gateway.quota import headers, limits_of, never_fits, refusal, too_long

ALL = limits_of(
    RateLimit(1, 2, 3, tokens_per_minute=40, concurrency=5),
    Quota(60, 70, 8, max_input_tokens=9, max_output_tokens=10),
)
BY_NAME = {rule.name: rule for rule in ALL.rules}


def admission(*windows: tuple[str, int, float], wait: float = 0.0) -> Admission:
    """Of each rule by name: what is used, and when nothing of it counts any more."""
    states = []
    for name, used, reset_s in windows:
        rule = BY_NAME[name]
        states.append(WindowState(rule, used, max(0, rule.limit - used), reset_s))
    return Admission(not wait, tuple(states), wait, states[0].rule if wait else None)


def test_every_setting_is_a_rule_of_its_name() -> None:
    assert {name: (rule.limit, rule.window_s, rule.kind, rule.measure) for name, rule in BY_NAME.items()} == {
        "concurrency": (5, 1.0, "running", "requests"),
        "requests_per_minute": (1, 60.0, "window", "requests"),
        "tokens_per_minute": (40, 60.0, "window", "tokens"),
        "requests_per_hour": (2, 3600.0, "window", "requests"),
        "requests_per_day": (3, 86400.0, "window", "requests"),
        "max_requests_per_day": (8, 86400.0, "day", "requests"),
        "max_input_tokens_per_day": (60, 86400.0, "day", "input_tokens"),
        "max_output_tokens_per_day": (70, 86400.0, "day", "output_tokens"),
    }


@pytest.mark.parametrize(
    ("rate_limit", "quota", "expected"),
    [
        (RateLimit(), Quota(max_input_tokens=5, max_output_tokens=5), (0, False, False)),
        (RateLimit(60, 1000), Quota(), (2, False, False)),
        (RateLimit(concurrency=1), Quota(), (1, False, False)),
        (RateLimit(tokens_per_minute=1), Quota(), (1, True, False)),
        (RateLimit(), Quota(max_requests_per_day=1), (1, False, True)),
        (RateLimit(), Quota(max_output_tokens_per_day=1), (1, True, True)),
    ],
)
def test_what_is_not_set_is_no_rule(
    rate_limit: RateLimit, quota: Quota, expected: tuple[int, bool, bool]
) -> None:
    limits = limits_of(rate_limit, quota)
    assert (len(limits.rules), limits.tokens, limits.daily) == expected


def test_the_headers_tell_of_the_tightest_limit_of_each_kind() -> None:
    told = headers(
        admission(
            ("concurrency", 5, 1.0),
            ("requests_per_minute", 0, 0.0),
            ("tokens_per_minute", 10, 30.5),
            ("requests_per_hour", 2, 1800.25),
            ("requests_per_day", 1, 80000.0),
            ("max_requests_per_day", 7, 4000.0),
            ("max_input_tokens_per_day", 31, 4000.0),
            ("max_output_tokens_per_day", 5, 4000.0),
        )
    )
    assert told == {
        "X-RateLimit-Remaining-Minute": "1",
        "X-RateLimit-Remaining-Hour": "0",
        "X-RateLimit-Remaining-Day": "1",
        "x-ratelimit-limit-requests": "2",
        "x-ratelimit-remaining-requests": "0",
        "x-ratelimit-reset-requests": "1800.250s",
        "x-ratelimit-limit-tokens": "60",
        "x-ratelimit-remaining-tokens": "29",
        "x-ratelimit-reset-tokens": "4000.000s",
    }


def test_calls_at_once_have_no_header() -> None:
    assert headers(admission(("concurrency", 5, 1.0))) == {}


@pytest.mark.parametrize(
    ("name", "used", "cost", "wait", "message"),
    [
        (
            "requests_per_minute", 1, ONE, 11.2,
            "requests_per_minute: 1 of 1 requests used in the last minute; try again in 12 s",
        ),
        (
            "requests_per_hour", 2, ONE, 3000.0,
            "requests_per_hour: 2 of 2 requests used in the last hour; try again in 50 min",
        ),
        (
            "requests_per_day", 3, ONE, 86399.5,
            "requests_per_day: 3 of 3 requests used in the last 24 hours; try again in 24 h 0 min",
        ),
        (
            "tokens_per_minute", 25, Cost(1, 6, 10), 31.0,
            "tokens_per_minute: 25 of 40 tokens used in the last minute, and this request may use 16;"
            " try again in 31 s",
        ),
        (
            "tokens_per_minute", 0, Cost(1, 6, 100), 60.0,
            "tokens_per_minute: this request may use 106 tokens, and the limit is 40 per minute:"
            " ask for less output (max_tokens)",
        ),
        (
            "concurrency", 5, ONE, 1.0,
            "concurrency: 5 of 5 requests are under way; try again when one of them has ended",
        ),
        (
            "max_requests_per_day", 8, ONE, 7320.0,
            "max_requests_per_day: 8 of 8 requests used today; try again in 2 h 2 min, at midnight UTC",
        ),
        (
            "max_input_tokens_per_day", 55, Cost(1, 6, 10), 60.0,
            "max_input_tokens_per_day: 55 of 60 input tokens used today, and this request may use 6;"
            " try again in 60 s, at midnight UTC",
        ),
        (
            "max_input_tokens_per_day", 0, Cost(1, 61, 10), 60.0,
            "max_input_tokens_per_day: this request may use 61 input tokens, and the limit is 60 per day:"
            " send less",
        ),
    ],
)  # fmt: skip
def test_a_refusal_names_the_rule_its_window_what_is_used_and_when_it_frees(
    name: str, used: int, cost: Cost, wait: float, message: str
) -> None:
    rule = BY_NAME[name]
    error = refusal(rule, admission((name, used, wait), wait=wait), cost)
    assert error.message == message
    assert (error.status, error.retry_after_s) == (429, wait)
    daily = rule.kind == "day"
    assert type(error) is (InsufficientQuota if daily else RateLimited)
    assert error.code == ("insufficient_quota" if daily else "rate_limit_exceeded")


def test_only_what_is_counted_in_amounts_may_never_fit() -> None:
    assert never_fits(BY_NAME["max_output_tokens_per_day"], Cost(1, 0, 71))
    assert not never_fits(BY_NAME["max_output_tokens_per_day"], Cost(1, 1000, 70))
    assert not never_fits(Rule("concurrency", 1, 1.0, "running"), Cost(1, 1000, 1000))


def test_an_input_over_the_cap_is_told_with_limit_and_estimate() -> None:
    error = too_long(12_345, Quota(max_input_tokens=10_000))
    assert (error.status, error.code) == (400, "max_input_tokens_exceeded")
    assert error.message == (
        "max_input_tokens: this request has about 12345 input tokens, and the limit is 10000 per request"
    )
