"""The admin's pages."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from tests.running import PASSWORD, running


@pytest.mark.gen_test(timeout=20)
async def test_the_dashboard_shows_clients_and_what_they_used_today(tmp_path: Path) -> None:
    async with running(tmp_path) as gateway:
        key = await gateway.client(name="<b>app</b>")
        await gateway.chat(key, {"model": "m", "messages": [{"role": "user", "content": "one two three"}]})
        await gateway.rows(1)
        page = await gateway.admin("GET", "/admin")
        style = await gateway.fetch("GET", "/static/app.css")
    text = page.body.decode()
    assert (page.status, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert "&lt;b&gt;app&lt;/b&gt;" in text and "<b>app" not in text
    row = text[text.index("&lt;b&gt;app") :]
    assert [row.split("<td>")[n].split("<")[0] for n in (3, 4, 5, 6)] == ["1", "0", "3", "3"]
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert (style.status, style.headers["content-type"]) == (200, "text/css")


@pytest.mark.gen_test(timeout=20)
async def test_the_dashboard_asks_for_the_password(tmp_path: Path) -> None:
    async with running(tmp_path) as gateway:
        wrong = base64.b64encode(f"root:{PASSWORD}".encode()).decode()
        for headers in ({}, {"Authorization": f"Basic {wrong}"}):
            answer = await gateway.fetch("GET", "/admin", headers)
            assert answer.status == 401 and b"<table" not in answer.body


@pytest.mark.gen_test(timeout=20)
async def test_the_root_leads_to_the_dashboard(tmp_path: Path) -> None:
    async with running(tmp_path) as gateway:
        answer = await gateway.fetch("GET", "/")
        knock = await gateway.fetch("HEAD", "/")
    assert (answer.status, answer.headers["location"]) == (302, "/admin")
    assert knock.status == 200
