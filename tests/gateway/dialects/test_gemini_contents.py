"""What Gemini's clients say: contents, parts, calls with and without ids, and signatures that come back."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.chat import Audio, File, Image, Message, Opaque, Part, Text, Thinking, ToolCall
from gateway.dialects.gemini_contents import read_contents, sealed_call, sealed_thought
from gateway.dialects.gemini_proto import Proto
from gateway.dialects.sealed import Seal, seal
from gateway.errors import BadRequest

PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n\xfb\xff\xfe").decode()


def read(*contents: Any, **members: Any) -> tuple[list[Message], list[str]]:
    dropped: dict[str, None] = {}
    messages = [*read_contents(Proto({"contents": list(contents), **members}), dropped)]
    return messages, [*dropped]


def user(*parts: Any) -> dict[str, Any]:
    return {"role": "user", "parts": list(parts)}


def model(*parts: Any) -> dict[str, Any]:
    return {"role": "model", "parts": list(parts)}


def said(*parts: Any) -> tuple[Part, ...]:
    """What the model said in these parts."""
    messages, dropped = read(model(*parts))
    assert not dropped
    return messages[0].parts if messages else ()


# --- contents ---


def test_a_conversation_is_read_in_order() -> None:
    messages, dropped = read(
        user({"text": "Hello"}),
        model({"text": "Hi!"}),
        {"parts": [{"text": "And?"}]},
        system_instruction={"parts": [{"text": "Be brief."}], "role": "user"},
    )
    assert messages == [
        Message("system", (Text("Be brief."),)),
        Message("user", (Text("Hello"),)),
        Message("assistant", (Text("Hi!"),)),
        Message("user", (Text("And?"),)),
    ]
    assert dropped == []


def test_one_object_stands_for_a_list_as_in_googles_own_examples() -> None:
    dropped: dict[str, None] = {}
    body = {
        "system_instruction": {"parts": {"text": "You are a cat."}},
        "contents": {"parts": {"text": "Hello"}},
    }
    assert [*read_contents(Proto(body), dropped)] == [
        Message("system", (Text("You are a cat."),)),
        Message("user", (Text("Hello"),)),
    ]


@pytest.mark.parametrize(
    ("contents", "named"),
    [
        ("Hello", "contents"),
        (["Hello"], "contents[0]"),
        ([{"role": "assistant", "parts": []}], "contents[0].role"),
        ([{"role": 5, "parts": []}], "contents[0].role"),
        ([{"parts": "Hello"}], "contents[0].parts"),
        ([{"parts": ["Hello"]}], "contents[0].parts[0]"),
        ([{"parts": [{}]}], "contents[0].parts[0]"),
        ([{"parts": [{"text": 5}]}], "contents[0].parts[0].text"),
        ([{"parts": [{"text": "a", "inlineData": {"mimeType": "x", "data": ""}}]}], "contents[0].parts[0]"),
        ([{"parts": [{"inlineData": "x"}]}], "contents[0].parts[0].inlineData"),
        ([{"parts": [{"inline_data": {"mime_type": "image/png"}}]}], "contents[0].parts[0].inlineData.data"),
        ([{"parts": [{"fileData": {}}]}], "contents[0].parts[0].fileData.fileUri"),
        ([{"parts": [{"functionCall": {}}]}], "contents[0].parts[0].functionCall.name"),
        (
            [{"parts": [{"functionCall": {"name": "f", "args": "{}"}}]}],
            "contents[0].parts[0].functionCall.args",
        ),
        ([{"parts": [{"functionResponse": {"response": {}}}]}], "contents[0].parts[0].functionResponse.name"),
        ([{"parts": [{"functionResponse": {"name": "f"}}]}], "contents[0].parts[0].functionResponse"),
        ([{"parts": [{"thought": "yes", "text": "a"}]}], "contents[0].parts[0].thought"),
        ([{"parts": [{"thoughtSignature": 5, "text": "a"}]}], "contents[0].parts[0].thoughtSignature"),
    ],
)
def test_what_is_wrong_is_named(contents: Any, named: str) -> None:
    with pytest.raises(BadRequest) as caught:
        [*read_contents(Proto({"contents": contents}), {})]
    assert caught.value.param == named


def test_a_system_instruction_is_no_string() -> None:
    with pytest.raises(BadRequest, match="systemInstruction must be an object"):
        read(user({"text": "Hi"}), systemInstruction="Be brief.")


def test_empty_contents_say_nothing() -> None:
    assert read(user({"text": ""}), {"role": "model"}, {"role": "model", "parts": []}) == ([], [])


# --- parts ---

PARTS: dict[str, tuple[dict[str, Any], Part]] = {
    "text": ({"text": "a"}, Text("a")),
    "a picture": (
        {"inlineData": {"mimeType": "image/png", "data": PNG}},
        Image(data=PNG, media_type="image/png"),
    ),
    "a picture as Google's SDK sends it": (
        {
            "inline_data": {
                "mime_type": "image/png",
                "data": PNG.replace("+", "-").replace("/", "_").rstrip("="),
            }
        },
        Image(data=PNG, media_type="image/png"),
    ),
    "a picture and how closely to look": (
        {
            "inlineData": {"mimeType": "image/png", "data": PNG},
            "mediaResolution": {"level": "MEDIA_RESOLUTION_LOW"},
        },
        Image(data=PNG, media_type="image/png", detail="low"),
    ),
    "sound": ({"inlineData": {"mimeType": "audio/mpeg", "data": "AAAA"}}, Audio("AAAA", "mp3")),
    "raw sound": (
        {"inlineData": {"mimeType": "audio/L16;codec=pcm;rate=24000", "data": "AAAA"}},
        Audio("AAAA", "pcm16"),
    ),
    "a document": (
        {"inlineData": {"mimeType": "application/pdf", "data": "JVBE", "displayName": "a.pdf"}},
        File(data="JVBE", media_type="application/pdf", filename="a.pdf"),
    ),
    "a text": (
        {"inlineData": {"mimeType": "text/csv", "data": "YSxi"}},
        File(text="a,b", media_type="text/csv"),
    ),
    "a text that is none": (
        {"inlineData": {"mimeType": "text/plain", "data": "////"}},
        File(data="////", media_type="text/plain"),
    ),
    "a video": (
        {"inlineData": {"mimeType": "video/mp4", "data": "AAAA"}},
        File(data="AAAA", media_type="video/mp4"),
    ),
    "a picture elsewhere": (
        {"fileData": {"mimeType": "image/jpeg", "fileUri": "https://x.example/a.jpg"}},
        Image("https://x.example/a.jpg", media_type="image/jpeg"),
    ),
    "a file elsewhere": (
        {"file_data": {"file_uri": "https://x.example/a.pdf"}},
        File(url="https://x.example/a.pdf"),
    ),
    "an uploaded file": (
        {"fileData": {"fileUri": "https://generativelanguage.googleapis.com/v1beta/files/abc"}},
        File(file_id="files/abc"),
    ),
    "a file in a bucket": (
        {"fileData": {"fileUri": "gs://b/a.png", "mimeType": "image/png"}},
        Image(file_id="gs://b/a.png", media_type="image/png"),
    ),
    "a call": (
        {"functionCall": {"id": "x8i0", "name": "f", "args": {"first_name": "A"}}},
        ToolCall("x8i0", "f", '{"first_name":"A"}'),
    ),
    "a signed call": (
        {"function_call": {"id": "x", "name": "f"}, "thought_signature": "a-_b"},
        ToolCall("x", "f", "{}", signature="a+/b"),
    ),
    "a thought": ({"text": "Hm.", "thought": True}, Thinking("Hm.")),
    "a signed thought": (
        {"text": "Hm.", "thought": True, "thoughtSignature": "AAAA"},
        Thinking("Hm.", "AAAA", origin="gemini"),
    ),
    "a signature alone": ({"thoughtSignature": "AAAA"}, Text("", signature="AAAA")),
    "a signed empty text": ({"text": "", "thoughtSignature": "AAAA"}, Text("", signature="AAAA")),
    "a signed text": ({"text": "a", "thoughtSignature": "AA"}, Text("a", signature="AA==")),
    "code that ran": (
        {"executable_code": {"language": "PYTHON", "code": "1"}},
        Opaque("gemini", {"executableCode": {"language": "PYTHON", "code": "1"}}),
    ),
    "a tool of the server's own, signed": (
        {"toolCall": {"tool_type": "GOOGLE_SEARCH_WEB", "id": "a"}, "thoughtSignature": "a-b_"},
        Opaque(
            "gemini", {"toolCall": {"tool_type": "GOOGLE_SEARCH_WEB", "id": "a"}, "thoughtSignature": "a-b_"}
        ),
    ),
    "a kind invented tomorrow": ({"hologram": {"x": 1}}, Opaque("gemini", {"hologram": {"x": 1}})),
}


@pytest.mark.parametrize(("native", "part"), PARTS.values(), ids=PARTS)
def test_a_part_is_read(native: dict[str, Any], part: Part) -> None:
    assert said(native) == (part,)


@pytest.mark.parametrize(
    ("part", "dropped", "kept"),
    [
        ({"fileData": {"fileUri": "https://youtu.be/x"}, "videoMetadata": {"fps": 0.2}}, "videoMetadata", 1),
        ({"videoMetadata": {"startOffset": "2s"}}, "videoMetadata", 0),
        ({"text": "a", "part_metadata": {"a_b": 1}}, "partMetadata", 1),
        ({"text": "a", "mediaResolution": {"level": "MEDIA_RESOLUTION_MEDIUM"}}, "mediaResolution", 1),
        ({"functionCall": {"name": "f", "willContinue": True}}, "functionCall.willContinue", 1),
    ],
)
def test_what_only_gemini_takes_beside_a_part_is_named(part: dict[str, Any], dropped: str, kept: int) -> None:
    messages, names = read(user(part))
    assert names == [f"contents.parts.{dropped}"]
    assert sum(len(message.parts) for message in messages) == kept


# --- a stream's pieces ---


def test_pieces_of_a_stream_are_joined_again() -> None:
    messages, _ = read(
        user({"text": "Hi"}),
        model({"text": "I "}),
        model({"text": "think"}),
        model({"text": ""}),
        model({"text": ".", "thoughtSignature": "AAAA"}),
        model({"text": "More"}, {"text": " text"}),
    )
    assert messages[1].parts == (Text("I think"), Text(".", signature="AAAA"), Text("More text"))


def test_what_the_user_said_in_two_parts_stays_apart() -> None:
    assert read(user({"text": "a"}, {"text": "b"}))[0] == [Message("user", (Text("a"), Text("b")))]


def test_a_thought_is_joined_with_the_signature_behind_it() -> None:
    signature = seal(Seal("thought", "anthropic", "sig"))
    assert said(
        {"text": "I ", "thought": True},
        {"text": "see.", "thought": True},
        {"text": "", "thought": True, "thoughtSignature": signature},
        {"text": "So:"},
        {"text": "Hm", "thought": True},
    ) == (Thinking("I see.", "sig", origin="anthropic"), Text("So:"), Thinking("Hm"))


def test_redacted_thoughts_join_nothing() -> None:
    sealed = sealed_thought(Thinking(redacted="xyz", origin="anthropic"))
    assert said(
        {"text": "a", "thought": True}, {"text": "", "thought": True, "thoughtSignature": sealed}
    ) == (
        Thinking("a"),
        Thinking(redacted="xyz", origin="anthropic"),
    )


# --- thoughts of other providers ---

THOUGHTS = (
    Thinking("Hm", "sig", origin="anthropic"),
    Thinking(redacted="xyz", origin="anthropic"),
    Thinking("unsigned"),
)


def test_hidden_thoughts_come_back_at_the_beginning_of_the_turn_and_before_their_call() -> None:
    first, second = sealed_call(THOUGHTS), sealed_call([Thinking("again", "s2", origin="anthropic")])
    parts = said(
        {"text": "Let me see."},
        {"functionCall": {"name": "f", "id": "a"}, "thoughtSignature": first},
        {"functionCall": {"name": "g", "id": "b"}, "thoughtSignature": second},
    )
    assert parts == (
        *THOUGHTS,
        Text("Let me see."),
        ToolCall("a", "f", "{}"),
        Thinking("again", "s2", origin="anthropic"),
        ToolCall("b", "g", "{}"),
    )


def test_no_thoughts_need_no_signature() -> None:
    assert sealed_call([]) is None
    assert sealed_thought(Thinking("a")) is None
    assert sealed_thought(Thinking("a", "own", origin="gemini")) == "own"


@pytest.mark.parametrize(
    "payload", ["", "{", "5", "{}", "[5]", "[[1,2,3,4]]", '[["a"]]', '[["a","b","c","d","e"]]']
)
def test_a_forged_seal_brings_nothing(payload: str) -> None:
    call = {"functionCall": {"name": "f", "id": "a"}, "thoughtSignature": seal(Seal("thought", "", payload))}
    assert said(call) == (ToolCall("a", "f", "{}"),)


@pytest.mark.parametrize("kind", ["text", "thought"])
def test_a_broken_seal_is_no_signature_of_geminis(kind: str) -> None:
    assert said({"text": "a", "thought": kind == "thought", "thoughtSignature": "Z3cxOm$$$"}) == (
        (Thinking("a") if kind == "thought" else Text("a")),
    )


# --- calls and their answers ---


def test_answers_without_ids_find_the_first_open_call_of_their_function() -> None:
    messages, _ = read(
        user({"text": "Hi"}),
        model(
            {"functionCall": {"id": "1", "name": "f", "args": {"n": 1}}},
            {"functionCall": {"id": "2", "name": "g"}},
            {"functionCall": {"id": "3", "name": "f", "args": {"n": 2}}},
        ),
        user(
            {"functionResponse": {"name": "f", "response": {"result": "first"}}},
            {"functionResponse": {"name": "f", "response": {"result": "second"}}},
            {"functionResponse": {"name": "g", "response": {"result": "third"}}},
        ),
    )
    assert [(message.tool_call_id, message.text) for message in messages[2:]] == [
        ("1", "first"),
        ("3", "second"),
        ("2", "third"),
    ]


def test_an_answer_with_an_id_leaves_the_other_call_to_the_one_without() -> None:
    messages, _ = read(
        model({"functionCall": {"id": "1", "name": "f"}}, {"functionCall": {"id": "2", "name": "f"}}),
        {
            "role": "function",
            "parts": [{"functionResponse": {"id": "1", "name": "f", "response": {"output": "a"}}}],
        },
        user({"functionResponse": {"name": "f", "response": {"output": "b"}}}),
    )
    assert [(message.tool_call_id, message.text) for message in messages[1:]] == [("1", "a"), ("2", "b")]


def test_calls_without_ids_get_some_that_stay_the_same_as_the_history_grows() -> None:
    history = [
        model(
            {"functionCall": {"name": "f", "args": {"a": 1}}},
            {"functionCall": {"name": "f", "args": {"a": 1}}},
        ),
        user(
            {"functionResponse": {"name": "f", "response": {"output": "1"}}},
            {"functionResponse": {"name": "f", "response": {"output": "2"}}},
        ),
    ]
    more = [model({"functionCall": {"name": "f", "args": {"a": 1}}})]
    short, _ = read(*history)
    long, _ = read(*history, *more)
    assert long[:3] == short
    ids = [call.id for message in long for call in message.tool_calls]
    assert len(set(ids)) == 3
    assert [message.tool_call_id for message in short[1:]] == ids[:2]


def test_an_answer_to_no_call_is_refused() -> None:
    with pytest.raises(BadRequest, match="answers no functionCall of 'g'"):
        read(
            model({"functionCall": {"name": "f"}}),
            user({"functionResponse": {"name": "g", "response": {}}}),
        )


def test_answers_stand_before_what_else_the_user_says() -> None:
    messages, _ = read(
        model({"functionCall": {"id": "1", "name": "f"}}),
        user(
            {"text": "Look:"},
            {"functionResponse": {"name": "f", "response": {"output": "a"}}},
            {"text": "Well?"},
        ),
    )
    assert messages[1:] == [
        Message("tool", (Text("a"),), tool_call_id="1"),
        Message("user", (Text("Look:"), Text("Well?"))),
    ]


@pytest.mark.parametrize(
    ("response", "text", "is_error"),
    [
        ({"output": "sunny"}, "sunny", False),
        ({"result": "sunny"}, "sunny", False),
        ({"result": 5}, '{"result":5}', False),
        ({"result": "a", "more": 1}, '{"result":"a","more":1}', False),
        ({"error": "no"}, "no", True),
        ({"error": {"code": 5}}, '{"code":5}', True),
        ({"first_name": None}, '{"first_name":null}', False),
        ({}, "{}", False),
        (None, "{}", False),
    ],
)
def test_a_result_is_text(response: Any, text: str, is_error: bool) -> None:
    messages, _ = read(
        model({"functionCall": {"id": "1", "name": "f"}}),
        user({"functionResponse": {"name": "f", "response": response}}),
    )
    assert (messages[1].text, messages[1].is_error) == (text, is_error)


def test_a_result_may_hold_pictures() -> None:
    picture = {"inline_data": {"mime_type": "image/png", "data": PNG}}
    messages, _ = read(
        model({"functionCall": {"id": "1", "name": "f"}}, {"functionCall": {"id": "2", "name": "f"}}),
        user(
            {"functionResponse": {"id": "1", "name": "f", "response": {}, "parts": [picture]}},
            {
                "functionResponse": {
                    "id": "2",
                    "name": "f",
                    "response": {"output": "Here:"},
                    "parts": [picture],
                }
            },
        ),
    )
    image = Image(data=PNG, media_type="image/png")
    assert [message.parts for message in messages[1:]] == [(image,), (Text("Here:"), image)]


# --- anything ---

SMALL = st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=4)
HOSTILE = st.recursive(
    SMALL,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                "role parts text thought thoughtSignature thought_signature inlineData mimeType data "
                "fileData fileUri functionCall functionResponse name args id response level".split()
            ),
            inner | st.sampled_from(["model", "user", "Z3cxOmE6Yjpj", "image/png"]),
            max_size=4,
        )
    ),
    max_leaves=25,
)


@given(st.lists(HOSTILE, max_size=4))
def test_whatever_is_said_is_read_or_refused(contents: list[Any]) -> None:
    try:
        read(*contents)
    except BadRequest as error:
        assert error.param
