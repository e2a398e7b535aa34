"""Requests to Gemini: recorded ones, said as OpenAI's and built again; hand-written ones; tables."""

from __future__ import annotations

import base64
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from gateway.chat import (
    Audio,
    ChatRequest,
    Effort,
    File,
    Image,
    Message,
    Opaque,
    Part,
    Reasoning,
    Refusal,
    ResponseFormat,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolChoice,
)
from gateway.errors import BadRequest, UnsupportedParameter
from gateway.providers.base import UpstreamRequest
from gateway.providers.gemini import GEMINI
from gateway.providers.gemini_request import SKIP_SIGNATURE, translate
from tests.providers.gemini_talk import (
    ask,
    assistant,
    conversation,
    events_of,
    recorded,
    result,
    streamed,
    target,
    user,
)
from tests.recordings import Interaction


def build(
    request: ChatRequest, model: str = "gemini-3-flash-preview"
) -> tuple[dict[str, Any], UpstreamRequest]:
    sent = GEMINI.build(request, target(model))
    return json.loads(sent.body), sent


# --- recorded requests: said as a ChatRequest by a plain converter, built, and compared ---


def either(holder: dict[str, Any], camel: str) -> Any:
    """A member by its camelCase name or its snake_case one: Google takes both, and recordings mix them."""
    return holder.get(camel, holder.get("".join(f"_{c.lower()}" if c.isupper() else c for c in camel)))


def canonical(item: Interaction) -> ChatRequest:
    body = item.request["body"]
    config = body.get("generationConfig", {})
    calling = either(body.get("toolConfig", {}), "functionCallingConfig") or {}
    schema = config.get("responseJsonSchema")
    wanted = None
    if config.get("responseMimeType"):
        wanted = ResponseFormat(
            "json_schema" if schema else "json_object", name=(schema or {}).get("title"), schema=schema
        )
    extra: dict[str, Any] = {}
    if "responseModalities" in config:
        extra["modalities"] = [kind.lower() for kind in config["responseModalities"]]
    if "imageConfig" in config:
        extra["image_config"] = config["imageConfig"]
    tools = tuple(converted_tools(body, strict=calling.get("mode") == "VALIDATED"))
    return ChatRequest(
        item.request["path"],
        tuple(converted_messages(body)),
        stream=item.streamed,
        tools=tools,
        tool_choice={
            "AUTO": ToolChoice("auto"),
            "NONE": ToolChoice("none"),
            "ANY": ToolChoice("required", tuple(calling.get("allowedFunctionNames", ()))),
        }.get(calling.get("mode", ""))
        if any(tool.hosted is None for tool in tools)
        else None,
        response_format=wanted,
        reasoning=converted_thinking(config.get("thinkingConfig")),
        max_tokens=config.get("maxOutputTokens"),
        temperature=config.get("temperature"),
        top_p=config.get("topP"),
        top_k=config.get("topK"),
        extra=extra,
    )


def converted_thinking(thinking: dict[str, Any] | None) -> Reasoning | None:
    if thinking is None:
        return None
    level = either(thinking, "thinkingLevel")
    return Reasoning(
        effort=level and level.lower(),
        budget_tokens=either(thinking, "thinkingBudget"),
        visible=either(thinking, "includeThoughts"),
    )


def converted_tools(body: dict[str, Any], *, strict: bool) -> Iterator[Tool]:
    for entry in body.get("tools", []):
        for declared in entry.get("functionDeclarations", ()):
            schema = either(declared, "parametersJsonSchema") or openapi_as_json_schema(
                declared["parameters"]
            )
            yield Tool(declared["name"], declared["description"], schema, strict=strict or None)
        if "functionDeclarations" not in entry:
            yield Tool(next(iter(entry)), hosted=Opaque("gemini", entry))


def openapi_as_json_schema(schema: dict[str, Any]) -> dict[str, Any]:
    """Enough for the recorded ones: types in lower case."""
    lower = {**schema, "type": schema["type"].lower()}
    lower["properties"] = {
        name: {**inner, "type": inner["type"].lower()} for name, inner in schema["properties"].items()
    }
    return lower


def converted_messages(body: dict[str, Any]) -> Iterator[Message]:
    for part in body.get("systemInstruction", {}).get("parts", []):
        yield Message("system", (Text(part["text"]),))
    for content in body["contents"]:
        rest = [part for part in content["parts"] if "functionResponse" not in part]
        for part in content["parts"]:
            if "functionResponse" in part:
                yield converted_result(part["functionResponse"])
        if rest:
            parts = [converted_part(part) for part in rest]
            yield user(*parts) if content["role"] == "user" else assistant(*parts)


def converted_result(response: dict[str, Any]) -> Message:
    value, is_error = response["response"], False
    if value.keys() == {"error"}:
        value, is_error = value["error"], True
    text = value if isinstance(value, str) else json.dumps(value)
    media = [converted_part(part) for part in response.get("parts", [])]
    return Message("tool", (Text(text), *media), tool_call_id=response["id"], is_error=is_error)


def converted_part(part: dict[str, Any]) -> Part:
    signature = part.get("thoughtSignature")
    if blob := either(part, "inlineData"):
        kind, data = either(blob, "mimeType"), blob["data"]
        if kind.startswith("image/"):
            return Image(data=data, media_type=kind)
        if kind == "audio/mpeg":
            return Audio(data, "mpeg")
        return File(data=data, media_type=kind)
    if file := part.get("fileData"):
        return File(url=file["fileUri"], media_type=file["mimeType"])
    if call := part.get("functionCall"):
        # What another model's call is replayed with: the provider has to put it there again by itself.
        signature = None if signature == SKIP_SIGNATURE else signature
        return ToolCall(call["id"], call["name"], json.dumps(call["args"]), signature=signature)
    if part.get("thought"):
        return Thinking(part["text"], signature, origin="gemini")
    if "text" in part:
        return Text(part["text"], signature=signature)
    return Opaque("gemini", part)


def without_the_inexpressible(item: Interaction) -> tuple[dict[str, Any], Counter[str]]:
    """The recorded body, without what no OpenAI request can say; and what that was."""
    body, gone = json.loads(json.dumps(item.request["body"])), Counter[str]()
    functions = any("functionDeclarations" in entry for entry in body.get("tools", []))
    for content in body["contents"]:
        for part in content["parts"]:
            if part.keys() > {"videoMetadata"}:
                del part["videoMetadata"]
                gone["how to sample a video"] += 1
    config = body.get("toolConfig", {})
    if not functions and config.pop("includeServerSideToolInvocations", None):
        gone["to see hosted tools at work"] += 1
    if not functions and config.pop("functionCallingConfig", None):
        gone["a choice among hosted tools"] += 1
    return body, gone


def normal(body: dict[str, Any]) -> dict[str, Any]:
    """A request's meaning: spelling apart, and with everything that is the same to Google put one way."""
    body = json.loads(json.dumps(body))
    body["contents"] = normal_contents(body["contents"])
    if system := body.get("systemInstruction"):
        system.pop("role", None)  # Google ignores it
    for entry in body.get("tools", []):
        for declared in entry.get("functionDeclarations", ()):
            schema = declared.pop("parameters_json_schema", None) or declared.pop(
                "parametersJsonSchema", None
            )
            if "parameters" in declared:
                schema = openapi_as_json_schema(declared.pop("parameters"))
            if schema and schema.get("properties"):  # a schema without properties says as much as none
                declared["schema"] = schema
    config = body.get("generationConfig", {})
    if schema := config.get("responseJsonSchema"):
        title = {} if "$ref" in schema else {"title": schema["title"]}  # the format's name
        config["responseJsonSchema"] = {**without_titles(schema), **title}
    if thinking := config.get("thinkingConfig"):
        names = ("includeThoughts", "thinkingBudget", "thinkingLevel")
        values = {name: either(thinking, name) for name in names}
        config["thinkingConfig"] = {name: value for name, value in values.items() if value is not None}
    return {name: value for name, value in body.items() if value not in ({}, {"functionCallingConfig": {}})}


def without_titles(value: Any) -> Any:
    """A recorded schema without its labels, which are texts; a property called `title` holds a schema."""
    if isinstance(value, list):
        return [without_titles(item) for item in value]
    if isinstance(value, dict):
        return {
            name: without_titles(item)
            for name, item in value.items()
            if name != "title" or isinstance(item, dict)
        }
    return value


def normal_contents(contents: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Turns of one role joined (results of calls apart), empty texts left out, one alphabet of base64."""
    turns: list[dict[str, Any]] = []
    for content in contents:
        parts = [normal_part(part) for part in content["parts"]]
        parts = [part for part in parts if part != {"text": ""}]
        if turns and turns[-1]["role"] == content["role"] and not results(turns[-1]["parts"]):
            # Of a joined turn only the first call must be signed: the way out is not taken twice.
            turns[-1]["parts"] += [
                {name: value for name, value in part.items() if value != SKIP_SIGNATURE} for part in parts
            ]
        elif parts or not turns:
            turns.append({"role": content["role"], "parts": parts})
    return turns


def results(parts: list[dict[str, Any]]) -> bool:
    return any("functionResponse" in part for part in parts)


def normal_part(part: dict[str, Any]) -> dict[str, Any]:
    part = dict(part)
    if "thoughtSignature" in part:
        part["thoughtSignature"] = part["thoughtSignature"].replace("-", "+").replace("_", "/")
    if blob := either(part, "inlineData"):
        data = blob["data"].replace("-", "+").replace("_", "/")
        return {"inlineData": {"mimeType": either(blob, "mimeType"), "data": data}}
    if response := part.get("functionResponse"):
        inside = [normal_part(inner) for inner in response.get("parts", [])]
        part["functionResponse"] = {**response, **({"parts": inside} if inside else {})}
    return part


@pytest.mark.parametrize("item", recorded())
def test_a_recorded_request_is_built_as_it_was_sent(item: Interaction) -> None:
    model, _, method = item.request["path"].split("/")[-1].partition(":")
    sent = GEMINI.build(canonical(item), target(model))
    expected, _ = without_the_inexpressible(item)
    assert normal(json.loads(sent.body)) == normal(expected)
    suffix = "?alt=sse" if item.streamed else ""
    assert sent.url == f"https://{item.host}/v1beta/models/{model}:{method}{suffix}"
    assert sent.dropped == ()


def test_few_recorded_requests_hold_what_openai_cannot_say() -> None:
    items = [param.values[0] for param in recorded()]
    if items == [None]:
        pytest.skip("no recorded provider traffic")
    held = [item for item in items if without_the_inexpressible(item)[1]]
    assert len(held) <= len(items) / 10


# --- hand-written requests ---


def test_system_messages_gather_in_order_wherever_they_stand() -> None:
    body, _ = build(
        ask(
            Message("system", (Text("one"), Text("two"))),
            user("Hi"),
            Message("developer", (Text("three"),)),
            user("there"),
        )
    )
    assert body["systemInstruction"] == {"parts": [{"text": "one"}, {"text": "two"}, {"text": "three"}]}
    assert body["contents"] == [{"role": "user", "parts": [{"text": "Hi"}, {"text": "there"}]}]


@pytest.mark.parametrize("messages", [[], [assistant("Hello.")]])
def test_contents_begin_with_a_user(messages: list[Message]) -> None:
    body, _ = build(ask(Message("system", (Text("Be brief."),)), *messages))
    assert body["contents"][0] == {"role": "user", "parts": [{"text": ""}]}
    assert len(body["contents"]) == 1 + len(messages)


def test_every_kind_of_user_part_has_its_word() -> None:
    body, sent = build(
        ask(
            user(
                "Look:",
                Image(data="iVBORw0KGgoAAA", media_type="image/webp"),  # which it is not
                Image(data="iVBORw0KGgoAAA"),
                Image(url="https://x.example/a.PNG?size=1"),
                Image(url="https://x.example/a"),
                Image(file_id="files/abc"),
                File(file_id="https://generativelanguage.googleapis.com/v1beta/files/def"),
                Audio("UklG", "mp3"),
                Audio("AAAA", "pcm16"),
                File(data="JVBERi0x", filename="a.bin"),
                File(data="YWJj", filename="a.csv"),
                File(data="YWJj"),
                File(text="plain"),
                File(url="https://x.example/a.pdf"),
                "",
            )
        )
    )
    base = "https://generativelanguage.googleapis.com/v1beta"
    assert body["contents"][0]["parts"] == [
        {"text": "Look:"},
        {"inlineData": {"mimeType": "image/png", "data": "iVBORw0KGgoAAA"}},
        {"inlineData": {"mimeType": "image/png", "data": "iVBORw0KGgoAAA"}},
        {"fileData": {"fileUri": "https://x.example/a.PNG?size=1", "mimeType": "image/png"}},
        {"fileData": {"fileUri": "https://x.example/a"}},
        {"fileData": {"fileUri": f"{base}/files/abc"}},
        {"fileData": {"fileUri": f"{base}/files/def"}},
        {"inlineData": {"mimeType": "audio/mp3", "data": "UklG"}},
        {"inlineData": {"mimeType": "audio/pcm", "data": "AAAA"}},
        {"inlineData": {"mimeType": "application/pdf", "data": "JVBERi0x"}},
        {"inlineData": {"mimeType": "text/csv", "data": "YWJj"}},
        {"inlineData": {"mimeType": "application/octet-stream", "data": "YWJj"}},
        {"text": "plain"},
        {"fileData": {"fileUri": "https://x.example/a.pdf", "mimeType": "application/pdf"}},
    ]
    assert sent.dropped == ()


@pytest.mark.parametrize(
    "message",
    [user(File(file_id="file-abc")), assistant(Opaque("anthropic-messages", {"type": "server_tool_use"}))],
)
def test_what_gemini_has_no_word_for_is_refused(message: Message) -> None:
    with pytest.raises(UnsupportedParameter) as caught:
        build(ask(message))
    assert caught.value.param == "messages"


def test_an_assistant_turn_keeps_its_order_and_signatures() -> None:
    turn = assistant(
        Thinking("Mine.", "c2ln", origin="gemini"),
        Thinking("Theirs.", "xyz", origin="anthropic-messages"),
        Thinking(redacted="zzz", origin="anthropic-messages"),
        "Text.",
        Text("", signature="dGV4dA=="),
        Refusal("No."),
        ToolCall("1", "f", '{"thoughtSignature": "a_b", "max_tokens": 1}', signature="Y2FsbA=="),
        ToolCall("", "g", ""),
    )
    body, _ = build(ask(user("Hi"), turn))
    assert body["contents"][1]["parts"] == [
        {"text": "Mine.", "thought": True, "thoughtSignature": "c2ln"},
        {"text": "Theirs.", "thought": True},
        {"text": "Text."},
        {"text": "", "thoughtSignature": "dGV4dA=="},
        {"text": "No."},
        {
            "functionCall": {"name": "f", "args": {"thoughtSignature": "a_b", "max_tokens": 1}, "id": "1"},
            "thoughtSignature": "Y2FsbA==",
        },
        {"functionCall": {"name": "g", "args": {}}},
    ]


@pytest.mark.parametrize(
    ("model", "first"),
    [
        ("gemini-3-flash-preview", SKIP_SIGNATURE),
        ("gemini-3.1-pro-preview", SKIP_SIGNATURE),
        ("gemini-flash-latest", SKIP_SIGNATURE),
        ("gemini-2.5-pro", None),
        ("gemini-2.0-flash", None),
        ("gemma-3-27b-it", None),
    ],
)
def test_unsigned_calls_take_the_way_out_from_generation_3_on(model: str, first: str | None) -> None:
    calls = assistant("So:", ToolCall("1", "f"), ToolCall("2", "f"))
    signed = assistant(ToolCall("3", "f", signature="c2ln"), ToolCall("4", "f"))
    answers = [result(id_, "ok") for id_ in ("1", "2")]
    body, _ = build(ask(user("Hi"), calls, *answers, signed), model)
    turns = [content["parts"] for content in body["contents"] if content["role"] == "model"]
    assert [part.get("thoughtSignature") for part in turns[0]] == [None, first, None]
    assert [part.get("thoughtSignature") for part in turns[1]] == ["c2ln", None]
    assert base64.b64decode(SKIP_SIGNATURE) == b"skip_thought_signature_validator"


def test_results_of_a_batch_share_one_content_and_nothing_else_enters_it() -> None:
    body, _ = build(
        ask(
            user("Hi"),
            assistant(ToolCall("a", "f"), ToolCall("b", "g"), ToolCall("c", "f"), ToolCall("d", "h")),
            result("a", '{"output": {"camel_case": 1}}'),
            result("b", "[1, 2]"),
            result("c", "no such city", is_error=True),
            result("d", '{"why": "x"}', is_error=True),
            user("And now?"),
        )
    )
    contents = body["contents"][2:]
    assert contents == [
        {
            "role": "user",
            "parts": [
                {"functionResponse": {"name": "f", "response": {"output": {"camel_case": 1}}, "id": "a"}},
                {"functionResponse": {"name": "g", "response": {"output": "[1, 2]"}, "id": "b"}},
                {"functionResponse": {"name": "f", "response": {"error": "no such city"}, "id": "c"}},
                {"functionResponse": {"name": "h", "response": {"error": {"why": "x"}}, "id": "d"}},
            ],
        },
        {"role": "user", "parts": [{"text": "And now?"}]},
    ]


@pytest.mark.parametrize(
    "told",
    [
        (result("b", "2"), result("a", "1"), user("Wait.")),
        (result("a", "1"), user("Wait."), result("b", "2")),
        (user("Wait."), result("b", "2"), result("a", "1")),
    ],
)
def test_results_stand_behind_their_calls_in_their_order(told: tuple[Message, ...]) -> None:
    earlier = (assistant(ToolCall("b", "z")), result("b", "0"))  # some servers use their ids again
    body, _ = build(ask(user("Hi"), *earlier, assistant(ToolCall("a", "f"), ToolCall("b", "g")), *told))
    *_, results, said = body["contents"]
    found = [part["functionResponse"] for part in results["parts"]]
    assert [(one["name"], one["id"], one["response"]["output"]) for one in found] == [
        ("f", "a", "1"),
        ("g", "b", "2"),
    ]
    assert (len(body["contents"]), said["parts"]) == (6, [{"text": "Wait."}])


@pytest.mark.parametrize("model", ["gemini-3-flash-preview", "gemini-2.5-flash"])
def test_pictures_in_results_go_inside_from_generation_3_on_and_after_the_batch_before(model: str) -> None:
    png, mp4 = Image(data="AAAA", media_type="image/png"), File(data="BBBB", media_type="video/mp4")
    body, _ = build(
        ask(
            user("Hi"),
            assistant(ToolCall("a", "shoot"), ToolCall("b", "film")),
            result("a", "Here.", png),
            result("b", mp4),
            user("Nice."),
        ),
        model,
    )
    picture, film = ({"inlineData": {"mimeType": part.media_type, "data": part.data}} for part in (png, mp4))
    batch, after = body["contents"][2:]
    shot, filmed = (part["functionResponse"] for part in batch["parts"])
    assert (shot["response"], filmed["response"]) == ({"output": "Here."}, {"output": ""})
    rest = [{"text": "Result of film:"}, film, {"text": "Nice."}]
    if model.startswith("gemini-3"):
        assert (shot["parts"], after["parts"]) == ([picture], rest)
    else:
        assert "parts" not in shot
        assert after["parts"] == [{"text": "Result of shoot:"}, picture, *rest]


@pytest.mark.parametrize("id_", ["b", "", None])
def test_a_result_without_its_call_is_refused_by_its_place(id_: str | None) -> None:
    message = Message("tool", (Text("ok"),), tool_call_id=id_)
    with pytest.raises(BadRequest) as caught:
        build(ask(user("Hi"), assistant(ToolCall("a", "f")), message))
    assert caught.value.param == "messages[2].tool_call_id"


@pytest.mark.parametrize(
    ("call", "arguments"),
    [
        (ToolCall("1", "f", '{"a": 1.5, "b": [null]}'), {"a": 1.5, "b": [None]}),
        (ToolCall("1", "f", "  "), {}),
        (ToolCall("1", "f", '{"cut": "sho'), {"input": '{"cut": "sho'}),
        (ToolCall("1", "f", "[1]"), {"input": "[1]"}),
        (ToolCall("1", "f", '{"a": 1}', custom=True), {"input": '{"a": 1}'}),
    ],
)
def test_arguments_are_always_an_object(call: ToolCall, arguments: dict[str, Any]) -> None:
    body, _ = build(ask(user("Hi"), assistant(call)))
    assert body["contents"][1]["parts"][0]["functionCall"]["args"] == arguments


TOOLS = (
    Tool("f", "Does f.", {"type": "object", "properties": {"title": {"type": "string", "title": "T"}}}),
    Tool("g", parameters={"type": "object", "properties": {}}),
)


def test_tools_are_one_entry_without_empty_schemas() -> None:
    body, _ = build(ask(tools=TOOLS))
    schema = {"type": "object", "properties": {"title": {"type": "string"}}}
    declared = [
        {"name": "f", "description": "Does f.", "parametersJsonSchema": schema},
        {"name": "g", "description": ""},
    ]
    assert body["tools"] == [{"functionDeclarations": declared}]
    assert "toolConfig" not in body


@pytest.mark.parametrize(
    ("choice", "config", "names"),
    [
        (None, None, ["f", "g"]),
        (ToolChoice("auto"), {"mode": "AUTO"}, ["f", "g"]),
        (ToolChoice("auto", ("g",)), {"mode": "AUTO"}, ["g"]),
        (ToolChoice("none"), {"mode": "NONE"}, ["f", "g"]),
        (ToolChoice("required"), {"mode": "ANY"}, ["f", "g"]),
        (ToolChoice("required", ("f",)), {"mode": "ANY", "allowedFunctionNames": ["f"]}, ["f", "g"]),
    ],
)
def test_tool_choice(choice: ToolChoice | None, config: dict[str, Any] | None, names: list[str]) -> None:
    body, sent = build(ask(tools=TOOLS, tool_choice=choice))
    assert body.get("toolConfig", {}).get("functionCallingConfig") == config
    assert [declared["name"] for declared in body["tools"][0]["functionDeclarations"]] == names
    assert sent.dropped == ()


@pytest.mark.parametrize(
    ("model", "choice", "mode", "dropped"),
    [
        ("gemini-2.5-flash", None, "VALIDATED", ()),
        ("gemini-3-pro", ToolChoice("auto"), "VALIDATED", ()),
        ("gemini-3-pro", ToolChoice("required"), "ANY", ()),
        ("gemini-2.0-flash", ToolChoice("auto"), "AUTO", ("tools.strict",)),
    ],
)
def test_strict_tools_are_validated_where_the_model_can(
    model: str, choice: ToolChoice | None, mode: str, dropped: tuple[str, ...]
) -> None:
    body, sent = build(ask(tools=(replace(TOOLS[0], strict=True), TOOLS[1]), tool_choice=choice), model)
    assert body["toolConfig"]["functionCallingConfig"]["mode"] == mode
    assert sent.dropped == dropped


def test_hosted_tools_are_geminis_own_or_named_as_dropped() -> None:
    search = Tool("googleSearch", hosted=Opaque("gemini", {"googleSearch": {}}))
    other = Tool("web_search", hosted=Opaque("anthropic-messages", {"type": "web_search_20250305"}))
    body, sent = build(ask(tools=(*TOOLS, search, other)))
    assert [list(entry) for entry in body["tools"]] == [["googleSearch"], ["functionDeclarations"]]
    assert body["toolConfig"] == {"includeServerSideToolInvocations": True}
    assert sent.dropped == ("tools.web_search",)
    assert "toolConfig" not in build(ask(tools=(*TOOLS, search)), "gemini-2.5-flash")[0]
    body, sent = build(ask(tools=(search,), tool_choice=ToolChoice("required")), "gemini-2.5-flash")
    assert (body["tools"], sent.dropped) == ([{"googleSearch": {}}], ("tool_choice",))
    assert "toolConfig" not in body


def test_free_text_tools_are_functions_of_one_text() -> None:
    body, sent = build(ask(tools=(Tool("patch", custom={"name": "patch"}),)))
    (declared,) = body["tools"][0]["functionDeclarations"]
    assert declared["name"] == "patch"
    assert declared["parametersJsonSchema"]["required"] == ["input"]
    assert sent.dropped == ()


def test_every_setting_has_its_word() -> None:
    body, sent = build(
        ask(
            temperature=0.5,
            top_p=0.9,
            top_k=40,
            max_tokens=100,
            seed=7,
            presence_penalty=0.1,
            frequency_penalty=0.2,
            stop=("END",),
            n=2,
            logprobs=True,
            top_logprobs=3,
            service_tier="default",
            response_format=ResponseFormat(
                "json_schema", "City", {"type": "object", "title": "x"}, True, "A city."
            ),
            extra={
                "safety_settings": [{"category": "HARM_CATEGORY_JAILBREAK", "threshold": "OFF"}],
                "modalities": ["text", "image"],
                "media_resolution": "MEDIA_RESOLUTION_LOW",
            },
        )
    )
    assert body["generationConfig"] == {
        "temperature": 0.5,
        "topP": 0.9,
        "topK": 40,
        "maxOutputTokens": 100,
        "seed": 7,
        "presencePenalty": 0.1,
        "frequencyPenalty": 0.2,
        "stopSequences": ["END"],
        "candidateCount": 2,
        "responseLogprobs": True,
        "logprobs": 3,
        "responseMimeType": "application/json",
        "responseJsonSchema": {"type": "object", "title": "City", "description": "A city."},
        "responseModalities": ["TEXT", "IMAGE"],
        "mediaResolution": "MEDIA_RESOLUTION_LOW",
    }
    assert body["safetySettings"] == [{"category": "HARM_CATEGORY_JAILBREAK", "threshold": "OFF"}]
    assert body["serviceTier"] == "standard"
    assert sent.dropped == ()


@pytest.mark.parametrize(
    ("given", "dropped"),
    [
        ({"logit_bias": {"1": 5}}, ("logit_bias",)),
        ({"user": "me"}, ("user",)),
        ({"parallel_tool_calls": False}, ("parallel_tool_calls",)),
        ({"parallel_tool_calls": True, "n": 1, "logprobs": False, "service_tier": "auto"}, ()),
        ({"service_tier": "scale"}, ("service_tier",)),
        ({"logprobs": False, "top_logprobs": 2}, ("top_logprobs",)),
        ({"extra": {"store": True, "metadata": {}}}, ("store", "metadata")),
        ({"messages": (Message("user", (Text("Hi"),), name="me"),)}, ("messages.name",)),
    ],
)
def test_what_has_no_word_is_named_as_dropped(given: dict[str, Any], dropped: tuple[str, ...]) -> None:
    body, sent = build(ChatRequest(**{"model": "m", "messages": (user("Hi"),), **given}))
    assert sent.dropped == dropped
    assert body == {"contents": [{"role": "user", "parts": [{"text": "Hi"}]}]}


def test_cached_content_stands_for_what_it_holds() -> None:
    body, sent = build(
        ask(
            Message("system", (Text("Be brief."),)),
            user("Hi"),
            tools=TOOLS,
            tool_choice=ToolChoice("auto"),
            extra={"cached_content": "cachedContents/1"},
        )
    )
    assert body == {
        "contents": [{"role": "user", "parts": [{"text": "Hi"}]}],
        "cachedContent": "cachedContents/1",
    }
    assert sent.dropped == ("messages.system", "tools", "tool_choice")


def test_json_of_any_shape_has_no_schema() -> None:
    body, _ = build(ask(response_format=ResponseFormat("json_object")))
    assert body["generationConfig"] == {"responseMimeType": "application/json"}


def test_a_schema_that_is_a_reference_gets_no_company() -> None:
    schema = {"$ref": "#/$defs/A", "$defs": {"A": {"type": "object"}}}
    body, _ = build(ask(response_format=ResponseFormat("json_schema", "A", schema)))
    assert body["generationConfig"]["responseJsonSchema"] == schema


# --- thinking ---


def effort(word: Effort) -> Reasoning:
    return Reasoning(word)


def budget(tokens: int) -> Reasoning:
    return Reasoning(None, tokens)


def seen(visible: bool) -> Reasoning:
    return Reasoning(visible=visible)


@pytest.mark.parametrize(
    ("model", "reasoning", "config", "changed"),
    [
        # 2.5: budgets, within the model's bounds
        ("gemini-2.5-flash", effort("none"), {"thinkingBudget": 0}, False),
        ("gemini-2.5-flash", effort("minimal"), {"thinkingBudget": 128, "includeThoughts": True}, False),
        ("gemini-2.5-flash", effort("low"), {"thinkingBudget": 2048, "includeThoughts": True}, False),
        ("gemini-2.5-flash", effort("medium"), {"thinkingBudget": 8192, "includeThoughts": True}, False),
        ("gemini-2.5-flash", effort("high"), {"thinkingBudget": 24576, "includeThoughts": True}, False),
        ("gemini-2.5-flash", effort("max"), {"thinkingBudget": 24576, "includeThoughts": True}, False),
        ("gemini-2.5-flash", budget(0), {"thinkingBudget": 0}, False),
        ("gemini-2.5-flash", budget(-1), {"thinkingBudget": -1, "includeThoughts": True}, False),
        ("gemini-2.5-flash", budget(50_000), {"thinkingBudget": 24576, "includeThoughts": True}, True),
        ("gemini-2.5-flash-lite", effort("minimal"), {"thinkingBudget": 512, "includeThoughts": True}, False),
        ("gemini-2.5-flash-lite", budget(100), {"thinkingBudget": 512, "includeThoughts": True}, True),
        ("gemini-2.5-flash-lite", effort("none"), {"thinkingBudget": 0}, False),
        ("gemini-2.5-pro", effort("none"), {"thinkingBudget": 128}, True),
        ("gemini-2.5-pro", effort("max"), {"thinkingBudget": 32768, "includeThoughts": True}, False),
        ("gemini-2.5-pro", seen(True), {"includeThoughts": True}, False),
        ("gemini-2.5-pro", seen(False), {"includeThoughts": False}, False),
        (
            "gemini-2.5-flash",
            Reasoning("high", None, False),
            {"thinkingBudget": 24576, "includeThoughts": False},
            False,
        ),
        ("gemini-2.5-flash-image", effort("low"), None, True),
        # 3 and later, and every name not known: levels
        ("gemini-3-flash-preview", effort("none"), {"thinkingLevel": "MINIMAL"}, True),
        (
            "gemini-3-flash-preview",
            effort("minimal"),
            {"thinkingLevel": "MINIMAL", "includeThoughts": True},
            False,
        ),
        (
            "gemini-3-flash-preview",
            effort("medium"),
            {"thinkingLevel": "MEDIUM", "includeThoughts": True},
            False,
        ),
        ("gemini-3-flash-preview", effort("high"), {"thinkingLevel": "HIGH", "includeThoughts": True}, False),
        ("gemini-3-flash-preview", effort("xhigh"), {"thinkingLevel": "HIGH", "includeThoughts": True}, True),
        ("gemini-3-flash-preview", budget(1024), {"thinkingLevel": "LOW", "includeThoughts": True}, True),
        ("gemini-3-flash-preview", budget(8192), {"thinkingLevel": "MEDIUM", "includeThoughts": True}, True),
        ("gemini-3-flash-preview", budget(30_000), {"thinkingLevel": "HIGH", "includeThoughts": True}, True),
        ("gemini-3-flash-preview", budget(0), {"thinkingLevel": "MINIMAL"}, True),
        ("gemini-3-flash-preview", budget(-1), {"includeThoughts": True}, False),
        (
            "gemini-3-flash-preview",
            Reasoning("low", 9999),
            {"thinkingLevel": "LOW", "includeThoughts": True},
            False,
        ),
        ("gemini-3-pro-preview", effort("minimal"), {"thinkingLevel": "LOW", "includeThoughts": True}, True),
        ("gemini-3-pro-preview", effort("medium"), {"thinkingLevel": "HIGH", "includeThoughts": True}, True),
        (
            "gemini-3.1-pro-preview",
            effort("minimal"),
            {"thinkingLevel": "LOW", "includeThoughts": True},
            True,
        ),
        (
            "gemini-3.1-pro-preview",
            effort("medium"),
            {"thinkingLevel": "MEDIUM", "includeThoughts": True},
            False,
        ),
        ("gemini-3.7-flash", effort("none"), {"thinkingLevel": "LOW"}, True),
        ("gemini-flash-latest", effort("low"), {"thinkingLevel": "LOW", "includeThoughts": True}, False),
        ("gemini-12-ultra", seen(True), {"includeThoughts": True}, False),
        # older ones cannot think
        ("gemini-2.0-flash", effort("low"), None, True),
        ("gemini-2.0-flash", seen(True), None, True),
        ("gemini-2.0-flash", effort("none"), None, False),
        ("gemini-2.0-flash", seen(False), None, False),
        ("gemini-1.5-pro", budget(1), None, True),
        ("gemma-3-27b-it", effort("high"), None, True),
        ("gemini-2.5-flash", Reasoning(), None, False),
    ],
)
def test_thinking_is_set_in_the_words_of_the_models_generation(
    model: str, reasoning: Reasoning, config: dict[str, Any] | None, changed: bool
) -> None:
    body, sent = build(ask(reasoning=reasoning), model)
    assert body.get("generationConfig", {}).get("thinkingConfig") == config
    assert sent.dropped == (("reasoning_effort",) if changed else ())


@pytest.mark.parametrize("model", ["gemini-2.0-flash", "gemini-2.5-flash", "gemini-3-pro-preview"])
def test_without_a_word_on_reasoning_thinking_is_left_alone(model: str) -> None:
    body, _ = build(ask(), model)
    assert "generationConfig" not in body


# --- round trip ---


def test_a_streamed_turn_goes_back_with_every_signature_in_its_place() -> None:
    parts: list[Part] = []
    for chunk in streamed("parallel_calls"):
        if chunk.text:
            parts.append(Text(chunk.text))
        if call := chunk.tool_call:
            parts.append(ToolCall(call.id or "", call.name or "", call.arguments, signature=call.signature))
    messages = [user("Hi"), Message("assistant", tuple(parts))]
    messages += [result(part.id, "ok") for part in parts if isinstance(part, ToolCall)]
    body, _ = build(ask(*messages))
    sent, answers = (content["parts"] for content in body["contents"][1:])
    native = [
        part
        for event in events_of(conversation("parallel_calls"))
        for part in event["candidates"][0]["content"]["parts"]
        if part != {"text": ""}
    ]
    for ours, theirs in zip(sent, native, strict=True):
        assert ours.get("thoughtSignature") == theirs.get("thoughtSignature")
        if call := theirs.get("functionCall"):
            assert ours["functionCall"]["args"] == call.get("args", {})
            assert ours["functionCall"]["id"] == call.get("id", ours["functionCall"]["id"])
    assert [part["functionResponse"]["id"] for part in answers] == [
        part["functionCall"]["id"] for part in sent[1:]
    ]


@pytest.mark.parametrize("item", recorded(streamed=False))
def test_a_recorded_answer_goes_back_as_google_gave_it(item: Interaction) -> None:
    reply = GEMINI.parse(item.json_bytes)
    model = item.request["path"].split("/")[-1].partition(":")[0]
    body, _ = build(ask(user("Hi"), reply.choices[0].message), model)
    native = item.response["body"]["candidates"][0]["content"].get("parts", [])
    turns = [content for content in body["contents"] if content["role"] == "model"]
    sent = turns[0]["parts"] if turns else []
    ids = iter(reply.choices[0].message.tool_calls)
    expected = []
    for part in native:
        if "functionCall" in part:
            part = {**part, "functionCall": {**part["functionCall"], "id": next(ids).id}}
        if "inlineData" in part:
            part = {"inlineData": part["inlineData"]}  # a picture's signature is not kept
        if part != {"text": ""}:
            expected.append(part)
    if sent and SKIP_SIGNATURE in (part.get("thoughtSignature") for part in sent):
        assert not any("thoughtSignature" in part for part in expected if "functionCall" in part)
        sent = [{k: v for k, v in part.items() if v != SKIP_SIGNATURE} for part in sent]
    assert sent == expected


def test_recorded_conversations_carry_signatures_on_only_the_first_of_parallel_calls() -> None:
    """What the way out relies on: within a turn, no call after the first one is signed."""
    for param in recorded(streamed=False):
        if param.values[0] is None:
            pytest.skip("no recorded provider traffic")
        parts = param.values[0].response["body"]["candidates"][0]["content"].get("parts", [])
        calls = [part for part in parts if "functionCall" in part]
        assert all("thoughtSignature" not in later for _, later in pairwise(calls))


@pytest.mark.parametrize(
    ("model", "enforced"),
    [("gemini-2.5-flash", False), ("gemini-2.0-flash", False), ("gemini-3-flash", True)],
)
def test_a_format_beside_functions_is_an_instruction_where_both_are_refused(
    model: str, enforced: bool
) -> None:
    schema = {"type": "object", "properties": {"city": {"type": "string"}}}
    system = Message("system", (Text("Be brief."),))
    asked = ChatRequest(
        model,
        (system, Message("user", (Text("Hi"),))),
        tools=(Tool("f", parameters=schema),),
        response_format=ResponseFormat("json_schema", "answer", schema),
    )
    body, dropped = translate(asked, model)
    parts = [part["text"] for part in body["systemInstruction"]["parts"]]
    assert ("responseMimeType" in body.get("generationConfig", {})) is enforced
    assert ("response_format" in dropped) is not enforced
    assert parts[0] == "Be brief." and len(parts) == (1 if enforced else 2)
    assert enforced or '"city"' in parts[1]


@pytest.mark.parametrize(
    ("limit", "reasoning", "budget", "named"),
    [
        (8192, Reasoning("high"), 4096, False),
        (8192, Reasoning(budget_tokens=9000), 4096, True),
        (8192, Reasoning(budget_tokens=5000), 5000, False),
        (None, Reasoning("high"), 24_576, False),
    ],
)
def test_thoughts_leave_half_of_the_limit_for_the_answer(
    limit: int | None, reasoning: Reasoning, budget: int, named: bool
) -> None:
    asked = ChatRequest("m", (Message("user", (Text("Hi"),)),), reasoning=reasoning, max_tokens=limit)
    body, dropped = translate(asked, "gemini-2.5-flash")
    assert body["generationConfig"]["thinkingConfig"]["thinkingBudget"] == budget
    assert ("reasoning_effort" in dropped) is named
