"""How many tokens a message would have, as Anthropic's clients ask it.

Source: platform.claude.com/docs/en/api/messages-count-tokens. It is asked as a message is, without a limit.
"""

from __future__ import annotations

from gateway.dialects.anthropic_messages import MessagesSurface
from gateway.dialects.base import Asked, Call, CountDialect
from gateway.jsonio import dumps


class AnthropicCount(MessagesSurface):
    """POST /v1/messages/count_tokens."""

    name = "anthropic-count-tokens"

    def open(self, body: bytes) -> Call:
        """As a message is, but never streamed."""
        call = super().open(body)
        call.stream = False
        return call

    def asked(self, call: Call) -> Asked:
        """Nothing is billed."""
        return Asked(0, billed=False)

    def reply(self, tokens: int) -> bytes:
        """The answer."""
        return dumps({"input_tokens": tokens})


ANTHROPIC_COUNT: CountDialect = AnthropicCount()
