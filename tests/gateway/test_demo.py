"""`ai-gateway demo`, as a process."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

COMMAND = [sys.executable, "-m", "gateway", "demo"]


def test_once_shows_an_answer_and_leaves_nothing_behind(tmp_path: Path) -> None:
    ended = subprocess.run(
        [*COMMAND, "--once"], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "assistant: Hello from AI Gateway, word by word!" in ended.stdout
    assert list(tmp_path.iterdir()) == []


def test_what_is_set_for_the_gateway_in_use_does_not_reach_its_redis(tmp_path: Path) -> None:
    environ = {"AI_GATEWAY_SERVER_WORKERS": "4", "AI_GATEWAY_REDIS_URL": f"unix://{tmp_path}/none.sock"}
    ended = subprocess.run(
        [*COMMAND, "--once"],
        cwd=tmp_path,
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (0, "")  # it would say that it is away


def test_it_keeps_serving_and_its_curl_line_works(tmp_path: Path) -> None:
    with subprocess.Popen(
        [*COMMAND, "--port", "0"], cwd=tmp_path, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        said = ""
        for line in process.stdout:
            said += line
            if "Ctrl-C" in line:
                break
        line = said[said.index("  curl") : said.index("\n\nCtrl-C")]
        curled = subprocess.run(line, shell=True, capture_output=True, text=True, timeout=20, check=False)
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 0
    assert re.search(r"Dashboard: http://localhost:\d+/admin", said) and re.search(r"password: \S{16,}", said)
    assert '"content":"Hello"' in curled.stdout and curled.stdout.endswith("data: [DONE]\n\n")


def test_ctrl_c_stops_it_at_once_while_the_model_starts(tmp_path: Path) -> None:
    with subprocess.Popen(
        [*COMMAND, "--llm"], cwd=tmp_path, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        assert process.stdout is not None and process.stdout.readline().startswith("Starting")
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(20) == 130


def test_a_failure_is_told_and_is_not_zero(tmp_path: Path) -> None:
    environ = {**os.environ, "AI_GATEWAY_DEFAULTS_QUOTA_MAX_INPUT_TOKENS": "many"}
    ended = subprocess.run(
        [*COMMAND, "--once"],
        cwd=tmp_path,
        env=environ,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 1
    assert ended.stderr.startswith("ai-gateway: AI_GATEWAY_DEFAULTS_QUOTA_MAX_INPUT_TOKENS")


def test_a_real_model_answers(tmp_path: Path) -> None:
    ended = subprocess.run(
        [*COMMAND, "--llm", "--once"], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    assert re.search(r"assistant: \S", ended.stdout)
