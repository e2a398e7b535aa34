"""What upstreams' error answers are read as: recorded ones field by field, then every shape that is known."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import (
    BadRequest,
    BodyTooLarge,
    Conflict,
    ContentPolicyViolation,
    ContextLengthExceeded,
    Forbidden,
    GatewayError,
    InsufficientQuota,
    ModelNotFound,
    NotFound,
    Overloaded,
    RateLimited,
    UnsupportedParameter,
    UpstreamAuthFailed,
    UpstreamError,
    UpstreamServerError,
    UpstreamTimeout,
)
from gateway.providers.faults import fault, fault_in
from tests.recordings import Interaction, interactions

INVALID = "invalid_request_error"


def read(status: int, body: Any, headers: dict[str, str] | None = None) -> GatewayError:
    return fault(status, headers or {}, body if isinstance(body, bytes) else json.dumps(body).encode())


def face(error: GatewayError) -> tuple[type[GatewayError], int, str, str | None, str | None]:
    return type(error), error.status, error.type, error.code, error.param


# --- recorded -----------------------------------------------------------------------------------------------

NO_MODEL = (ModelNotFound, 404, INVALID, "model_not_found", None)
NO_MODEL_NAMED = (ModelNotFound, 404, INVALID, "model_not_found", "model")
BAD_PART = (BadRequest, 400, INVALID, "invalid_value", "messages[3]")
BAD_PART_MESSAGE = "Invalid 'messages[3]'. Content blocks are expected to be either text or image_url type."
RECORDED = {
    "anthropic/test_anthropic__test_anthropic_count_tokens_error#0": (
        *NO_MODEL,
        "model: claude-does-not-exist",
    ),
    "anthropic/test_anthropic__test_anthropic_explicit_effort_xhigh_unsupported_model_errors#0": (
        *(BadRequest, 400, INVALID, None, None),
        "This model does not support effort level 'xhigh'. Supported levels: high, low, max, medium.",
    ),
    "anthropic/test_model_name_suggestions__test_model_name_suggestion-anthropic#0": (
        *NO_MODEL,
        "model: claude-sonet-4-5",
    ),
    "cohere/test_embeddings__TestCohere.test_embed_error#0": (
        *NO_MODEL,
        "model 'nonexistent' not found, make sure the correct model ID was used"
        " and that you have access to the model.",
    ),
    "deepseek/test_deepseek_responses__test_deepseek_responses_rejects_interleaved_function_calls#0": (
        *(BadRequest, 400, INVALID, INVALID, None),
        "No tool output found for tool call call-a.",
    ),
    "gemini/test_embeddings__TestGoogle.test_embed_error#0": (
        *NO_MODEL,
        "models/nonexistent-model is not found for API version v1beta, or is not supported for embedContent."
        " Call ListModels to see the list of available models and their supported methods.",
    ),
    "groq/test_model_name_suggestions__test_model_name_suggestion-groq#0": (
        *NO_MODEL,
        "The model `llama-3.3-70b-versatlie` does not exist or you do not have access to it.",
    ),
    "openai/test_embeddings__TestOpenAI.test_embed_error#0": (
        *NO_MODEL,
        "The model `nonexistent` does not exist or you do not have access to it.",
    ),
    "openai/test_model_name_suggestions__test_inferred_model_name_suggestion#0": (
        *NO_MODEL_NAMED,
        "The requested model 'gpt-5.2-proo' does not exist.",
    ),
    "openai/test_model_name_suggestions__test_model_name_suggestion-openai-chat#0": (
        *NO_MODEL,
        "The model `gpt-5.2-proo` does not exist or you do not have access to it.",
    ),
    "openai/test_model_name_suggestions__test_model_name_suggestion-openai-responses#0": (
        *NO_MODEL_NAMED,
        "The requested model 'gpt-5.2-proo' does not exist.",
    ),
    **{
        f"openai/test_multimodal_tool_returns__test_multimodal_tool_return_matrix-{case}-openai_chat#1": (
            *BAD_PART,
            BAD_PART_MESSAGE,
        )
        for case in (
            "direct-url_force_download-audio",
            "tool_return_content-binary-audio",
            "tool_return_content-url-audio",
            "tool_return_content-url_force_download-audio",
        )
    },
    "openai/test_multimodal_tool_returns__test_multimodal_tool_return_matrix"
    "-tool_return_content-url_force_download-audio-openai_responses#1": (
        *(BadRequest, 400, INVALID, "invalid_value", "input[4].content[0].file_data"),
        "Invalid file data: 'input[4].content[0].file_data'. Expected a base64-encoded data URL with a valid"
        " file MIME type (e.g. 'data:text/plain;base64,SGVsbG8sIFdvcmxkIQ=='), but got unsupported MIME type"
        " 'audio/mpeg'. Please see https://platform.openai.com/docs/assistants/tools/file-search"
        "#supported-files for supported file types.",
    ),
    "openai/test_openai_responses__test_openai_responses_model_http_error#0": (
        *(BadRequest, 400, INVALID, "decimal_below_min_value", "temperature"),
        "Invalid 'temperature': decimal below minimum value. Expected a value >= 0, but got -1 instead.",
    ),
    "openai/test_openai_responses__test_openai_responses_thinking_with_modified_history#1": (
        *(BadRequest, 400, INVALID, None, "input"),
        "Item 'rs_68c42de022c881948db7ed1cc2529f2e0202c9ad459e0d23' of type 'reasoning' was provided"
        " without its required following item.",
    ),
}


@pytest.mark.parametrize("recorded", list(interactions(ok=False)))
def test_a_recorded_error_is_read_field_by_field(recorded: Interaction) -> None:
    error = fault(recorded.status, recorded.response["headers"], recorded.json_bytes)
    if (expected := RECORDED.get(str(recorded))) is not None:
        assert (*face(error), error.message) == expected
    else:  # of a recording that was not at hand when the table was written
        assert error.status >= 400 and error.message and "<" not in error.message


# --- shapes -------------------------------------------------------------------------------------------------


def openai(message: str, type: str | None = INVALID, code: Any = None, param: str | None = None) -> Any:
    return {"error": {"message": message, "type": type, "param": param, "code": code}}


def anthropic(type: str, message: str) -> Any:
    return {"type": "error", "error": {"type": type, "message": message}, "request_id": "req_1"}


def gemini(code: int, status: str, message: str, *details: Any) -> Any:
    return {"error": {"code": code, "message": message, "status": status, "details": list(details)}}


def quota(name: str) -> Any:
    violation = {"quotaId": f"GenerateRequests{name}PerProjectPerModel-FreeTier"}
    return gemini(
        *(429, "RESOURCE_EXHAUSTED", "You exceeded your current quota, please check your plan."),
        {"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [violation]},
        {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "37s"},
    )


def openrouter(code: int, message: str, raw: str | None = None) -> Any:
    metadata = {} if raw is None else {"metadata": {"provider_name": "Some", "raw": raw}}
    return {"error": {"code": code, "message": message, **metadata}, "user_id": "user_2abc"}


BAD_KEY = "Incorrect API key provided: sk-proj-abcdefgh12345678. You can find your key at openai.com."
NO_QUOTA = "You exceeded your current quota, please check your plan and billing details."
FILTERED = "The response was filtered due to the prompt triggering the content management policy."
AZURE_FILTER = openai(FILTERED, None, "content_filter", "prompt")
AZURE_FILTER["error"] |= {"status": 400, "innererror": {"code": "ResponsibleAIPolicyViolation"}}
GEMINI_KEY = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}
GEMINI_FIELD = {"fieldViolations": [{"field": "generation_config.top_k", "description": "Invalid value"}]}
DETAIL = [{"type": "missing", "loc": ["body", "messages", 0, "role"], "msg": "Field required"}]
MISTRAL = {"object": "error", "type": INVALID, "param": None, "code": None}
XAI = "The caller does not have permission to execute the specified operation"
HTML = b"<!DOCTYPE html><html><head><title>502 Bad Gateway</title></head><body>nginx</body></html>"

AUTH = (UpstreamAuthFailed, 502, "api_error", "upstream_auth_failed", None)
PLAIN_400 = (BadRequest, 400, INVALID, None, None)
POLICY = (ContentPolicyViolation, 400, INVALID, "content_policy_violation", None)
LIMITED = (RateLimited, 429, "rate_limit_error", "rate_limit_exceeded", None)
NO_MONEY = (InsufficientQuota, 429, "insufficient_quota", "insufficient_quota", None)
FULL = (Overloaded, 503, "server_error", "overloaded", None)
BROKEN = (UpstreamServerError, 500, "server_error", None, None)
BAD_ANSWER = (UpstreamError, 502, "server_error", "upstream_error", None)
LATE = (UpstreamTimeout, 504, "server_error", "timeout", None)
NO_PATH = (NotFound, 404, INVALID, "unknown_url", None)
FORBIDDEN = (Forbidden, 403, "permission_error", "forbidden", None)
REGION = (Forbidden, 403, "request_forbidden", "unsupported_country_region_territory", None)
TOO_LARGE = (BodyTooLarge, 413, INVALID, "request_too_large", None)


def bad(code: str | None = None, param: str | None = None, type: str = INVALID) -> tuple[Any, ...]:
    return BadRequest, 400, type, code, param


# What each provider sends, what it is read as, and the message: "" where the gateway's own words stand.
SHAPES: list[tuple[str, int, Any, tuple[Any, ...], str]] = [
    ("openai bad key", 401, openai(BAD_KEY, code="invalid_api_key"), AUTH, ""),
    (
        *("openai parameter", 400, openai("No 'top_k'.", code="unsupported_parameter", param="top_k")),
        *((UnsupportedParameter, 400, INVALID, "unsupported_parameter", "top_k"), "No 'top_k'."),
    ),
    (
        *("openai rate limit", 429, openai("Slow", "tokens", "rate_limit_exceeded")),
        *((RateLimited, 429, "tokens", "rate_limit_exceeded", None), "Slow"),
    ),
    (
        "openai no money",
        429,
        openai(NO_QUOTA, "insufficient_quota", "insufficient_quota"),
        NO_MONEY,
        NO_QUOTA,
    ),
    ("openai region", 403, openai("Not here", "request_forbidden", REGION[3]), REGION, "Not here"),
    (
        *("openai policy", 400, openai("Flagged", code="invalid_prompt")),
        *((ContentPolicyViolation, 400, INVALID, "invalid_prompt", None), "Flagged"),
    ),
    (
        *("openai server error", 500, openai("Oops", "server_error", "internal_error")),
        *((UpstreamServerError, 500, "server_error", "internal_error", None), "Oops"),
    ),
    (
        *("azure content filter", 400, AZURE_FILTER),
        *((ContentPolicyViolation, 400, INVALID, "content_filter", "prompt"), FILTERED),
    ),
    ("azure number as code", 429, {"error": {"code": "429", "message": "Slow"}}, LIMITED, "Slow"),
    (
        "azure deployment",
        404,
        openai("It does not exist.", None, "DeploymentNotFound"),
        NO_MODEL,
        "It does not exist.",
    ),
    ("azure gateway tier", 401, {"statusCode": 401, "message": "Access denied"}, AUTH, ""),
    ("anthropic overloaded", 529, anthropic("overloaded_error", "Overloaded"), FULL, "Overloaded"),
    ("anthropic rate limit", 429, anthropic("rate_limit_error", "Slow"), LIMITED, "Slow"),
    (
        "anthropic no money",
        400,
        anthropic(INVALID, "Your credit balance is too low."),
        NO_MONEY,
        "Your credit",
    ),
    ("anthropic billing", 402, anthropic("billing_error", "Pay"), NO_MONEY, "Pay"),
    ("anthropic permission", 403, anthropic("permission_error", "Not for you"), FORBIDDEN, "Not for you"),
    ("anthropic no such thing", 404, anthropic("not_found_error", "Not Found"), NO_PATH, "Not Found"),
    ("anthropic timeout", 504, anthropic("timeout_error", "Late"), LATE, "Late"),
    ("anthropic too large", 413, anthropic("request_too_large", "Over 32 MB"), TOO_LARGE, "Over 32 MB"),
    (
        "anthropic filter",
        400,
        anthropic(INVALID, "Blocked by content filtering policy"),
        POLICY,
        "Blocked by",
    ),
    ("anthropic new type", 400, anthropic("brand_new_error", "New"), PLAIN_400, "New"),
    ("gemini bad key", 400, gemini(400, "INVALID_ARGUMENT", "API key not valid.", GEMINI_KEY), AUTH, ""),
    (
        "gemini no key",
        403,
        gemini(403, "PERMISSION_DENIED", "It doesn't allow unregistered callers"),
        AUTH,
        "",
    ),
    (
        "gemini region",
        400,
        gemini(400, "FAILED_PRECONDITION", "Location not supported"),
        PLAIN_400,
        "Location",
    ),
    ("gemini per minute", 429, quota("PerMinute"), LIMITED, "You exceeded"),
    ("gemini per day", 429, quota("PerDay"), NO_MONEY, "You exceeded"),
    (
        "gemini field",
        400,
        gemini(400, "INVALID_ARGUMENT", "No", GEMINI_FIELD),
        bad(None, "generation_config.top_k"),
        "No",
    ),
    ("gemini in a list", 503, [gemini(503, "UNAVAILABLE", "Full")], FULL, "Full"),
    (
        "mistral model",
        400,
        MISTRAL | {"type": "invalid_model", "code": "1500", "message": "Bad: x"},
        NO_MODEL,
        "Bad: x",
    ),
    ("mistral model in words", 400, MISTRAL | {"message": "Invalid model: x"}, NO_MODEL, "Invalid model: x"),
    (
        "mistral type",
        400,
        MISTRAL | {"type": "invalid_order", "message": "No"},
        bad(type="invalid_order"),
        "No",
    ),
    (
        "mistral detail within",
        422,
        MISTRAL | {"message": {"detail": DETAIL}},
        bad(None, "messages.0.role"),
        "Field",
    ),
    (
        *("mistral details", 422, {"detail": [*DETAIL, {"loc": ["body", "n"], "msg": "Too many"}]}),
        *(bad(None, "messages.0.role"), "Field required; Too many"),
    ),
    (
        "mistral other place",
        422,
        {"detail": [{"loc": ["query", "n"], "msg": "No"}]},
        bad(None, "query.n"),
        "No",
    ),
    ("mistral text", 400, {"detail": "No"}, PLAIN_400, "No"),
    ("mistral bad key", 401, {"message": "Unauthorized", "request_id": "1"}, AUTH, ""),
    ("perplexity", 400, openai("No", "invalid_message", 400), bad(type="invalid_message"), "No"),
    ("perplexity bad key", 401, b"<html><body>401 Authorization Required</body></html>", AUTH, ""),
    (
        "xai",
        400,
        {"code": "Client specified an invalid argument", "error": "No penalty"},
        PLAIN_400,
        "No penalty",
    ),
    (
        "xai bad key",
        400,
        {"code": "Client specified …", "error": "Incorrect API key provided: xa***89."},
        AUTH,
        "",
    ),
    (
        "xai no money",
        403,
        {"code": XAI, "error": "Your team has used all available credits"},
        NO_MONEY,
        "Your team",
    ),
    (
        "xai policy",
        403,
        {"code": XAI, "error": "Content violates usage guidelines."},
        POLICY,
        "Content violates",
    ),
    ("cohere", 400, {"id": "8bd5", "message": "invalid request"}, PLAIN_400, "invalid request"),
    ("cohere cancelled", 499, {"message": "request cancelled"}, BAD_ANSWER, "request cancelled"),
    (
        "deepseek no money",
        402,
        openai("Insufficient Balance", "unknown_error", INVALID),
        NO_MONEY,
        "Insufficient",
    ),
    ("deepseek policy", 400, openai("Content Exists Risk"), POLICY, "Content Exists Risk"),
    (
        "groq tool use failed",
        400,
        openai("No call", code="tool_use_failed"),
        bad("tool_use_failed"),
        "No call",
    ),
    ("groq no room", 498, openai("Flex is full", None, "capacity_exceeded"), FULL, "Flex is full"),
    ("openrouter", 402, openrouter(402, "More credits"), NO_MONEY, "More credits"),
    (
        *(
            "openrouter raw",
            400,
            openrouter(400, "Provider says", json.dumps(openai("Bad", "x", "y", "seed"))),
        ),
        *(bad("y", "seed", "x"), "Provider says: Bad"),
    ),
    ("openrouter raw text", 502, openrouter(502, "Failed", "no upstream"), BAD_ANSWER, "Failed: no upstream"),
    ("openrouter raw page", 502, openrouter(502, "Failed", HTML.decode()), BAD_ANSWER, "Failed"),
    ("openrouter model", 400, openrouter(400, "a/b is not a valid model ID"), NO_MODEL, "a/b is not a valid"),
    ("huggingface text", 400, {"error": "Bad input"}, PLAIN_400, "Bad input"),
    ("huggingface list", 422, {"error": ["Bad", "input"]}, PLAIN_400, "Bad; input"),
    ("ollama native", 404, {"error": 'model "x" not found, try pulling it'}, NO_MODEL, 'model "x" not found'),
    ("ollama v1", 500, openai("out of memory", "api_error"), BROKEN, "out of memory"),
    ("lm studio", 400, {"error": "'messages' field is required"}, PLAIN_400, "'messages' field is required"),
    ("llama.cpp loading", 503, openai("Loading model", "unavailable_error", 503), FULL, "Loading model"),
    ("llama.cpp bad key", 401, openai("Invalid API Key", "authentication_error", 401), AUTH, ""),
    (
        "llama.cpp cannot",
        501,
        openai("No embeddings", "not_supported_error", 501),
        bad("unsupported"),
        "No emb",
    ),
    ("llama.cpp path", 404, openai("File Not Found", "not_found_error", 404), NO_PATH, "File Not Found"),
    ("vllm", 400, openai("n must be 1", "BadRequestError", 400, "n"), bad(None, "n"), "n must be 1"),
    (
        "vllm flat",
        404,
        MISTRAL | {"message": "The model `x` is no more", "type": "NotFoundError"},
        NO_MODEL,
        "The",
    ),
    ("vllm fastapi", 405, {"detail": "Method Not Allowed"}, PLAIN_400, "Method Not Allowed"),
    ("fastapi path", 404, {"detail": "Not Found"}, NO_PATH, "Not Found"),
    ("z.ai", 400, {"error": {"code": "1214", "message": "Bad messages"}}, PLAIN_400, "Bad messages"),
    (
        "cerebras",
        400,
        openai("Bad", code="wrong_api_format", param="stop")["error"],
        bad("wrong_api_format", "stop"),
        "Bad",
    ),
    ("message is any json", 400, {"error": {"message": {"why": 1}}}, PLAIN_400, '{"why":1}'),
    ("message beside the error", 503, {"error": {"code": 503}, "message": "Full"}, FULL, "Full"),
    ("json text", 400, b'"just text"', PLAIN_400, "just text"),
    ("a proxy's text", 502, b"upstream connect error", BAD_ANSWER, "upstream connect error"),
    ("conflict", 409, openai("Busy", None), (Conflict, 409, INVALID, "conflict", None), "Busy"),
    ("request timeout", 408, b"", LATE, ""),
    ("cloudflare", 524, HTML, BAD_ANSWER, ""),
    ("teapot", 418, {}, PLAIN_400, ""),
]


@pytest.mark.parametrize(
    ("status", "body", "expected", "message"), [row[1:] for row in SHAPES], ids=[row[0] for row in SHAPES]
)
def test_every_known_shape_is_read(status: int, body: Any, expected: tuple[Any, ...], message: str) -> None:
    error = read(status, body)
    assert face(error) == expected
    assert error.message.startswith(message or "The backend ")
    assert message or str(status) in error.message


@pytest.mark.parametrize(
    "body", [b"", b"   ", b"{}", b"[]", b"null", b"3", HTML, b"<?xml version='1.0'?><Error/>"]
)
@pytest.mark.parametrize("status", [400, 500, 502])
def test_a_body_without_a_message_gets_a_plain_line_that_names_the_status(status: int, body: bytes) -> None:
    assert (
        read(status, body).message
        == f"The backend answered with HTTP status {status} and no readable message."
    )


@pytest.mark.parametrize(
    "body", [HTML, {"error": HTML.decode()}, {"message": "Bad gateway: <html><body>cloudflare</body></html>"}]
)
def test_html_is_never_passed_on(body: Any) -> None:
    assert "<" not in read(502, body).message


def test_text_that_is_not_utf_8_is_read_as_far_as_it_goes() -> None:
    assert read(500, b"caf\xe9 closed").message == "caf\ufffd closed"


def test_lone_surrogates_do_not_reach_the_message() -> None:
    assert read(400, b'{"error":{"message":"cut \\ud83d"}}').message == "cut ?"


def test_deep_nesting_is_no_trap() -> None:
    assert isinstance(read(400, b"[" * 100_000), BadRequest)


def test_long_messages_and_long_texts_are_cut() -> None:
    assert len(read(400, {"error": {"message": "x" * 50_000}}).message) == 2_000
    assert len(read(400, b"x" * 50_000).message) == 200


# --- secrets ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("Rate limit for sk-proj-Abc_123-defGHI reached", "Abc_123"),
        ("Rate limit for AIzaSyA1234567890abcdefg reached", "SyA1234567890"),
        ("key gsk_abcdefghijklmnop1234 is over its limit", "abcdefghijklmnop1234"),
        ("token hf_abcdefghijklmnop1234", "abcdefghijklmnop1234"),
        ("sent Authorization: Bearer abc.def-ghi.jkl", "abc.def-ghi"),
        ("POST https://host/v1beta/models/x:generateContent?alt=sse&key=A1B2C3D4E5 failed", "A1B2C3D4E5"),
        ("GET https://host/path?api_key=short7!&x=1", "short7!"),
        ("x-api-key: 0123456789abcdef", "0123456789abcdef"),
        ('sent {"api-key": "0123456789abcdef"}', "0123456789abcdef"),
        ("in organization `org_01habcdefghijklmnopqr` service tier", "01habcdefghijklmnopqr"),
        ("for organization org-AbCdEfGhIjKlMnOpQrSt on tokens", "AbCdEfGhIjKlMnOp"),
        ("project proj_AbCdEfGhIjKlMnOpQrSt is archived", "AbCdEfGhIjKlMnOp"),
        ("for consumer 'project_number:123456789012'", "123456789012"),
        ("API has not been used in project 123456789012 before", "123456789012"),
        ("Your team 12345678-90ab-cdef-1234-567890abcdef has", "567890abcdef"),
    ],
)
@pytest.mark.parametrize("status", [400, 429, 500])
def test_keys_and_account_ids_never_reach_the_caller(status: int, text: str, secret: str) -> None:
    for body in ({"error": {"message": text}}, {"error": text}, text.encode()):
        message = read(status, body).message
        assert secret not in message
        assert "***" in message


@pytest.mark.parametrize(
    "text",
    [
        "Item 'rs_68c42de022c881948db7ed1cc2529f2e0202c9ad459e0d23' was provided without its following item.",
        "Unknown parameter: 'user_provided_instructions'.",
        "The API key has no access to this model",
        "project files are missing",
    ],
)
def test_ordinary_words_are_left_alone(text: str) -> None:
    assert read(400, {"error": {"message": text}}).message == text


@pytest.mark.parametrize("status", [400, 401, 403])
def test_a_refused_key_is_told_without_the_upstreams_words(status: int) -> None:
    body = {"error": {"message": "Invalid API key: 7fa9", "code": "invalid_api_key"}}
    assert face(error := read(status, body)) == AUTH
    assert "7fa9" not in error.message


# --- context length -----------------------------------------------------------------------------------------

TOO_LONG: list[tuple[str, int, Any]] = [
    ("openai code", 400, openai("Too long", code="context_length_exceeded")),
    ("openai", 400, openai("This model's maximum context length is 8192 tokens.")),
    ("azure", 400, openai("x", None, "context_length_exceeded")),
    ("anthropic", 400, anthropic(INVALID, "prompt is too long: 210000 tokens > 200000 maximum")),
    (
        "anthropic sum",
        400,
        anthropic(INVALID, "input length and `max_tokens` exceed context limit: 9 + 3 > 10"),
    ),
    (
        "gemini",
        400,
        gemini(400, "INVALID_ARGUMENT", "The input token count (9) exceeds the maximum number (8)."),
    ),
    (
        "mistral",
        400,
        {"message": "Prompt contains 9 tokens, too large for model with 8 maximum context length"},
    ),
    ("groq", 400, openai("Please reduce the length.", code="context_length_exceeded", param="messages")),
    (
        "groq per minute",
        413,
        openai("Request too large for model `x` on TPM", "tokens", "rate_limit_exceeded"),
    ),
    (
        "xai",
        400,
        {"code": "a b", "error": "This model's maximum prompt length is 8 but the request contains 9"},
    ),
    ("xai newer", 400, {"error": "[input_too_large] Current message (9 tokens) exceeds budget"}),
    ("deepseek", 400, openai("This model's maximum context length is 65536 tokens.")),
    ("cohere", 400, {"message": "too many tokens: the prompt cannot exceed 4081"}),
    ("openrouter", 400, openrouter(400, "This endpoint's maximum context length is 131072 tokens")),
    ("openrouter raw", 400, openrouter(400, "Failed", '{"error":{"message":"maximum context length is 9"}}')),
    ("openrouter raw code", 400, openrouter(400, "Failed", '{"error":{"code":"context_length_exceeded"}}')),
    ("lm studio", 400, {"error": "The number of tokens is greater than the context length."}),
    ("lm studio overflow", 400, {"error": "Reached context overflow"}),
    ("llama.cpp type", 400, openai("x", "exceed_context_size_error", 400)),
    ("llama.cpp", 400, openai("the request exceeds the available context size", None)),
    ("llama.cpp embeddings", 500, openai("input (9 tokens) is too large to process", "server_error", 500)),
    ("vllm", 400, openai("However, the model's context length is only 4 tokens", "BadRequestError", 400)),
    ("cerebras", 400, openai("x", code="context_length_exceeded", param="messages")["error"]),
    ("z.ai", 400, {"error": {"code": "1261", "message": "the model's context window is full"}}),
    ("hugging face", 422, {"error": "too many input tokens"}),
]
NOT_TOO_LONG: list[tuple[str, int, Any]] = [
    ("openai", 400, openai("max_tokens is too large: 99. This model supports at most 9 completion tokens")),
    (
        "vllm",
        400,
        openai("'max_tokens' or 'max_completion_tokens' is too large: 9. The context length is 8."),
    ),
    (
        "groq",
        400,
        openai("`max_completion_tokens` must be less than or equal to 8, see the `context_window`"),
    ),
    ("anthropic", 400, anthropic(INVALID, "max_tokens: 9 > 8, which is the maximum number of output tokens")),
    ("openrouter", 400, openrouter(400, "Token limit reached")),
    ("rate limit", 429, openai("too many tokens per minute for this context window", "tokens")),
    ("overloaded", 503, openai("no room for this context size", None)),
    ("bytes", 413, anthropic("request_too_large", "Request exceeds the maximum size")),
    ("schema", 400, openai("tools.0.name: String should have at most 64 characters")),
]


@pytest.mark.parametrize(("name", "status", "body"), TOO_LONG)
def test_a_conversation_that_is_too_long_is_recognised(name: str, status: int, body: Any) -> None:
    expected = (ContextLengthExceeded, 400, INVALID, "context_length_exceeded", "messages")
    assert face(read(status, body)) == expected


@pytest.mark.parametrize(("name", "status", "body"), NOT_TOO_LONG)
def test_other_complaints_about_tokens_are_not_about_the_context(name: str, status: int, body: Any) -> None:
    assert not isinstance(read(status, body), ContextLengthExceeded)


# --- how long to wait ---------------------------------------------------------------------------------------

DATE = {"date": "Wed, 21 Oct 2026 07:28:00 GMT"}


@pytest.mark.parametrize(
    ("headers", "wait_s"),
    [
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "0.25"}, 0.25),
        ({"retry-after": "1.23456"}, 1.235),
        ({"retry-after": " 3 "}, 3.0),
        ({"retry-after": "-5"}, 0.0),
        ({"retry-after": "9999999"}, 86_400.0),
        ({"retry-after-ms": "1500"}, 1.5),
        ({"retry-after-ms": "1500", "retry-after": "2"}, 1.5),
        ({"retry-after-ms": "soon", "retry-after": "2"}, 2.0),
        ({"retry-after": "Wed, 21 Oct 2026 07:28:30 GMT", **DATE}, 30.0),
        ({"retry-after": "Wed, 21 Oct 2026 07:27:30 GMT", **DATE}, 0.0),
        ({"retry-after": "Wed, 21 Oct 2026 09:28:30 +0200", **DATE}, 30.0),
        ({"retry-after": "Wed, 21 Oct 2026 07:28:30 -0000", **DATE}, 30.0),
        ({"retry-after": "Wed, 21 Oct 2026 07:28:30 GMT"}, None),
        ({"retry-after": "Wed, 99 Oct 2026 07:28:30 GMT", **DATE}, None),
        ({"retry-after": "Wed, 21 Oct 2026 07:28:30 +99999999999999999999", **DATE}, None),
        ({"retry-after": "soon", **DATE}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": ""}, None),
        ({}, None),
    ],
)
def test_retry_after_is_read_in_all_its_forms(headers: dict[str, str], wait_s: float | None) -> None:
    assert read(429, b"", headers).retry_after_s == wait_s


def test_a_date_is_read_alike_in_every_time_zone(monkeypatch: pytest.MonkeyPatch) -> None:
    try:
        monkeypatch.setenv("TZ", "Asia/Tokyo")
        time.tzset()
        error = read(429, b"", {"retry-after": "Wed, 21 Oct 2026 07:28:30 -0000", **DATE})
    finally:
        monkeypatch.undo()
        time.tzset()
    assert error.retry_after_s == 30.0


@pytest.mark.parametrize(
    ("delay", "wait_s"), [("37s", 37.0), ("0.5s", 0.5), ("17.268s", 17.268), ("later", None), (5, None)]
)
def test_gemini_tells_the_wait_in_the_body(delay: Any, wait_s: float | None) -> None:
    body = {"error": {"code": 429, "status": "RESOURCE_EXHAUSTED", "details": [{}, {"retryDelay": delay}]}}
    assert read(429, body).retry_after_s == wait_s
    assert fault_in(body).retry_after_s == wait_s


def test_a_header_wins_over_the_body() -> None:
    assert read(429, quota("PerMinute"), {"retry-after": "2"}).retry_after_s == 2.0


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504, 529])
def test_a_wait_is_kept_where_another_try_can_help(status: int) -> None:
    assert read(status, b"", {"retry-after": "2"}).retry_after_s == 2.0


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 413, 422, 501])
def test_a_wait_is_dropped_where_it_cannot(status: int) -> None:
    assert read(status, b"", {"retry-after": "2"}).retry_after_s is None


def test_an_exhausted_daily_quota_is_not_worth_a_wait() -> None:
    assert read(429, quota("PerDay"), {"retry-after": "2"}).retry_after_s is None


# --- in a stream, or under status 200 -----------------------------------------------------------------------

IN_STREAM: list[tuple[str, Any, tuple[Any, ...]]] = [
    ("openrouter rate limit", openrouter(429, "Slow") | {"choices": []}, LIMITED),
    ("openrouter no money", openrouter(402, "Pay"), NO_MONEY),
    ("anthropic overloaded", anthropic("overloaded_error", "Full"), FULL),
    ("anthropic api error", anthropic("api_error", "Oops"), BROKEN),
    ("anthropic rate limit", anthropic("rate_limit_error", "Slow"), LIMITED),
    ("anthropic bad request", anthropic(INVALID, "Bad"), PLAIN_400),
    ("anthropic bad key", anthropic("authentication_error", "Key"), AUTH),
    ("anthropic timeout", anthropic("timeout_error", "Late"), LATE),
    ("gemini status alone", {"error": {"message": "Full", "status": "UNAVAILABLE"}}, FULL),
    ("gemini internal", gemini(500, "INTERNAL", "Oops"), BROKEN),
    ("gemini deadline", {"error": {"message": "Late", "status": "DEADLINE_EXCEEDED"}}, LATE),
    ("gemini denied", {"error": {"message": "No", "status": "PERMISSION_DENIED"}}, FORBIDDEN),
    ("openai server error", openai("Oops", "server_error"), BROKEN),
    ("openai limit by type", openai("Slow", "rate_limit_error"), LIMITED),
    ("openai flat event", {"type": "error", "code": "rate_limit_exceeded", "message": "Slow"}, LIMITED),
    ("azure number string", openai("Slow", None, "429"), LIMITED),
    ("vllm", openai("Bad", "BadRequestError", 400), PLAIN_400),
    ("llama.cpp", openai("Loading", "unavailable_error", 503), FULL),
    ("llama.cpp type alone", openai("Loading", "unavailable_error"), FULL),
    (
        "groq",
        {"error": {"message": "Slow", "type": INVALID, "status_code": 429}},
        (RateLimited, 429, INVALID, *LIMITED[3:]),
    ),
    ("ollama", {"error": "llama runner process has terminated"}, BROKEN),
    ("silent", {"error": {}}, BROKEN),
    ("a number that is no status", openai("Oops", None, 1302), BROKEN),
]


@pytest.mark.parametrize(("name", "data", "expected"), IN_STREAM)
def test_an_error_in_a_stream_names_its_own_status(name: str, data: Any, expected: tuple[Any, ...]) -> None:
    assert face(fault_in(data)) == expected


def test_the_status_given_counts_when_the_error_names_none() -> None:
    assert face(fault_in({"error": "Oops"}, 503)) == FULL
    assert face(fault_in({"error": {"code": 429, "message": "Slow"}}, 503)) == LIMITED


def test_an_answer_of_status_200_that_reports_an_error_has_the_status_it_names() -> None:
    assert face(read(200, {"error": {"code": 429, "message": "Slow"}})) == LIMITED
    assert face(read(200, {"error": "Oops"})) == BAD_ANSWER
    assert face(read(200, HTML)) == BAD_ANSWER


RECORDED_IN_STREAM = {
    "groq/test_groq__test_tool_use_failed_error_streaming#0": (
        *(BadRequest, 400, INVALID, "tool_use_failed", None),
        "Tool call validation failed: tool call validation failed: parameters for tool get_something_by_name"
        " did not match schema: errors: [missing properties: 'name', additionalProperties 'invalid_param'"
        " not allowed]",
    ),
    "groq/test_groq__test_tool_use_failed_error_streaming_with_text#0": (
        *(BadRequest, 400, INVALID, "tool_use_failed", None),
        "Tool choice is required, but model did not call a tool",
    ),
    "openrouter/test_openrouter__test_openrouter_stream_error#0": (*PLAIN_400, "Token limit reached"),
}


@pytest.mark.parametrize("recorded", list(interactions("groq", "openrouter", streamed=True)))
def test_a_recorded_error_in_a_stream_is_read_field_by_field(recorded: Interaction) -> None:
    """Every recorded stream is searched: those that are known to fail hold just the error in the table."""
    events = [json.loads(line[6:]) for line in recorded.sse.splitlines() if line.startswith(b"data: {")]
    errors = [fault_in(event) for event in events if event.get("error")]
    if (expected := RECORDED_IN_STREAM.get(str(recorded))) is not None:
        assert [(*face(error), error.message) for error in errors] == [expected]
    assert all(error.status >= 400 and error.message for error in errors)


# --- anything -----------------------------------------------------------------------------------------------

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from(["429", "UNKNOWN", "<html>"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                "error message detail msg type code param status details metadata raw loc reason violations"
                " quotaId fieldViolations field retryDelay innererror status_code".split()
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=20,
)


def check(error: GatewayError) -> None:
    assert isinstance(error, GatewayError)
    assert 400 <= error.status <= 599
    assert error.status != 401
    assert 0 < len(error.message) <= 2_000
    for text in (error.message, error.type, error.code, error.param):
        (text or "").encode()
    assert error.retry_after_s is None or 0 <= error.retry_after_s <= 86_400


@given(
    st.integers(400, 599),
    st.binary() | JSON.map(lambda value: json.dumps(value).encode()),
    st.text(),
    st.text(),
)
def test_any_bytes_and_any_status_give_an_error(status: int, body: bytes, after: str, date: str) -> None:
    check(fault(status, {"retry-after": after, "retry-after-ms": date, "date": date}, body))


@given(st.dictionaries(st.sampled_from(["error", "type", "message", "code", "detail", "choices"]), JSON))
def test_any_event_gives_an_error(data: dict[str, Any]) -> None:
    check(fault_in(data))
