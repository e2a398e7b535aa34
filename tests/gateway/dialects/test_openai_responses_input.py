"""The items of a Responses request: every form that clients send, what is left out, and what is wrong."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.chat import Audio, File, Image, Message, Part, Refusal, Text, Thinking, ToolCall
from gateway.dialects.base import Fields
from gateway.dialects.openai_responses_input import LEFT_OUT, OWN_IMAGE, Conversation, flat_name
from gateway.dialects.sealed import Seal, seal
from gateway.errors import BadRequest

CALL = {"type": "function_call", "call_id": "call_1", "name": "f", "arguments": '{"x": 1}'}
CALLED = ToolCall("call_1", "f", '{"x": 1}')
RESULT = {"type": "function_call_output", "call_id": "call_1", "output": "sunny"}
GIVEN = Message("tool", (Text("sunny"),), tool_call_id="call_1")
EPHEMERAL = {"type": "ephemeral"}


def talk(*items: dict[str, Any]) -> Conversation:
    found = Conversation()
    for at, item in enumerate(items):
        found.add(Fields(item, f"input[{at}]"))
    found.finish()
    return found


def messages(*items: dict[str, Any]) -> list[Message]:
    return talk(*items).messages


def parts(*content: dict[str, Any]) -> tuple[Part, ...]:
    (message,) = messages({"role": "user", "content": list(content)})
    return message.parts


def reasoning(text: str = "", sealed: Seal | None = None, **fields: Any) -> dict[str, Any]:
    summary = [{"type": "summary_text", "text": text}] if text else []
    encrypted = {"encrypted_content": seal(sealed)} if sealed else {}
    return {"type": "reasoning", "id": "rs_1", "summary": summary, **encrypted, **fields}


def said(text: str, **fields: Any) -> dict[str, Any]:
    """An item of an earlier answer, as the SDK sends it back."""
    content = [{"type": "output_text", "text": text, "annotations": [], "logprobs": []}]
    item = {"id": "msg_1", "type": "message", "role": "assistant", "status": "completed", "content": content}
    return {**item, "phase": None, **fields}


def user(text: str = "Hi") -> Message:
    return Message("user", (Text(text),))


ITEMS: dict[str, tuple[list[dict[str, Any]], list[Message]]] = {
    "the easy form": ([{"role": "user", "content": "Hi"}], [user()]),
    "with its type": (
        [{"type": "message", "role": "user", "content": "Hi", "status": "completed"}],
        [user()],
    ),
    "parts": (
        [
            {
                "role": "user",
                "content": [{"type": "input_text", "text": "a"}, {"type": "input_text", "text": "b"}],
            }
        ],
        [Message("user", (Text("a"), Text("b")))],
    ),
    "instructions within": (
        [{"role": "developer", "content": "D"}, {"role": "system", "content": "S"}],
        [Message("developer", (Text("D"),)), Message("system", (Text("S"),))],
    ),
    "an answer as a string": (
        [{"role": "assistant", "content": "Yes", "phase": "commentary"}],
        [Message("assistant", (Text("Yes"),))],
    ),
    "an answer sent back whole": ([said("Yes")], [Message("assistant", (Text("Yes"),))]),
    "an answer without parts": ([said("", content=[]), CALL], [Message("assistant", (CALLED,))]),
    "a refusal": (
        [said("", content=[{"type": "refusal", "refusal": "No."}])],
        [Message("assistant", (Refusal("No."),))],
    ),
    "a signed text": (
        [
            said(
                "",
                content=[
                    {
                        "type": "output_text",
                        "text": "Yes",
                        "extra_content": {"google": {"thought_signature": "s"}},
                    }
                ],
            )
        ],
        [Message("assistant", (Text("Yes"), Text("", signature="s")))],
    ),
    "text and calls are one message": (
        [said("One."), CALL, said("Two."), {**CALL, "call_id": "b"}, RESULT],
        [
            Message("assistant", (Text("One."), CALLED, Text("Two."), ToolCall("b", "f", '{"x": 1}'))),
            GIVEN,
        ],
    ),
    "each step of tools is a message of its own": (
        [CALL, RESULT, {**CALL, "call_id": "b"}, {**RESULT, "call_id": "b"}],
        [
            Message("assistant", (CALLED,)),
            GIVEN,
            Message("assistant", (ToolCall("b", "f", '{"x": 1}'),)),
            Message("tool", (Text("sunny"),), tool_call_id="b"),
        ],
    ),
    "a call without arguments": (
        [{**CALL, "arguments": ""}],
        [Message("assistant", (ToolCall("call_1", "f", "{}"),))],
    ),
    "a call within a namespace": (
        [{**CALL, "namespace": "agents"}],
        [Message("assistant", (ToolCall("call_1", "agents__f", '{"x": 1}'),))],
    ),
    "a call of what was loaded late": ([{**CALL, "namespace": "f"}], [Message("assistant", (CALLED,))]),
    "a result in parts": (
        [
            {
                **RESULT,
                "output": [
                    {"type": "input_text", "text": "sunny"},
                    {"type": "input_image", "image_url": "data:image/png;base64,iVBO", "detail": "high"},
                ],
            }
        ],
        [
            Message(
                "tool",
                (Text("sunny"), Image(data="iVBO", media_type="image/png", detail="high")),
                tool_call_id="call_1",
            )
        ],
    ),
    "a free-text tool": (
        [
            {
                "type": "custom_tool_call",
                "call_id": "c",
                "name": "patch",
                "input": "*** Begin",
                "id": "ctc_1",
            },
            {"type": "custom_tool_call_output", "call_id": "c", "output": "ok"},
        ],
        [
            Message("assistant", (ToolCall("c", "patch", "*** Begin", custom=True),)),
            Message("tool", (Text("ok"),), tool_call_id="c"),
        ],
    ),
    "a thought that this gateway sealed": (
        [reasoning("hm", Seal("thought", "anthropic", "sig")), CALL],
        [Message("assistant", (Thinking("hm", "sig", origin="anthropic"), CALLED))],
    ),
    "a thought that was sealed without a signature": (
        [reasoning("hm", Seal("thought", "gemini")), CALL],
        [Message("assistant", (Thinking("hm", None, origin="gemini"), CALLED))],
    ),
    "hidden thoughts": (
        [reasoning("", Seal("redacted", "anthropic", "xyz")), CALL],
        [Message("assistant", (Thinking(redacted="xyz", origin="anthropic"), CALLED))],
    ),
    "the signature of the call that follows": (
        [said("Yes"), reasoning("", Seal("call", "gemini", "s")), CALL, {**CALL, "call_id": "b"}],
        [
            Message(
                "assistant",
                (
                    Text("Yes"),
                    ToolCall("call_1", "f", '{"x": 1}', signature="s"),
                    ToolCall("b", "f", '{"x": 1}'),
                ),
            )
        ],
    ),
    "the signature of a free-text call": (
        [
            reasoning("", Seal("call", "gemini", "s")),
            {"type": "custom_tool_call", "call_id": "c", "name": "patch", "input": "x"},
        ],
        [Message("assistant", (ToolCall("c", "patch", "x", custom=True, signature="s"),))],
    ),
    "a signature without its call": (
        [reasoning("", Seal("call", "gemini", "s")), {"role": "user", "content": "Hi"}, CALL],
        [user(), Message("assistant", (CALLED,))],
    ),
    "a thought in the open": (
        [reasoning("", content=[{"type": "reasoning_text", "text": "hm"}]), CALL],
        [Message("assistant", (Thinking("hm"), CALLED))],
    ),
    "a summary in several parts": (
        [
            reasoning(summary=[{"type": "summary_text", "text": "a"}, {"type": "summary_text", "text": "b"}]),
            CALL,
        ],
        [Message("assistant", (Thinking("a\n\nb"), CALLED))],
    ),
    "a picture that a backend made": (
        [
            {
                "type": "image_generation_call",
                "id": f"{OWN_IMAGE}1",
                "result": "iVBO",
                "output_format": "webp",
                "status": "completed",
            }
        ],
        [Message("assistant", (Image(data="iVBO", media_type="image/webp"),))],
    ),
}


@pytest.mark.parametrize(("items", "wanted"), ITEMS.values(), ids=ITEMS)
def test_every_form_of_item_that_clients_send(items: list[dict[str, Any]], wanted: list[Message]) -> None:
    found = talk(*items)
    assert found.messages == wanted
    assert found.dropped == []


PARTS: list[tuple[dict[str, Any], Part]] = [
    (
        {"type": "input_text", "text": "a", "prompt_cache_breakpoint": {"mode": "explicit"}},
        Text("a", cache_control=EPHEMERAL),
    ),
    ({"type": "input_text", "text": "a", "cache_control": EPHEMERAL}, Text("a", cache_control=EPHEMERAL)),
    ({"type": "input_image", "image_url": "https://x/y.png"}, Image(url="https://x/y.png")),
    (
        {"type": "input_image", "image_url": "https://x/y.png", "detail": "low", "file_id": None},
        Image(url="https://x/y.png", detail="low"),
    ),
    (
        {"type": "input_image", "image_url": "data:;base64,iVBO", "detail": "auto"},
        Image(data="iVBO", media_type="image/png", detail="auto"),
    ),
    ({"type": "input_image", "file_id": "file-1"}, Image(file_id="file-1")),
    (
        {"type": "input_file", "file_data": "data:application/pdf;base64,JVBE", "filename": "a.pdf"},
        File("JVBE", "application/pdf", filename="a.pdf"),
    ),
    ({"type": "input_file", "file_data": "JVBE"}, File("JVBE", "application/pdf")),
    ({"type": "input_file", "file_url": "https://x/y.pdf"}, File(url="https://x/y.pdf")),
    ({"type": "input_file", "file_id": "file-1"}, File(file_id="file-1")),
    ({"type": "input_audio", "input_audio": {"data": "UklG", "format": "wav"}}, Audio("UklG", "wav")),
]


@pytest.mark.parametrize(("part", "wanted"), PARTS)
def test_every_kind_of_part(part: dict[str, Any], wanted: Part) -> None:
    assert parts(part) == (wanted,)


HOSTED = [
    {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"type": "search"}},
    {"type": "shell_call", "call_id": "s", "action": {"commands": ["ls"]}},
    {"type": "shell_call_output", "call_id": "s", "output": []},
    {"type": "image_generation_call", "id": "ig_1", "result": "iVBO", "status": "completed"},
]


def test_what_hosted_tools_left_behind_is_named_and_what_was_said_around_it_is_kept() -> None:
    found = talk({"role": "user", "content": "Hi"}, reasoning("hm"), *HOSTED, said("Yes"), CALL)
    assert found.messages == [user(), Message("assistant", (Thinking("hm"), Text("Yes"), CALLED))]
    assert found.dropped == [f"input.{item['type']}" for item in HOSTED]


@pytest.mark.parametrize("kind", sorted(LEFT_OUT))
def test_every_kind_that_only_openai_can_read_is_left_out_by_name(kind: str) -> None:
    assert talk({"type": kind}, {"role": "user", "content": "Hi"}).dropped == [f"input.{kind}"]


def test_an_answer_in_sound_is_named() -> None:
    assert talk(said("", content=[{"type": "output_audio", "data": "x"}])).dropped == ["input.output_audio"]


@pytest.mark.parametrize(
    ("items", "dropped"),
    [
        ([reasoning(encrypted_content="gAAAA"), CALL], ["input.reasoning.encrypted_content"]),
        ([reasoning("hm", encrypted_content="gAAAA"), CALL], ["input.reasoning.encrypted_content"]),
        ([reasoning(encrypted_content="Z3cxO!"), CALL], ["input.reasoning.encrypted_content"]),
        ([reasoning("hm")], ["input.reasoning"]),
        ([reasoning()], []),
    ],
)
def test_thoughts_that_nobody_here_can_use_are_named(items: list[dict[str, Any]], dropped: list[str]) -> None:
    found = talk(*items, {"role": "user", "content": "Hi"})
    assert found.dropped == dropped
    assert found.messages[-1] == user()


def test_tools_that_items_brought_along_are_kept() -> None:
    tools = [{"type": "function", "name": "late"}]
    found = talk(
        {"type": "additional_tools", "role": "developer", "tools": tools},
        {"type": "tool_search_output", "tools": tools},
    )
    assert [tool.get("name") for tool in found.tools] == ["late", "late"]
    assert found.dropped == ["input.tool_search_output"]


def test_a_flat_name_fits_where_names_are_short_and_stays_one_of_a_kind() -> None:
    assert flat_name(None, "f") == flat_name("f", "f") == "f"
    assert flat_name("a", "f") == "a__f"
    long = [flat_name("n" * 50, "f" * 20 + end) for end in ("1", "2")]
    assert len(set(long)) == 2
    assert all(len(name) == 64 for name in long)
    assert flat_name("\ud83d" * 60, "longer")


# --- what is wrong ---

WRONG: list[tuple[dict[str, Any], str, str]] = [
    ({"type": "telepathy"}, "input[0]", "input[0] is of a type unknown here, 'telepathy'"),
    ({"type": 5}, "input[0].type", "input[0].type must be a string, not 5"),
    ({"id": "msg_1"}, "input[0].id", "input[0].id refers to an item"),
    ({"type": "item_reference", "id": "msg_1"}, "input[0].id", "input[0].id refers to an item"),
    ({}, "input[0].id", "input[0].id refers to an item"),
    ({"type": "compaction_trigger"}, "input[0].type", "input[0].type: this backend compacts no"),
    ({"role": "tool", "content": "x"}, "input[0].role", "input[0].role must be one of user, assistant,"),
    ({"type": "message", "content": "x"}, "input[0].role", "input[0].role is required"),
    ({"role": "user"}, "input[0].content", "input[0].content is required"),
    ({"role": "user", "content": 5}, "input[0].content", "input[0].content must be a string or an array"),
    ({"role": "user", "content": ["x"]}, "input[0].content[0]", "input[0].content[0] must be an object"),
    (
        {"role": "user", "content": [{"type": "text", "text": "x"}]},
        "input[0].content[0].type",
        "input[0].content[0].type must be the type of a part that this API has, not 'text'",
    ),
    (
        {"role": "user", "content": [{"type": "input_text"}]},
        "input[0].content[0].text",
        "input[0].content[0].text is required",
    ),
    (
        {"role": "user", "content": [{"type": "input_image"}]},
        "input[0].content[0].image_url",
        "input[0].content[0].image_url or file_id is required",
    ),
    (
        {"role": "user", "content": [{"type": "input_image", "image_url": {"url": "x"}}]},
        "input[0].content[0].image_url",
        "input[0].content[0].image_url must be a string, not an object",
    ),
    (
        {"role": "user", "content": [{"type": "input_file"}]},
        "input[0].content[0].file_data",
        "input[0].content[0].file_data, file_url or file_id is required",
    ),
    (
        {"role": "user", "content": [{"type": "input_audio"}]},
        "input[0].content[0].input_audio",
        "input[0].content[0].input_audio must be an object",
    ),
    ({**CALL, "call_id": None}, "input[0].call_id", "input[0].call_id is required"),
    ({**CALL, "name": None}, "input[0].name", "input[0].name is required"),
    ({**CALL, "arguments": {}}, "input[0].arguments", "input[0].arguments must be a string, not an object"),
    ({**RESULT, "output": None}, "input[0].output", "input[0].output is required"),
    ({**RESULT, "call_id": 1}, "input[0].call_id", "input[0].call_id must be a string, not 1"),
    (reasoning(summary="x"), "input[0].summary", "input[0].summary must be an array, not 'x'"),
    (reasoning(encrypted_content=1), "input[0].encrypted_content", "input[0].encrypted_content must be"),
]


@pytest.mark.parametrize(("item", "param", "why"), WRONG)
def test_what_is_wrong_with_an_item_is_named(item: dict[str, Any], param: str, why: str) -> None:
    with pytest.raises(BadRequest) as caught:
        talk(item)
    assert (caught.value.status, caught.value.param) == (400, param)
    assert caught.value.message.startswith(why)
