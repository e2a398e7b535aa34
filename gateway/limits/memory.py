"""Sliding windows in this process. Rule: memory per key is bounded, and no key outlives its use."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Sequence
from itertools import islice

from gateway.clock import Clock
from gateway.limits.base import BUCKETS, Admission, Limiter, Rule, WindowState

_NS = 1_000_000_000
_FREE = Admission(True)


class _Window:
    """The admitted requests of one key in the last `span_ns`. Times are integers: no edge is blurred."""

    __slots__ = ("_buckets", "_number", "span_ns", "used")

    def __init__(self, span_ns: int) -> None:
        self.span_ns = span_ns
        self.used = 0
        self._number = 0
        self._buckets: deque[list[int]] = deque()  # [number, requests], none of them empty: 61 at most

    def advance(self, now_ns: int) -> None:
        """Drop what lies before the sub-window that `now_ns - span_ns` falls into."""
        self._number = number = now_ns * BUCKETS // self.span_ns
        buckets = self._buckets
        while buckets and buckets[0][0] < number - BUCKETS:
            self.used -= buckets.popleft()[1]

    def count(self) -> None:
        """Count one request, at the time that the window was advanced to."""
        if self._buckets and self._buckets[-1][0] == self._number:
            self._buckets[-1][1] += 1
        else:
            self._buckets.append([self._number, 1])
        self.used += 1

    def below_at_ns(self, limit: int) -> int:
        """When fewer than `limit` of the requests counted now will count still."""
        used = self.used
        for number, requests in self._buckets:
            used -= requests
            if used < limit:
                return self._gone_at_ns(number)
        return 0

    def state(self, rule: Rule, now_ns: int) -> WindowState:
        """The window as `rule` sees it."""
        used, limit = self.used, rule.limit
        reset_ns = self._gone_at_ns(self._buckets[-1][0]) - now_ns if used else 0
        return WindowState(rule, used, limit - used if used < limit else 0, reset_ns / 1e9)

    def _gone_at_ns(self, number: int) -> int:
        """The first nanosecond at which sub-window `number` counts no more: the 61st after it begins."""
        return -(-(number + BUCKETS + 1) * self.span_ns // BUCKETS)


class _Key:
    """The windows of one key, by length."""

    __slots__ = ("_windows", "longest_ns", "used_at_ns")

    def __init__(self) -> None:
        self._windows: dict[float, _Window] = {}
        self.longest_ns = 0
        self.used_at_ns = 0

    def windows(self, rules: Sequence[Rule], now_ns: int) -> list[_Window]:
        """The windows of the rules, advanced to now."""
        self.used_at_ns = now_ns
        try:
            windows = [self._windows[rule.window_s] for rule in rules]
        except KeyError:
            self._adopt(rules, now_ns)
            windows = [self._windows[rule.window_s] for rule in rules]
        for window in windows:
            window.advance(now_ns)
        return windows

    def _adopt(self, rules: Sequence[Rule], now_ns: int) -> None:
        """Take in windows of new lengths, and let go of those in which nothing counts any more."""
        for window in self._windows.values():
            window.advance(now_ns)
        kept = {window_s: window for window_s, window in self._windows.items() if window.used}
        fresh = {rule.window_s: _Window(round(rule.window_s * _NS)) for rule in rules}
        self._windows = fresh | kept
        self.longest_ns = max(window.span_ns for window in self._windows.values())


class MemoryLimiter:
    """Limits that hold within one process. `admit` never waits, so requests are judged one at a time."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._keys: OrderedDict[str, _Key] = OrderedDict()  # the one used longest ago first

    async def admit(self, key: str, rules: Sequence[Rule]) -> Admission:  # noqa: D102
        if not rules:
            return _FREE
        now_ns = round(self._clock.monotonic() * _NS)
        self._forget_idle(now_ns)
        known = self._keys.get(key)
        if known is None:
            known = self._keys[key] = _Key()
        else:
            self._keys.move_to_end(key)
        windows = known.windows(rules, now_ns)
        refused_by, ready_ns = None, now_ns
        for window, rule in zip(windows, rules, strict=True):
            if window.used >= rule.limit and (below_at_ns := window.below_at_ns(rule.limit)) > ready_ns:
                refused_by, ready_ns = rule, below_at_ns
        if refused_by is None:
            for window in dict.fromkeys(windows):  # rules of one length share a window
                window.count()
        states = tuple(window.state(rule, now_ns) for window, rule in zip(windows, rules, strict=True))
        return Admission(refused_by is None, states, (ready_ns - now_ns) / 1e9, refused_by)

    def _forget_idle(self, now_ns: int) -> None:
        """Drop up to two keys whose counts have all run out: a request adds one at most."""
        for key, known in list(islice(self._keys.items(), 2)):
            if (now_ns - known.used_at_ns) * BUCKETS <= known.longest_ns * (BUCKETS + 1):
                return
            del self._keys[key]

    async def close(self) -> None:  # noqa: D102
        self._keys.clear()


def _guard(clock: Clock) -> Limiter:
    return MemoryLimiter(clock)
