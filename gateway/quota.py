"""A client's limits: what they are, what a call is up against, and how its caller is told.

Rule: pure. `gateway.limits` counts; here is what its answers mean, in the words of the client's settings.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

from gateway.client import Quota, RateLimit
from gateway.errors import GatewayError, InputTooLong, InsufficientQuota, RateLimited
from gateway.limits.base import DAY_S, Admission, Cost, Kind, Measure, Rule, Rules, WindowState

WORTH_RETRYING_S = 60.0
"""The longest wait that the SDKs sit out themselves; told of a longer one, they try again soon, in vain."""

_RULES: Sequence[tuple[str, float, Kind, Measure]] = (
    ("concurrency", 1.0, "running", "requests"),
    ("requests_per_minute", 60.0, "window", "requests"),
    ("tokens_per_minute", 60.0, "window", "tokens"),
    ("requests_per_hour", 3_600.0, "window", "requests"),
    ("requests_per_day", DAY_S, "window", "requests"),
    ("max_requests_per_day", DAY_S, "day", "requests"),
    ("max_input_tokens_per_day", DAY_S, "day", "input_tokens"),
    ("max_output_tokens_per_day", DAY_S, "day", "output_tokens"),
)
_WINDOWS: Mapping[float, str] = {60.0: "minute", 3_600.0: "hour", DAY_S: "24 hours"}
_REMAINING: Mapping[str, str] = {
    "requests_per_minute": "X-RateLimit-Remaining-Minute",
    "requests_per_hour": "X-RateLimit-Remaining-Hour",
    "requests_per_day": "X-RateLimit-Remaining-Day",
    "max_requests_per_day": "X-RateLimit-Remaining-Day",
}


INPUT_CAP = "max_input_tokens"


class Limits(NamedTuple):
    """The rules of a client, the shortest window first; whether one counts tokens, whether one a day."""

    rules: Rules
    tokens: bool
    daily: bool


@lru_cache(maxsize=4096)
def limits_of(rate_limit: RateLimit, quota: Quota) -> Limits:
    """The rules that a client's settings make."""
    rules = []
    for name, window_s, kind, measure in _RULES:
        settings: RateLimit | Quota = quota if kind == "day" else rate_limit
        if limit := getattr(settings, name):
            rules.append(Rule(name, limit, window_s, kind, measure))
    tokens = any(rule.measure != "requests" for rule in rules)
    return Limits(Rules(rules), tokens, any(rule.kind == "day" for rule in rules))


def headers(admission: Admission) -> dict[str, str]:
    """OpenAI's headers for the tightest limit of requests and of tokens, and what remains of each window."""
    left: dict[str, int] = {}
    tightest: dict[str, WindowState] = {}
    for state in admission.windows:
        rule, remaining = state.rule, state.remaining
        if rule.kind == "running":
            continue
        kind = "requests" if rule.measure == "requests" else "tokens"
        known = tightest.get(kind)
        if known is None or (remaining, -state.reset_s) < (known.remaining, -known.reset_s):
            tightest[kind] = state
        if (name := _REMAINING.get(rule.name)) and remaining <= left.get(name, remaining):
            left[name] = remaining
    shown = {name: str(remaining) for name, remaining in left.items()}
    for kind, state in tightest.items():
        shown[f"x-ratelimit-limit-{kind}"] = str(state.rule.limit)
        shown[f"x-ratelimit-remaining-{kind}"] = str(state.remaining)
        shown[f"x-ratelimit-reset-{kind}"] = f"{state.reset_s:.3f}s"
    return shown


def refusal(rule: Rule, admission: Admission, cost: Cost) -> GatewayError:
    """What the caller is told whom `rule` has refused: its window, used and limit, and when it frees."""
    state = next(state for state in admission.windows if state.rule == rule)
    wait = admission.retry_after_s
    kind = InsufficientQuota if rule.kind == "day" else RateLimited
    return kind(f"{rule.name}: {_why(rule, state, cost, wait)}", retry_after_s=wait)


def too_long(expected: int, quota: Quota) -> GatewayError:
    """What the caller is told whose request is over the cap on its input."""
    return InputTooLong(
        f"{INPUT_CAP}: this request has about {expected} input tokens, and the limit is"
        f" {quota.max_input_tokens} per request",
    )


def never_fits(rule: Rule, cost: Cost) -> bool:
    """Whether a call is more than a limit all by itself."""
    return rule.kind != "running" and cost.of(rule.measure) > rule.limit


def _why(rule: Rule, state: WindowState, cost: Cost, wait: float) -> str:
    unit = rule.measure.replace("_", " ")
    if rule.kind == "running":
        return f"{state.used} of {rule.limit} requests are under way; try again when one of them has ended"
    window = "day" if rule.kind == "day" else _WINDOWS.get(rule.window_s, f"{rule.window_s:g} s")
    amount = cost.of(rule.measure)
    if never_fits(rule, cost):
        remedy = "send less" if rule.measure == "input_tokens" else "ask for less output (max_tokens)"
        return f"this request may use {amount} {unit}, and the limit is {rule.limit} per {window}: {remedy}"
    needs = "" if rule.measure == "requests" else f", and this request may use {amount}"
    when = f"try again in {_span(wait)}"
    if rule.kind == "day":
        return f"{state.used} of {rule.limit} {unit} used today{needs}; {when}, at midnight UTC"
    return f"{state.used} of {rule.limit} {unit} used in the last {window}{needs}; {when}"


def _span(seconds: float) -> str:
    """A wait for people, rounded up as `Retry-After` is."""
    whole = math.ceil(seconds)
    if whole < 120:
        return f"{whole} s"
    minutes = math.ceil(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"
