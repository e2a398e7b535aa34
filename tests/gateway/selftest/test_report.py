"""The matrix, for people and for programs."""

from __future__ import annotations

from gateway.selftest.report import Report
from gateway.selftest.runner import Result

RESULTS = (
    Result("openai-chat", "openai", "hello", "answer, whole"),
    Result("openai-chat", "openai", "hello", "answer, stream"),
    Result("gemini", "openai", "hello", "answer, whole", ("text: 'a' became 'b'",)),
    Result("gemini", "cohere", "hello", "answer, whole", ("text: 'a' became 'b'",)),
    Result("gemini", "cohere", "length", "answer, whole"),
)
REPORT = Report(("openai-chat", "gemini"), RESULTS, 1.25, {"no audio": 2}, {"embeddings: no chat": 1})


def test_people_see_a_matrix() -> None:
    assert REPORT.text() == (
        "backend          chat        gemini\n"
        "openai          2/2           0/1 ✗\n"
        "cohere            –           1/2 ✗\n"
        "\n"
        "refused with 400: 2\n"
        "not read: 1\n"
        "3 of 5 passed in 1.2 s; -v says what differed"
    )


def test_people_see_each_fault_once_with_all_that_have_it() -> None:
    assert REPORT.text(verbose=True).splitlines()[4:] == [
        "refused with 400: 2",
        "     2 no audio",
        "not read: 1",
        "     1 embeddings: no chat",
        "✗ hello, answer, whole: text: 'a' became 'b'",
        "  a client of gemini, with openai, cohere",
        "3 of 5 passed in 1.2 s",
    ]


def test_programs_get_cells_with_their_failures() -> None:
    data = REPORT.data()
    assert (data["ok"], data["passed"], data["total"], data["seconds"]) == (False, 3, 5, 1.25)
    assert data["cells"][0] == {
        "backend": "openai",
        "dialect": "openai-chat",
        "passed": 2,
        "total": 2,
        "failures": [],
    }
    assert data["cells"][2]["failures"] == [
        {"conversation": "hello", "part": "answer, whole", "faults": ["text: 'a' became 'b'"]}
    ]
    assert (data["refused"], data["skipped"]) == ({"no audio": 2}, {"embeddings: no chat": 1})


def test_all_is_well_without_failures() -> None:
    report = Report(("openai-chat",), RESULTS[:2], 0.5)
    assert report.data()["ok"] and report.text().endswith("\n\n2 of 2 passed in 0.5 s")
