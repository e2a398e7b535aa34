"""What a request is expected to be billed for."""

from __future__ import annotations

import base64
import json
import random
import textwrap

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.estimates import (
    BLOB_TOKENS,
    LEAST_OUTPUT,
    MAX_MODELS,
    UNKNOWN_OUTPUT,
    Estimates,
    Weight,
    weigh,
)

PICTURE = base64.b64encode(random.Random(1).randbytes(30_000)).decode()


def estimate(estimates: Estimates, size: int, model: str = "m") -> int:
    return estimates.input_tokens("openai", model, Weight(size))


def test_four_bytes_are_a_token_as_long_as_nothing_is_known() -> None:
    assert estimate(Estimates(), 4_000) == 1_000
    assert estimate(Estimates(), 1) == 1
    assert Estimates().output_tokens("openai", "m") == UNKNOWN_OUTPUT


@pytest.mark.parametrize("bytes_per_token", [2.0, 3.1, 4.0, 6.5])
def test_the_estimate_comes_near_what_is_billed(bytes_per_token: float) -> None:
    estimates = Estimates()
    for size in (800, 12_000, 40_000) * 10:
        estimates.learn("openai", "m", Weight(size), round(size / bytes_per_token), 10)
    assert estimate(estimates, 10_000) == pytest.approx(10_000 / bytes_per_token, rel=0.03)


def test_a_model_is_known_by_itself() -> None:
    estimates = Estimates()
    for _ in range(50):
        estimates.learn("openai", "m", Weight(10_000), 5_000, 9_000)
    assert estimate(estimates, 4_000, "other") == 1_000
    assert estimates.input_tokens("anthropic", "m", Weight(4_000)) == 1_000
    assert estimates.output_tokens("openai", "other") == UNKNOWN_OUTPUT


def test_what_a_model_does_of_late_weighs_more() -> None:
    estimates = Estimates()
    for _ in range(200):
        estimates.learn("openai", "m", Weight(40_000), 10_000, 1)
    for _ in range(200):
        estimates.learn("openai", "m", Weight(40_000), 20_000, 1)
    assert estimate(estimates, 4_000) == pytest.approx(2_000, rel=0.05)


def test_what_the_server_keeps_of_a_conversation_is_not_held_for_short_tokens() -> None:
    estimates = Estimates()
    for _ in range(100):
        estimates.learn("openai", "m", Weight(200), 50_000, 10)
    assert estimate(estimates, 4_000) == 1_000


def test_the_padding_of_one_client_does_not_make_anothers_text_short() -> None:
    estimates = Estimates()
    for _ in range(100):
        estimates.learn("openai", "m", Weight(5_000_000), 10, 10)
        estimates.learn("openai", "m", Weight(5_000_000), 10_000, 10)
    assert estimate(estimates, 4_000) >= 500


def test_answers_without_a_limit_are_expected_to_be_as_long_as_the_longest_of_late() -> None:
    estimates = Estimates()
    estimates.learn("openai", "m", Weight(400), 100, 20_000)
    assert estimates.output_tokens("openai", "m") == 20_000
    for _ in range(1_000):
        estimates.learn("openai", "m", Weight(400), 100, 10)
    assert estimates.output_tokens("openai", "m") == LEAST_OUTPUT


def test_models_called_longest_ago_are_forgotten() -> None:
    estimates = Estimates()
    for number in range(MAX_MODELS + 1):
        estimates.learn("openai", f"m{number}", Weight(1_000_000), 500_000, 10)
    assert estimate(estimates, 4_000, "m0") == 1_000
    assert estimate(estimates, 4_000, "m1") > 1_900


@pytest.mark.parametrize(
    "part",
    [
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PICTURE}"}},
        {"type": "input_audio", "input_audio": {"data": PICTURE, "format": "wav"}},
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PICTURE}},
        {"inlineData": {"mimeType": "image/png", "data": PICTURE}},
        {
            "type": "file",
            "file": {"filename": "a.pdf", "file_data": f"data:application/pdf;base64,{PICTURE}"},
        },
        {"type": "input_image", "image_url": f"data:image/png;base64,{PICTURE}"},
        {"type": "input_file", "file_data": f"data:application/pdf;base64,{PICTURE}"},
        {"type": "image_generation_call", "result": PICTURE},
        {"type": "computer_call_output", "output": {"image_url": f"data:image/png;base64,{PICTURE}"}},
        {"type": "tool_result", "content": [{"source": {"media_type": "image/png", "data": PICTURE}}]},
        {"functionResponse": {"parts": [{"inline_data": {"mime_type": "image/png", "data": PICTURE}}]}},
        {"image_url": {"url": "data:image/png;base64," + "\n".join(textwrap.wrap(PICTURE, 76))}},
    ],
)
def test_pictures_do_not_weigh_by_their_bytes(part: object) -> None:
    body = json.dumps(
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "x" * 400}, part]}]}
    )
    for spelled in (body, body.replace("/", "\\/")):  # as PHP writes it
        weight = weigh(spelled.encode())
        assert weight.blob_tokens == BLOB_TOKENS
        assert 400 < weight.text_bytes < 700


@pytest.mark.parametrize(
    "text",
    [
        "word " * 10_000,
        'say \\";base64,\\" ' * 2_000,
        ";base64," + "a b" * 5_000,
        ';base64,"data"' * 900,
        '"data": 1',
    ],
)
def test_text_weighs_by_its_bytes_whatever_it_looks_like(text: str) -> None:
    body = json.dumps(
        {"messages": [{"role": "user", "content": text}], "data": {"data": text[:100]}}
    ).encode()
    assert weigh(body) == Weight(len(body), 0)


DASHED = "the-quick-brown-fox/" * 1_000


@pytest.mark.parametrize(
    "message",
    [
        {"role": "user", "content": ";base64," + DASHED},
        {"role": "user", "content": "data:image/png;base64," + DASHED},
        {"role": "user", "content": [{"type": "text", "text": "data:image/png;base64," + DASHED}]},
        {"role": "user", "content": [{"type": "document", "source": {"type": "text", "data": DASHED}}]},
        {"role": "user", "content": [{"source": {"media_type": "text/plain", "data": DASHED}}]},
        {"role": "user", "parts": [{"inlineData": {"mimeType": "text/csv", "data": PICTURE}}]},
        {"role": "user", "content": [{"file": {"file_data": "data:text/plain;base64," + PICTURE}}]},
        {"role": "user", "content": [{"image_url": {"url": "data:image/png," + DASHED}}]},
        {"role": "assistant", "content": [{"type": "tool_use", "input": {"data": DASHED}}]},
        {"role": "model", "parts": [{"functionCall": {"args": {"inlineData": {"data": DASHED}}}}]},
        {"role": "user", "parts": [{"functionResponse": {"response": {"data": DASHED}}}]},
    ],
)
def test_text_does_not_hide_as_a_picture(message: dict[str, object]) -> None:
    tools = [{"type": "function", "function": {"name": "f", "parameters": {"data": DASHED}}}]
    for body in ({"messages": [message]}, {"messages": [message], "tools": tools}):
        sent = json.dumps(body).encode()
        assert weigh(sent) == Weight(len(sent), 0)


def test_a_body_that_cannot_be_read_is_text() -> None:
    for body in (
        b'{"data":' + b"[" * 20_000,
        b'"data"' + b"x" * 5_000,
        b'["data",1e9999' + b" " * 3_000 + b"]",
    ):
        assert weigh(body) == Weight(len(body), 0)


@given(
    st.binary(max_size=200),
    st.lists(st.sampled_from([b";base64,", b'"data"', b'"', PICTURE[:3000].encode()])),
)
def test_any_body_has_a_weight(start: bytes, parts: list[bytes]) -> None:
    body = start + b"".join(parts)
    weight = weigh(body)
    assert 0 <= weight.text_bytes <= len(body)
    assert weight.blob_tokens % BLOB_TOKENS == 0 or weight.blob_tokens > BLOB_TOKENS
