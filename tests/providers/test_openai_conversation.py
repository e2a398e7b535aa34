"""Conversations of other dialects as OpenAI's messages, for OpenAI itself and for servers that are not."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.chat import (
    Audio,
    File,
    Image,
    Message,
    Opaque,
    Part,
    Refusal,
    Text,
    Thinking,
    ToolCall,
)
from gateway.errors import BadRequest, UnsupportedParameter
from gateway.providers.compatible import COMPATIBLE, MISTRAL, OPENROUTER
from gateway.providers.openai import GENUINE
from gateway.providers.openai_conversation import Conversation, call_id, whole
from gateway.providers.openai_details import DETAILS, thought
from gateway.providers.openai_server import Differences, Thoughts

PLAIN = COMPATIBLE["openai-compatible"]


def built(
    *messages: Message, differs: Differences = GENUINE, thoughts: Thoughts = ""
) -> tuple[list[dict[str, Any]], list[str]]:
    """What is sent, and what is named as lost."""
    conversation = Conversation(differs, thoughts)
    conversation.add(messages)
    return conversation.built, conversation.lost


def message(*parts: Part, role: Any = "user", **fields: Any) -> list[dict[str, Any]]:
    """One message as OpenAI gets it."""
    return built(Message(role, parts, **fields))[0]


@pytest.mark.parametrize(
    ("part", "sent"),
    [
        (Text("a"), "a"),
        (
            Image(url="https://x/a.png", detail="low"),
            {"type": "image_url", "image_url": {"url": "https://x/a.png", "detail": "low"}},
        ),
        (
            Image(data="QQ==", media_type="image/png"),
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,QQ=="}},
        ),
        (Audio("QQ==", "wav"), {"type": "input_audio", "input_audio": {"data": "QQ==", "format": "wav"}}),
        (File(file_id="file-1"), {"type": "file", "file": {"file_id": "file-1"}}),
        (
            File("QQ==", "application/pdf", filename="a.pdf"),
            {"type": "file", "file": {"file_data": "data:application/pdf;base64,QQ==", "filename": "a.pdf"}},
        ),
        (
            File("QQ==", "image/png"),
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,QQ=="}},
        ),
        (
            File("QQ==", "audio/mpeg"),
            {"type": "input_audio", "input_audio": {"data": "QQ==", "format": "mp3"}},
        ),
        (File(text="plain"), "plain"),
        (File("cGxhaW4=", "text/plain", filename="a.txt"), "a.txt:\n\nplain"),
        (Opaque("openai-chat", {"type": "video_url"}), {"type": "video_url"}),
    ],
)
def test_every_part_in_openais_words(part: Part, sent: Any) -> None:
    assert message(part) == [{"role": "user", "content": sent if isinstance(sent, str) else [sent]}]


@pytest.mark.parametrize(
    ("part", "said"),
    [
        (File(url="https://x/a.pdf"), "by its URL"),
        (Image(file_id="f"), "image"),
        (Opaque("gemini", {"executableCode": {}}), "executableCode"),
        (Opaque("anthropic-messages", {"type": "container_upload"}), "container_upload"),
        (File("QQ==", "video/mp4"), "video/mp4"),
        (File("QQ==", "audio/ogg"), "audio/ogg"),
    ],
)
def test_a_users_part_without_a_word_is_refused_by_its_name(part: Part, said: str) -> None:
    with pytest.raises(UnsupportedParameter, match=said):
        message(part)


def test_a_file_that_is_no_text_though_it_says_so_is_refused() -> None:
    with pytest.raises(BadRequest, match="UTF-8"):
        message(File("gA==", "text/plain"))


def test_a_files_address_goes_where_it_is_taken() -> None:
    said = Message("user", (File(url="https://x/a.pdf", filename="a.pdf"),))
    for differs in (OPENROUTER, MISTRAL):
        file = built(said, differs=differs)[0][0]["content"][0]["file"]
        assert file == {"file_data": "https://x/a.pdf", "filename": "a.pdf"}


def test_a_film_goes_where_films_are_taken() -> None:
    for film, url in (
        (File("QQ==", "video/mp4"), "data:video/mp4;base64,QQ=="),
        (File(url="https://x/a.mp4", media_type="video/mp4"), "https://x/a.mp4"),
    ):
        (sent,) = built(Message("user", (film,)), differs=OPENROUTER)[0]
        assert sent["content"] == [{"type": "video_url", "video_url": {"url": url}}]


def test_texts_alone_are_one_string_for_servers_that_read_no_lists() -> None:
    said = Message("system", (Text("a"), Text(""), Text("b")))
    assert built(said)[0][0]["content"] == [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    assert built(said, differs=PLAIN)[0][0]["content"] == "a\n\nb"
    assert message()[0]["content"] == ""


def test_a_developer_is_one_at_openai_only() -> None:
    said = Message("developer", (Text("a"),))
    assert built(said)[0][0]["role"] == "developer"
    assert built(said, differs=PLAIN)[0][0]["role"] == "system"


def test_cache_hints_go_where_they_are_known() -> None:
    hint = {"type": "ephemeral"}
    said = [
        Message("system", (Text("a", cache_control=hint),)),
        Message("user", (Text("b"),), cache_control=hint),
        Message("assistant", (Text("c"),), cache_control=hint),
        Message("tool", (Text("d"),), tool_call_id="c", cache_control=hint),
    ]
    assert all(isinstance(sent["content"], str) for sent in built(*said)[0])
    for sent in built(*said, differs=OPENROUTER)[0]:
        assert sent["content"][0]["cache_control"] == hint


# --- answers ---

CALL = ToolCall("c", "weather", '{"city":"Paris"}')
SENT_CALL = {
    "id": "c",
    "type": "function",
    "function": {"name": "weather", "arguments": '{"city":"Paris"}'},
}


def test_an_assistants_turn_keeps_text_calls_and_refusal() -> None:
    assert message(Text("Look"), Text("ing."), CALL, role="assistant") == [
        {"role": "assistant", "content": "Looking.", "tool_calls": [SENT_CALL]}
    ]
    assert message(CALL, role="assistant")[0]["content"] is None
    assert message(Refusal("No."), role="assistant") == [
        {"role": "assistant", "content": "", "refusal": "No."}
    ]
    assert built(Message("assistant", (Refusal("No."),)), differs=PLAIN)[0] == [
        {"role": "assistant", "content": "No."}
    ]
    assert message(ToolCall("c", "patch", "*** x", custom=True), role="assistant")[0]["tool_calls"] == [
        {"id": "c", "type": "custom", "custom": {"name": "patch", "input": "*** x"}}
    ]


def test_answers_in_a_row_are_one_while_their_calls_wait() -> None:
    """Anthropic and Gemini take them in a row; OpenAI wants every call answered at once."""
    said = [
        Message("assistant", (Text("a"), ToolCall("1", "f"))),
        Message("assistant", (Text("b"), ToolCall("2", "g"))),
        Message("tool", (Text("x"),), tool_call_id="1"),
        Message("tool", (Text("y"),), tool_call_id="2"),
        Message("assistant", (Text("c"),)),
        Message("assistant", (Text("d"),)),
    ]
    both, *others = built(*said)[0]
    assert both["content"] == "a\n\nb"
    assert [call["id"] for call in both["tool_calls"]] == ["1", "2"]
    assert [sent["content"] for sent in others] == ["x", "y", "c", "d"]
    listed = built(*said[:2], Message("tool", (), tool_call_id="1"), differs=OPENROUTER)
    assert listed[0][0]["content"] == "a\n\nb"


def test_what_the_model_said_in_words_of_another_backend_is_left_out_and_named() -> None:
    parts = (
        Opaque("anthropic-messages", {"type": "server_tool_use"}),
        Opaque("gemini", {"executableCode": {}}),
        Image(data="QQ==", media_type="image/png"),
    )
    assert built(Message("assistant", (*parts, Text("So.")))) == (
        [{"role": "assistant", "content": "So."}],
        ["messages.server_tool_use", "messages.executableCode", "messages.image"],
    )
    assert built(Message("assistant", parts))[0] == []


def test_its_own_sound_goes_back_by_its_id() -> None:
    sound = Opaque("openai-chat", {"audio": {"id": "audio_1", "data": "QQ=="}})
    assert message(sound, role="assistant") == [
        {"role": "assistant", "content": "", "audio": {"id": "audio_1"}}
    ]


def test_an_answer_in_which_nothing_was_said_is_left_out() -> None:
    assert message(Thinking("Hm."), role="assistant") == []
    assert message(Text(""), role="assistant") == []


DETAIL = {"type": "reasoning.text", "text": "Hm.", "signature": "c2ln", "index": 0}
LIST = [{"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]}, {"type": "text", "text": "x"}]


@pytest.mark.parametrize(
    ("form", "thinking", "sent"),
    [
        ("", Thinking("Hm."), {"content": "x"}),
        ("reasoning_content", Thinking("Hm."), {"content": "x", "reasoning_content": "Hm."}),
        ("reasoning", Thinking("Hm."), {"content": "x", "reasoning": "Hm."}),
        ("tags", Thinking("Hm."), {"content": "<think>Hm.</think>x"}),
        ("list", Thinking("Hm."), {"content": LIST}),
        (
            "list",
            Thinking("Hm.", "c2ln", origin="mistral"),
            {"content": [{**LIST[0], "signature": "c2ln"}, LIST[1]]},
        ),
        ("reasoning_details", thought(DETAIL), {"content": "x", "reasoning_details": [DETAIL]}),
        ("reasoning_details", Thinking("Hm."), {"content": "x", "reasoning": "Hm."}),
        ("any", thought(DETAIL), {"content": "x", "reasoning_details": [DETAIL]}),
        ("any", Thinking("Hm."), {"content": "x", "reasoning_content": "Hm."}),
        ("reasoning_content", Thinking("Hm.", "c2ln", origin="anthropic"), {"content": "x"}),
        ("list", Thinking("Hm.", "c2ln", origin="gemini"), {"content": "x"}),
        ("reasoning_content", thought(DETAIL), {"content": "x"}),
        ("any", Thinking("Hm.", "forged", origin=DETAILS), {"content": "x"}),
    ],
)
def test_reasoning_goes_back_in_the_servers_way(form: Thoughts, thinking: Thinking, sent: Any) -> None:
    said = Message("assistant", (thinking, Text("x")))
    assert built(said, differs=PLAIN, thoughts=form)[0] == [{"role": "assistant", **sent}]


def test_arguments_that_were_cut_off_are_an_object_where_they_are_read() -> None:
    said = Message("assistant", (ToolCall("c", "f", '{"x":'),))
    assert built(said)[0][0]["tool_calls"][0]["function"]["arguments"] == '{"x":'
    assert (
        built(said, differs=PLAIN)[0][0]["tool_calls"][0]["function"]["arguments"] == '{"input":"{\\"x\\":"}'
    )
    assert whole('{"x": 1}') == '{"x": 1}'


def test_a_long_id_gives_way_to_a_short_one_for_call_and_result_alike() -> None:
    long = "call_" + "x" * 40
    said = [Message("assistant", (ToolCall(long, "f"),)), Message("tool", (Text("1"),), tool_call_id=long)]
    call, result = built(*said)[0]
    assert call["tool_calls"][0]["id"] == result["tool_call_id"] == call_id(long)
    assert len(call_id(long)) <= 40 and call_id("short") == "short"


# --- tools' results ---


def test_pictures_in_tools_results_follow_when_all_tools_have_answered() -> None:
    picture = Image(url="https://x/a.png")
    sent = {"type": "image_url", "image_url": {"url": "https://x/a.png"}}
    said = [
        Message("tool", (Text("see"), picture), tool_call_id="a"),
        Message("tool", (picture,), tool_call_id="b"),
        Message("user", (Text("So?"),)),
    ]
    first, second, pictures, user = built(*said)[0]
    assert first == {"role": "tool", "tool_call_id": "a", "content": "see"}
    assert second["content"].startswith("The result is in")
    assert pictures == {"role": "user", "content": [sent, sent]}
    assert user["content"] == "So?"


@pytest.mark.parametrize(
    ("parts", "is_error", "content"),
    [
        ((Text("a"), Text("b")), False, "a\n\nb"),
        ((), False, ""),
        ((Text("boom"),), True, "Error: boom"),
        ((Text("Error: boom"),), True, "Error: boom"),
        ((File(text="plain"),), False, "plain"),
        ((Opaque("anthropic-messages", {"type": "search_result", "title": "T"}),), False,
         '{"type":"search_result","title":"T"}'),
    ],
)  # fmt: skip
def test_a_tools_result_is_text(parts: tuple[Part, ...], is_error: bool, content: str) -> None:
    assert message(*parts, role="tool", tool_call_id="c", is_error=is_error) == [
        {"role": "tool", "tool_call_id": "c", "content": content}
    ]
