"""What of a request and of an answer must come through: all of it, but for what a dialect cannot say."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from dataclasses import replace
from typing import Any

from gateway.selftest.forms import Answer, Ask, Asked, Call, Json, Said, Turn, Usage, differences, shown
from gateway.selftest.sides import Client

SETTINGS = (
    *("max_tokens", "temperature", "top_p", "stop", "seed", "n", "top_logprobs", "tool_choice"),
    *("parallel_tool_calls", "reasoning_effort", "response_format"),
)


# --- what is said ---


def lost(client: Client, provider: Answer, got: Answer) -> Iterator[str]:
    """What a client did not get of what its provider said, a line each."""
    yield from differences(fitted(client, provider), fitted(client, got))


def fitted(client: Client, answer: Answer) -> Answer:
    """An answer without what the client's dialect cannot say; of a failed one, the words it began with."""
    answers = answer.said[:1] if "n" in client.lacks else answer.said
    if answer.failed:
        words = "".join(one.text for one in answers)
        return Answer((Said(words),), Usage(), failed=True, reason=answer.reason)
    counts = {name.removeprefix("usage."): 0 for name in client.lacks if name.startswith("usage.")}
    return Answer(tuple(_fitted(client, one) for one in answers), replace(answer.usage, **counts))


def _fitted(client: Client, one: Said) -> Said:
    changed: dict[str, Any] = {}
    if "refusal" in client.lacks and one.refusal:
        changed |= {"text": one.text + one.refusal, "refusal": ""}
        if "refusal.finish" in client.lacks:
            changed["finish"] = "content_filter"
    for name in ("text", "reasoning", "stopped_by"):
        if name in client.lacks:
            changed[name] = ""
    for name in ("calls", "citations", "images", "logprobs"):
        if name in client.lacks:
            changed[name] = ()
    if "calls.cut" in client.lacks:
        changed["calls"] = tuple(map(_as_object, one.calls))
    if "calls" in client.lacks and one.finish == "tool_calls":
        changed["finish"] = "stop"
    return replace(one, **changed)


def _as_object(call: Call) -> Call:
    whole = not isinstance(call.arguments, str)
    return call if whole else replace(call, arguments={"input": call.arguments})


# --- what is asked ---


def unasked(
    client: Client, ask: Ask, asked: Asked, dropped: Collection[str], heard: Collection[str] = ()
) -> Iterator[str]:
    """What a provider is not asked of what its client asked, a line each.

    What is told as dropped need not be, but for what is `heard`.
    """
    if asked.model != ask.model:
        yield f"model: {ask.model} became {asked.model}"
    system = "\n".join(turn.text for turn in asked.turns if turn.role == "system")
    if "system" not in client.mute and ask.system not in system:
        yield f"system: {shown(ask.system, system)}"
    users = [turn for turn in asked.turns if turn.role == "user"]
    if not users or users[0].text != ask.user:
        yield f"user: {shown(ask.user, users[0].text if users else '')}"
    pictures = [picture for turn in users for picture in turn.images]
    if ask.image and "image" not in client.mute and pictures != [ask.image.partition(",")[2]]:
        yield f"image: {shown(ask.image, pictures)}"
    yield from _tools(ask, asked, dropped)
    for name in SETTINGS:
        wanted, found = getattr(ask, name), asked.settings.get(name)
        if name in client.mute or wanted is None or wanted == ():
            continue
        if name not in heard and _known(name, dropped):
            continue
        if (
            name == "tool_choice"
            and found == "required"
            and [tool.get("name") for tool in asked.tools] == [wanted]
        ):
            continue
        if not _heeded(name, wanted, found):
            yield f"{name}: {wanted!r} became {found!r}"


def _known(name: str, dropped: Collection[str]) -> bool:
    return any(told.partition(".")[0].partition("[")[0] == name for told in dropped)


def _heeded(name: str, wanted: Any, found: Any) -> bool:
    match name:
        case "reasoning_effort":
            return bool(found)
        case "max_tokens":  # thinking comes on top of it, with Anthropic
            return isinstance(found, int) and found >= wanted
        case "stop":
            return list(found or ()) == list(wanted)
        case "response_format":
            return isinstance(found, dict) and _names(found) == _names(wanted)
        case "tool_choice" if wanted == "auto":
            return found in (None, "auto")
    return bool(found == wanted)


def _names(schema: Json) -> list[str]:
    """The properties of a schema: it may be spelt otherwise for another API."""
    return sorted(schema.get("properties") or {})


def _tools(ask: Ask, asked: Asked, dropped: Collection[str]) -> Iterator[str]:
    wanted = [(tool["name"], tool["description"], _names(tool["parameters"])) for tool in ask.tools]
    found = [
        (tool.get("name"), tool.get("description"), _names(tool.get("parameters") or {}))
        for tool in asked.tools
    ]
    if len(found) == 1 and found[0][0] == ask.tool_choice:  # where none can be named, it is the only one left
        wanted = [tool for tool in wanted if tool[0] == ask.tool_choice]
    if found != wanted and not _known("tools", dropped):
        yield f"tools: {shown(wanted, found)}"


def changed(wanted: Asked, found: Asked, dropped: Collection[str]) -> Iterator[str]:
    """What of a conversation is missing in another API's request, a line each.

    More may stand there: words for what that API has no member for, turns that keep its order of roles.
    """
    if (before := _calls(wanted)) != (after := _calls(found)):
        yield f"calls: {shown(before, after)}"
    given = _results(found)
    for at, result in enumerate(_results(wanted)):
        if at >= len(given) or result not in given[at]:
            yield f"result {at}: {shown(result, given[at] if at < len(given) else None)}"
    for role, homes in (("system", ("system", "user")), ("user", ("user",)), ("assistant", ("assistant",))):
        said = "".join(_blankless(turn.text) for home in homes for turn in found.turns if turn.role == home)
        for turn in wanted.turns:
            if turn.role == role and _blankless(turn.text) not in said:
                yield f"{role}: {_blankless(turn.text)[:60]!r} is not there"
    narrowed = wanted.settings.get("tool_choice") not in (None, "auto", "required")
    tools = {tool.get("name") for tool in found.tools}
    missing = [name for tool in wanted.tools if (name := tool.get("name")) not in tools]
    if missing and not narrowed and not _known("tools", dropped):
        yield f"tools: {', '.join(map(str, missing))} not there"


def _blankless(text: str) -> str:
    return "".join(text.split())


def _calls(asked: Asked) -> list[tuple[str, Any]]:
    return [(call.name, call.arguments) for turn in asked.turns for call in turn.calls]


def _results(asked: Asked) -> list[str]:
    """Results without blanks; a JSON object in one way of writing it."""
    return [_blankless(_written(text)) for turn in asked.turns for _, text in turn.results]


def _written(text: str) -> str:
    try:
        found = json.loads(text)
    except ValueError:
        return text
    if not isinstance(found, dict):
        return text
    return json.dumps(found, sort_keys=True) if found else ""


def unlike(question: Json, sent: Json, dropped: Collection[str]) -> Iterator[str]:
    """What of a request is relayed otherwise than it came, but for the model and the wish for usage."""
    for name in question.keys() | sent.keys():
        if name in ("model", "stream_options") or name in dropped:
            continue
        if question.get(name) != sent.get(name):
            yield f"{name} is not relayed as it came: {shown(question.get(name), sent.get(name))}"


# --- what comes back with a tool's results ---


def forgotten(provider: Answer, asked: Asked, results: tuple[str, ...], *, keeps_ids: bool) -> Iterator[str]:
    """What of an answer with calls does not come back to its provider with the results, a line each."""
    first = provider.said[0]
    turns = _after_question(asked.turns)
    calls = [call for turn in turns for call in turn.calls]
    if calls != list(first.calls):
        yield f"calls: {shown(list(first.calls), calls)}"
        return
    given = [result for turn in turns for result in turn.results]
    if [text for _, text in given] != list(results):
        yield f"results: {shown(list(results), [text for _, text in given])}"
    for call, original, (id_, _) in zip(calls, first.calls, given, strict=False):
        own = call.id or call.name
        if id_ not in (own, call.name):
            yield f"the result of {own} is that of {id_}"
        if original.id and keeps_ids and original.id != own:
            yield f"the id {original.id} came back as {own}"
    if len({call.id for call in calls if call.id}) != len([call for call in calls if call.id]):
        yield "two calls have one id"
    wanted = [*first.signatures, *(call.signature for call in first.calls if call.signature)]
    found = [signature for turn in turns for signature in turn.signatures]
    if found != wanted:
        yield f"signatures: {shown(wanted, found)}"


def _after_question(turns: tuple[Turn, ...]) -> list[Turn]:
    at = next((at for at, turn in enumerate(turns) if turn.role == "user"), 0)
    return list(turns[at + 1 :])
