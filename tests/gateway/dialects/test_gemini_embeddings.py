"""Gemini's requests for embeddings: what each text is, how it is embedded, and what a batch cannot do."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.chat import Usage
from gateway.dialects.base import Call, Settings
from gateway.dialects.gemini_embeddings import GeminiEmbeddings
from gateway.embeddings import EmbeddingReply, EmbeddingRequest
from gateway.errors import BadRequest, UnsupportedParameter
from gateway.jsonio import dumps
from gateway.providers.base import Target
from gateway.providers.gemini import GEMINI
from tests.recordings import Interaction, interactions

ONE = GeminiEmbeddings("models/gemini-embedding-001")
BATCH = GeminiEmbeddings("models/gemini-embedding-001", batch=True)
NAME = "models/gemini-embedding-001"


def content(*texts: str) -> dict[str, Any]:
    return {"content": {"parts": [{"text": text} for text in texts], "role": "user"}}


def one(**members: Any) -> EmbeddingRequest:
    return ONE.read(ONE.open(dumps(members)))


def batch(*requests: Any, **members: Any) -> EmbeddingRequest:
    return BATCH.read(BATCH.open(dumps({"requests": list(requests), **members})))


# --- requests ---


def test_one_content_is_one_text() -> None:
    assert one(**content("hello")) == EmbeddingRequest("gemini-embedding-001", ("hello",))
    assert one(content={"parts": {"text": "hello"}}).inputs == ("hello",)


def test_the_parts_of_a_content_make_one_text() -> None:
    assert one(**content("a", "b")).inputs == ("a\nb",)


def test_a_batch_of_googles_sdk_is_read() -> None:
    same = {"taskType": "RETRIEVAL_QUERY", "output_dimensionality": 768, "model": NAME}
    assert batch({**content("a"), **same}, {**content("b"), **same}) == EmbeddingRequest(
        "gemini-embedding-001", ("a", "b"), 768, "RETRIEVAL_QUERY"
    )


def test_a_title_that_all_share_is_kept_and_others_are_named() -> None:
    assert batch({**content("a"), "title": "T"}, {**content("b"), "title": "T"}).title == "T"
    asked = batch({**content("a"), "title": "T"}, content("b"))
    assert (asked.title, asked.dropped) == (None, ("title",))


def test_what_else_is_said_is_kept_by_its_name() -> None:
    assert one(**content("a"), auto_truncate=False).extra == {"autoTruncate": False}
    asked = batch({**content("a"), "x": 1}, {**content("b"), "x": 2, "y": 3}, z=4, model=NAME)
    assert asked.extra == {"x": 1, "y": 3, "z": 4}


@pytest.mark.parametrize("name", ["taskType", "outputDimensionality"])
def test_a_batch_cannot_be_embedded_in_two_ways_at_once(name: str) -> None:
    first, second = {"taskType": ("CLUSTERING", None), "outputDimensionality": (5, 6)}[name]
    with pytest.raises(UnsupportedParameter) as caught:
        batch({**content("a"), name: first}, {**content("b"), name: second})
    assert caught.value.param == f"requests[1].{name}"


@pytest.mark.parametrize(
    ("dialect", "body", "named"),
    [
        (ONE, b"{}", "content"),
        (ONE, b'{"content":"hello"}', "content"),
        (ONE, b'{"content":{ }}', "content"),
        (ONE, b'{"content":{"parts":"hello"}}', "content.parts"),
        (
            ONE,
            b'{"content":{"parts":[{"inlineData":{"mimeType":"image/png","data":""}}]}}',
            "content.parts[0]",
        ),
        (ONE, b'{"content":{"parts":[]},"outputDimensionality":0}', "outputDimensionality"),
        (BATCH, b'{"requests":[ ]}', "requests"),
        (BATCH, b'{"requests":"a"}', "requests"),
        (BATCH, b'{"requests":[{}]}', "requests[0].content"),
        (BATCH, b'{"requests":[{"content":{"parts":[{"text":5}]}}]}', "requests[0].content.parts[0].text"),
    ],
)
def test_what_is_wrong_is_named(dialect: GeminiEmbeddings, body: bytes, named: str) -> None:
    with pytest.raises(BadRequest) as caught:
        dialect.read(dialect.open(body))
    assert caught.value.param == named


def test_settings_change_nothing_in_the_body() -> None:
    body = b'{"requests":[{"content":{"parts":[{"text":"\\u00e9"}]},"x":1.0}]}'
    call = BATCH.open(body)
    BATCH.amend(call, Settings("gemini-embedding-001", "Be brief.", 5))
    assert (call.model, dumps(call.members)) == ("gemini-embedding-001", body)


# --- answers ---


@pytest.mark.parametrize("usage", [None, Usage(7)])
def test_an_answer(usage: Usage | None) -> None:
    reply = EmbeddingReply(([0.5, 1.0], [2.0, 3.0]), usage=usage)
    counts = {"usageMetadata": {"promptTokenCount": 7}} if usage else {}
    asked, call = EmbeddingRequest("m", ("a", "b")), Call({}, "m")
    rows = [{"values": [0.5, 1.0]}, {"values": [2.0, 3.0]}]
    assert json.loads(BATCH.reply(call, asked, reply)) == {"embeddings": rows, **counts}
    assert json.loads(ONE.reply(call, asked, reply)) == {"embedding": rows[0], **counts}


def test_an_answer_of_nothing_is_no_crash() -> None:
    reply = EmbeddingReply(())
    assert json.loads(ONE.reply(Call({}, "m"), EmbeddingRequest("m", ()), reply)) == {"embedding": {}}


# --- both ways ---


@pytest.mark.parametrize("dialect", [ONE, BATCH])
def test_geminis_own_backend_is_sent_the_clients_bytes(dialect: GeminiEmbeddings) -> None:
    wire = GEMINI.embeddings(Target("", None, "m"))
    assert wire is not None
    member = "requests" if dialect.batch else "content"
    body = b'{"%b":[{"x" : 1.0}]}' if dialect.batch else b'{"%b":{"x" : 1.0}}'
    call = dialect.open(body % member.encode())
    sent = wire.relay(dialect.name, call.members, Target("", None, "gemini-embedding-001"))
    assert sent is not None
    assert sent.body == body % member.encode()
    assert sent.url.endswith(f"/{NAME}:{'batchEmbedContents' if dialect.batch else 'embedContent'}")


EMBEDDED = [
    param
    for param in interactions("gemini", api="gemini")
    if param.values[0] is None or "mbedContent" in param.values[0].request["path"]
]


@pytest.mark.parametrize("recorded", EMBEDDED)
def test_a_recorded_batch_is_rebuilt_as_it_was(recorded: Interaction) -> None:
    body = recorded.request["body"]
    model = recorded.request["path"].rpartition("/")[2].partition(":")[0]
    dialect = GeminiEmbeddings(f"models/{model}", batch="requests" in body)
    asked = dialect.read(dialect.open(dumps(body)))
    wire = GEMINI.embeddings(Target("", None, model))
    assert wire is not None
    again = json.loads(wire.build(asked, Target("", None, model)).body)
    assert again["requests"] == body.get("requests", [{"model": f"models/{model}", **body}])
    reply = json.loads(dialect.reply(Call({}, model), asked, wire.parse(recorded.json_bytes)))
    answer = recorded.response["body"]
    assert reply.keys() - {"usageMetadata"} == answer.keys() - {"usageMetadata"}
    if "embeddings" in answer:
        assert [row["values"] for row in reply["embeddings"]] == [
            row["values"] for row in answer["embeddings"]
        ]


@given(
    st.recursive(
        st.none() | st.text(max_size=3) | st.integers(),
        lambda inner: (
            st.lists(inner, max_size=2)
            | st.dictionaries(
                st.sampled_from("requests content parts text title model".split()), inner, max_size=3
            )
        ),
    )
)
def test_whatever_is_asked_is_read_or_refused(value: Any) -> None:
    for dialect in (ONE, BATCH):
        try:
            dialect.read(dialect.open(dumps(value)))
        except BadRequest:
            pass
