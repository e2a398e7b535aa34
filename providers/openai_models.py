"""What each of OpenAI's models takes: data, because it changes with every release.

Source: platform.openai.com/docs/models and /guides/reasoning, pydantic-ai's profiles (held against the API
in July 2026), and refusals that users report.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from gateway.providers.quirks import at_most, nearest_effort


@dataclass(frozen=True, slots=True)
class Rules:
    """How a model thinks: whether it does so `unasked`, and the efforts it knows, none for one that cannot.

    While it thinks, it takes no parameter of `SAMPLING`. `parallel`: it takes `parallel_tool_calls`.
    """

    unasked: bool = False
    efforts: tuple[str, ...] = ()
    parallel: bool = True

    def thinks(self, effort: str | None) -> bool:
        """Whether it thinks when it is asked for this."""
        return self.unasked if effort is None else effort != "none" and bool(self.efforts)

    def effort(self, asked: str) -> tuple[str | None, bool]:
        """What to ask for instead, and whether anything is lost by it: who wants no thoughts loses none."""
        nearest = nearest_effort(asked, self.efforts)
        return nearest, nearest != asked and (asked != "none" or self.unasked)


SAMPLING = (
    *("temperature", "top_p", "presence_penalty", "frequency_penalty", "logit_bias", "logprobs"),
    *("top_logprobs", "stop"),
)

_LOW, _XHIGH = ("low", "medium", "high"), ("low", "medium", "high", "xhigh")
_ALWAYS = Rules(unasked=True, efforts=_LOW)
_ONE_EFFORT = replace(_ALWAYS, efforts=("medium",))
_PRO = replace(_ALWAYS, efforts=("medium", "high", "xhigh"))
_ASKED = Rules(efforts=("none", *_XHIGH))
_O_SERIES = replace(_ALWAYS, parallel=False)
MODELS: tuple[tuple[str, Rules], ...] = (
    ("gpt-5.6", Rules(unasked=True, efforts=("none", *_XHIGH, "max"))),
    ("gpt-5.5-pro", _PRO),
    ("gpt-5.5", replace(_ASKED, unasked=True)),
    ("gpt-5.4-pro", _PRO),
    ("gpt-5.4", _ASKED),
    ("gpt-5.3-chat", _ONE_EFFORT),
    ("gpt-5.3", _ASKED),
    ("gpt-5.2-pro", _PRO),
    ("gpt-5.2-chat", _ONE_EFFORT),
    ("gpt-5.2", _ASKED),
    ("gpt-5.1-codex-max", replace(_ALWAYS, efforts=_XHIGH)),
    ("gpt-5.1-codex", _ALWAYS),
    ("gpt-5.1-chat", _ONE_EFFORT),
    ("gpt-5.1", replace(_ASKED, efforts=("none", *_LOW))),
    ("gpt-5-chat", Rules()),
    ("gpt-5-pro", replace(_ALWAYS, efforts=("high",))),
    ("gpt-5-codex", _ALWAYS),
    ("gpt-5-search", Rules()),
    ("gpt-5", replace(_ALWAYS, efforts=("minimal", *_LOW))),
    ("o1-mini", replace(_O_SERIES, efforts=())),
    ("o1-preview", replace(_O_SERIES, efforts=())),
    ("o1", _O_SERIES),
    ("o3", _O_SERIES),
    ("o4", _O_SERIES),
    ("codex-mini", _O_SERIES),
    ("gpt-4", Rules()),
    ("gpt-3.5", Rules()),
    ("chatgpt-4o", Rules()),
    ("gpt-audio", Rules()),
)
"""Prefix -> rules; the first that fits counts."""
_NEWEST = Rules(unasked=True, efforts=(*_XHIGH, "max"))
_LATER = re.compile(r"gpt-([6-9]|\d\d)")


def rules(model: str) -> Rules | None:
    """What this model takes, None for one that is not OpenAI's. Fine tunes and resellers' names are known."""
    name = model.lower().removeprefix("ft:").rpartition("/")[2]
    if _LATER.match(name):
        return _NEWEST
    return next((rules for prefix, rules in MODELS if name.startswith(prefix)), None)


OUTPUTS = (
    (r"^(ft:)?gpt-5(\.\d)?-chat", 16_384),
    (r"^(ft:)?gpt-5", 128_000),
    (r"^(ft:)?gpt-4\.1", 32_768),
    (r"^(ft:)?(chat)?gpt-4o-2024-05-13", 4096),
    (r"^(ft:)?(chat)?gpt-4o", 16_384),
    (r"^(ft:)?gpt-4-(turbo|1106|0125|vision)", 4096),
    (r"^(ft:)?gpt-4(-0613|-0314)?$", 8192),
    (r"^(ft:)?gpt-3\.?5-turbo", 4096),
    (r"^o1-mini", 65_536),
    (r"^o1-preview", 32_768),
    (r"^(ft:)?o[134]", 100_000),
)
"""What each gives at most: the first pattern that fits counts."""
QUIRKS = (at_most(*OUTPUTS),)
"""Agents ask for more output than a model can give, and would be refused."""
UNTOLD = ((r"^gpt-4(-0613|-0314)?$", 4096), *OUTPUTS)
"""What is asked for where nobody names a limit: a window of 8192 must hold the question too."""
