"""The items of a Responses request, read into messages.

Source: platform.openai.com/docs/api-reference/responses/create, and the Python SDK's
`response_input_item_param` (3.54). Rule: what was said is kept, also by the client's own tools; what hosted
tools left behind means nothing to another backend, and is named as dropped; an unknown item is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from hashlib import sha256

from gateway.chat import Audio, File, Image, Json, Message, Part, Refusal, Role, Text, Thinking, ToolCall
from gateway.dialects.base import Fields
from gateway.dialects.data_url import data_url, image_of
from gateway.dialects.extra_content import signature_in
from gateway.dialects.sealed import Seal, unseal
from gateway.errors import BadRequest, UnsupportedParameter

OWN_IMAGE = "ig_gateway_"
"""How the ids of pictures begin that this gateway's backends made: those go back, OpenAI's own do not."""

ROLES: tuple[Role, ...] = ("user", "assistant", "system", "developer")
LEFT_OUT = frozenset(
    "web_search_call file_search_call code_interpreter_call image_generation_call computer_call "
    "computer_call_output shell_call shell_call_output local_shell_call local_shell_call_output "
    "apply_patch_call apply_patch_call_output mcp_list_tools mcp_call mcp_approval_request "
    "mcp_approval_response tool_search_call tool_search_output program program_output "
    "configuration_update compaction".split()
)
"""Hosted tools' calls with their results, and state that only OpenAI can read."""
MAX_NAME = 64


def flat_name(namespace: str | None, name: str) -> str:
    """A function's name outside of its namespace, in what every backend takes as one.

    A function that was loaded late has its own name as namespace.
    """
    if not namespace or namespace == name:
        return name
    flat = f"{namespace}__{name}"
    if len(flat) <= MAX_NAME:
        return flat
    return f"{flat[: MAX_NAME - 9]}_{sha256(flat.encode('utf-8', 'replace')).hexdigest()[:8]}"


@dataclass(slots=True)
class Conversation:
    """What the items read so far say. `tools` are those that items brought along."""

    messages: list[Message] = field(default_factory=list)
    tools: list[Fields] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)
    _said: list[Part] = field(default_factory=list)  # by the assistant, whose turn is not over
    _signature: str | None = None  # of the call that comes next

    def add(self, item: Fields) -> None:
        """Read the next item. Raises `BadRequest` naming what is wrong with it."""
        kind = item.text("type")
        if kind is None:
            kind = "message" if item.get("role") is not None else "item_reference"
        if (read := _ITEMS.get(kind)) is not None:
            read(self, item)
        elif kind in LEFT_OUT:
            self._leave_out(item, kind)
        else:
            place = item.path("type").removesuffix(".type")
            raise BadRequest(
                f"{place} is of a type unknown here, {kind[:40]!r}", param=place, code="invalid_value"
            )

    def finish(self) -> None:
        """End the assistant's turn: its calls and texts are one message, until somebody else speaks."""
        if any(not isinstance(part, Thinking) for part in self._said):
            self.messages.append(Message("assistant", tuple(self._said)))
        elif self._said:
            self.dropped.append("input.reasoning")  # a thought that nothing came of
        self._said.clear()
        self._signature = None

    def _message(self, item: Fields) -> None:
        if (role := item.choice("role", ROLES)) is None:
            raise item.missing("role")
        if role == "assistant":
            self._said += self._parts(item, "content")
            return
        self.finish()
        self.messages.append(Message(role, tuple(self._parts(item, "content"))))

    def _parts(self, item: Fields, name: str) -> Iterator[Part]:
        content = item.get(name)
        if content is None:
            raise item.missing(name)
        if isinstance(content, str):
            yield Text(content)
        elif isinstance(content, list):
            for part in item.items(name):
                yield from self._part(part)
        else:
            raise item.wrong(name, "a string or an array of parts")

    def _part(self, part: Fields) -> Iterator[Part]:
        match part.required_text("type"):
            case "input_text":
                yield Text(part.required_text("text"), cache_control=_breakpoint(part))
            case "output_text":
                yield Text(part.required_text("text"))
                if signature := signature_in(part):
                    yield Text("", signature=signature)
            case "refusal":
                yield Refusal(part.required_text("refusal"))
            case "input_image":
                yield _image(part)
            case "input_file":
                yield _file(part)
            case "input_audio":
                if (sound := part.fields("input_audio")) is None:
                    raise part.wrong("input_audio", "an object with data and format")
                yield Audio(sound.required_text("data"), sound.required_text("format"))
            case "output_audio":
                self.dropped.append("input.output_audio")
            case _:
                raise part.wrong("type", "the type of a part that this API has")

    def _call(self, item: Fields) -> None:
        name = flat_name(item.text("namespace"), item.required_text("name"))
        arguments = item.text("arguments") or "{}"
        self._said.append(ToolCall(item.required_text("call_id"), name, arguments, signature=self._signature))
        self._signature = None

    def _custom_call(self, item: Fields) -> None:
        name = flat_name(item.text("namespace"), item.required_text("name"))
        call_id, text = item.required_text("call_id"), item.text("input") or ""
        self._said.append(ToolCall(call_id, name, text, custom=True, signature=self._signature))
        self._signature = None

    def _result(self, item: Fields) -> None:
        call_id = item.required_text("call_id")
        self.finish()
        self.messages.append(Message("tool", tuple(self._parts(item, "output")), tool_call_id=call_id))

    def _reasoning(self, item: Fields) -> None:
        """A thought, and what was sealed with it; what another gateway or OpenAI encrypted is of no use."""
        text = _texts(item, "content") or _texts(item, "summary")
        encrypted = item.text("encrypted_content")
        match unseal(encrypted) if encrypted else None:
            case Seal("call", _, payload):
                self._signature = payload
            case Seal() as sealed:
                self._said.append(sealed.thought(text))
            case _:
                if text:
                    self._said.append(Thinking(text))
                if encrypted:
                    self.dropped.append("input.reasoning.encrypted_content")

    def _leave_out(self, item: Fields, kind: str) -> None:
        """What a hosted tool left behind, but for pictures that a backend made itself."""
        data, made = item.text("result"), item.text("id") or ""
        if kind == "image_generation_call" and data and made.startswith(OWN_IMAGE):
            self._said.append(Image(data=data, media_type=f"image/{item.text('output_format') or 'png'}"))
            return
        self.dropped.append(f"input.{kind}")
        if kind == "tool_search_output":
            self._more_tools(item)

    def _more_tools(self, item: Fields) -> None:
        """The client's own tools, which the model may call from here on."""
        self.tools += item.items("tools")

    def _reference(self, item: Fields) -> None:
        raise UnsupportedParameter(
            f"{item.path('id')} refers to an item, and none is stored here: send the item itself, "
            "as clients do when they ask with store: false",
            param=item.path("id"),
        )

    def _compact(self, item: Fields) -> None:
        raise UnsupportedParameter(
            f"{item.path('type')}: this backend compacts no conversation", param=item.path("type")
        )


_ITEMS: Mapping[str, Callable[[Conversation, Fields], None]] = {
    "message": Conversation._message,
    "function_call": Conversation._call,
    "function_call_output": Conversation._result,
    "custom_tool_call": Conversation._custom_call,
    "custom_tool_call_output": Conversation._result,
    "reasoning": Conversation._reasoning,
    "additional_tools": Conversation._more_tools,
    "item_reference": Conversation._reference,
    "compaction_trigger": Conversation._compact,
}


def _texts(item: Fields, name: str) -> str:
    """What the pieces of a thought say."""
    return "\n\n".join(text for piece in item.items(name) if (text := piece.text("text")))


def _breakpoint(part: Fields) -> Json | None:
    """A cache hint, under OpenAI's name or Anthropic's; how long it holds is each one's own."""
    if part.object("prompt_cache_breakpoint") is not None:
        return {"type": "ephemeral"}
    return part.object("cache_control")


def _image(part: Fields) -> Image:
    url, detail, cache = part.text("image_url"), part.text("detail"), _breakpoint(part)
    if url is None:
        if (file_id := part.text("file_id")) is None:
            raise BadRequest(f"{part.path('image_url')} or file_id is required", param=part.path("image_url"))
        return Image(file_id=file_id, detail=detail, cache_control=cache)
    return replace(image_of(url), detail=detail, cache_control=cache)


def _file(part: Fields) -> File:
    name, cache = part.text("filename"), _breakpoint(part)
    if (data := part.text("file_data")) is not None:
        media_type, data = data_url(data) or ("", data)
        return File(data, media_type or "application/pdf", filename=name, cache_control=cache)
    if (url := part.text("file_url")) is not None:
        return File(url=url, filename=name, cache_control=cache)
    if (file_id := part.text("file_id")) is not None:
        return File(file_id=file_id, filename=name, cache_control=cache)
    raise BadRequest(
        f"{part.path('file_data')}, file_url or file_id is required", param=part.path("file_data")
    )
