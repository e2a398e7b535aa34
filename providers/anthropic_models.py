"""What each Claude model takes: data, because it changes with every release.

Source: platform.claude.com/docs/en/about-claude/models, pydantic-ai's profiles (August 2026), recorded
refusals.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

EFFORTS = ("low", "medium", "high", "xhigh", "max")


@dataclass(frozen=True, slots=True)
class Rules:
    """What a model takes; the defaults are the newest models', for names that the table does not hold.

    `adaptive` and `budget` are the ways to ask for thinking, `off` whether it can be refused, `thinks`
    whether it happens unasked, `hidden` whether its text is withheld unless asked for. `sampling` is for
    temperature, top_p and top_k; `forced` for a tool choice beyond auto and none; `formats` for structured
    output and strict tools; `late_system` for system messages within the conversation. `answer` is max_tokens
    where the client gives none, `most` the highest that is taken. `strict` is Anthropic's own server: values
    have ranges, and thinking with a budget excludes others.
    """

    adaptive: bool = True
    budget: bool = False
    off: bool = False
    thinks: bool = True
    hidden: bool = True
    sampling: bool = False
    efforts: tuple[str, ...] = EFFORTS
    forced: bool = False
    formats: bool = True
    late_system: bool = False
    answer: int = 16_384
    most: int | None = None
    strict: bool = True


_NEWEST = Rules()
_FIVE = replace(_NEWEST, off=True, forced=True)
_FOUR_7 = replace(_FIVE, thinks=False, most=128_000)
_FOUR_6 = replace(_FOUR_7, budget=True, hidden=False, sampling=True, efforts=("low", "medium", "high", "max"))
_FOUR_5 = replace(_FOUR_6, adaptive=False, off=False, answer=8192, most=64_000)
_FOUR = replace(_FOUR_5, formats=False)
_THREE = replace(_FOUR, budget=False, answer=4096, most=4096)
_FOREIGN = replace(_FOUR_5, off=True, strict=False, most=None)  # not a Claude: let its server judge
MODELS: Mapping[str, Rules] = {
    "opus-5-5": _NEWEST,
    "fable-5-1": _NEWEST,
    "sonnet-5-5": _NEWEST,
    "haiku-5-5": replace(_NEWEST, off=True),
    "fable-5": _NEWEST,
    "mythos-5": _NEWEST,
    "sonnet-5": _FIVE,
    "opus-5": _FIVE,
    "opus-4-8": replace(_FOUR_7, late_system=True),
    "opus-4-7": _FOUR_7,
    "opus-4-6": _FOUR_6,
    "sonnet-4-6": replace(_FOUR_6, most=64_000),
    "opus-4-5": _FOUR_5,
    "sonnet-4-5": _FOUR_5,
    "haiku-4-5": _FOUR_5,
    "opus-4-1": replace(_FOUR_5, most=32_000),
    "opus-4-0": replace(_FOUR, most=32_000),
    "opus-4": replace(_FOUR, most=32_000),
    "sonnet-4-0": _FOUR,
    "sonnet-4": _FOUR,
}
"""By family and version: `claude-opus-4-5-20251101` is `opus-4-5`."""
_RESELLER = re.compile(r"(?:.*/)?(?:.*\banthropic\.)?")
_MODEL = re.compile(r"claude-([a-z]+-\d+(?:-\d{1,2})?)(?=[-@:]|$)")
_OLD_MODEL = re.compile(r"claude-(\d|instant)")


def rules(model: str) -> Rules:
    """What this model takes; also under the names that resellers give (`anthropic/claude-sonnet-4.5`)."""
    name = _RESELLER.sub("", model.lower(), count=1).replace(".", "-")
    if found := _MODEL.match(name):
        return MODELS.get(found[1], _NEWEST)
    if _OLD_MODEL.match(name):
        return _THREE
    return _NEWEST if name.startswith("claude") else _FOREIGN
