"""A Redis Cluster of three nodes on loopback, each with a third of the slots."""

from __future__ import annotations

import random
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import redis

from tests.redis_server import executable

SLOTS = 16_384


@contextmanager
def cluster(folder: Path) -> Iterator[list[int]]:
    """The nodes' ports, once every node knows where every slot is."""
    ports = _free_ports(3)
    with ExitStack() as stack:
        for port in ports:
            stack.enter_context(_node(folder / str(port), port))
        nodes = [stack.enter_context(redis.Redis(port=port)) for port in ports]
        for number, node in enumerate(nodes):
            slots = range(SLOTS * number // 3, SLOTS * (number + 1) // 3)
            node.execute_command("CLUSTER ADDSLOTS", *slots)
            node.execute_command("CLUSTER SET-CONFIG-EPOCH", number + 1)
        for port in ports[1:]:
            nodes[0].execute_command("CLUSTER MEET", "127.0.0.1", port)
        deadline = time.monotonic() + 30
        while not all(_agreed(node) for node in nodes):
            assert time.monotonic() < deadline, "the nodes of the cluster do not agree"
            time.sleep(0.05)
        yield ports


def _agreed(node: redis.Redis) -> bool:
    told = node.execute_command("CLUSTER INFO")
    text = told.decode() if isinstance(told, bytes) else str(told)
    return "state" in text and ("cluster_state:ok" in text or "'cluster_state': 'ok'" in text)


@contextmanager
def _node(folder: Path, port: int) -> Iterator[None]:
    folder.mkdir()
    command = [executable(), "--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder)]
    command += ["--cluster-enabled", "yes", "--cluster-node-timeout", "2000", "--save", ""]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        if not any("ready to accept connections" in line.lower() for line in process.stdout):
            raise AssertionError("a node did not start")
        try:
            yield
        finally:
            process.kill()


def _free_ports(count: int) -> list[int]:
    """Ports below those that systems give to outgoing connections; nodes talk on those 10,000 higher."""
    found: list[int] = []
    with ExitStack() as stack:
        for port in random.sample(range(10_000, 22_000), 1_000):
            try:
                for each in (port, port + 10_000):
                    stack.enter_context(socket.socket()).bind(("127.0.0.1", each))
            except OSError:
                continue
            found.append(port)
            if len(found) == count:
                return found
    raise AssertionError("no port is free")
