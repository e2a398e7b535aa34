"""The admin's pages."""

from __future__ import annotations

import base64
import re
from pathlib import Path

import pytest

from gateway.models import DailyUsageRow
from tests.running import PASSWORD, running


@pytest.mark.gen_test(timeout=20)
async def test_the_dashboard_shows_clients_and_what_they_used_today(tmp_path: Path) -> None:
    async with running(tmp_path) as gateway:
        key = await gateway.client(name="<b>app</b>")
        await gateway.chat(key, {"model": "m", "messages": [{"role": "user", "content": "one two three"}]})
        await gateway.rows(1)
        page = await gateway.admin("GET", "/admin")
        style = await gateway.fetch("GET", "/static/app.css")
        icon = await gateway.fetch("GET", "/static/icon.svg")
    text = page.body.decode()
    assert (page.status, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert "&lt;b&gt;app&lt;/b&gt;" in text and "<b>app" not in text
    assert re.findall(r'data-label="([^"]+)">([^<]+)<', text) == [
        ("Requests", "1"),
        ("Errors", "0"),
        ("Tokens in", "3"),
        ("Tokens out", "3"),
    ]
    assert (style.status, style.headers["content-type"]) == (200, "text/css")
    assert (icon.status, icon.headers["content-type"]) == (200, "image/svg+xml")


@pytest.mark.gen_test(timeout=20)
async def test_the_dashboard_says_what_is_off_and_makes_long_numbers_readable(tmp_path: Path) -> None:
    async with running(tmp_path) as gateway:
        empty = (await gateway.admin("GET", "/admin")).body.decode()
        _, client = await gateway.new_client(active=False)
        day = gateway.services.clock.now().date()
        sums = {"requests": 2, "errors": 1, "refused": 0, "input_tokens": 1_234_567, "output_tokens": 0}
        insert = DailyUsageRow.insert(client_id=client.id, day=day, **sums)
        await gateway.services.db.write(insert.execute)
        page = (await gateway.admin("GET", "/admin")).body.decode()
    assert "No clients yet" in empty and "<table" not in empty
    assert '<span class="badge">off</span>' in page
    assert page.count("1,234,567") == 2, "the client's, and the sum of all"


@pytest.mark.gen_test(timeout=20)
async def test_the_dashboard_needs_no_script_and_no_style_of_its_own(tmp_path: Path) -> None:
    async with running(tmp_path) as gateway:
        await gateway.client(description="d", active=False)
        page = await gateway.admin("GET", "/admin")
    policy = "default-src 'none'; style-src 'self'; img-src 'self'"
    assert page.headers["content-security-policy"] == policy
    assert not re.search(rb"<script|<style|style=| on[a-z]+=|http", page.body)


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
