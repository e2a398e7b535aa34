"""Which addresses may be called."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest

from gateway.clock import ManualClock
from gateway.errors import UpstreamError
from gateway.netguard import MAX_NAMES, TTL_S, Resolver, host_refusal, refusal
from tests.fakes.loop import asynchronous

ALWAYS_REFUSED = [
    "169.254.169.254",
    "169.254.0.1",
    "fe80::1",
    "fe80::1%2",
    "fd00:ec2::254",
    "fd20:ce::254",
    "100.100.100.200",
    "168.63.129.16",
    "0.0.0.0",
    "0.1.2.3",
    "::",
    "224.0.0.1",
    "ff02::1",
    "255.255.255.255",
    "240.0.0.1",
    "::ffff:169.254.169.254",
    "::ffff:0.0.0.0",
    "::169.254.169.254",
    "64:ff9b::a9fe:a9fe",
    "2002:a9fe:a9fe::1",
]
PRIVATE = [
    "127.0.0.1",
    "::1",
    "10.1.2.3",
    "172.16.0.1",
    "192.168.1.1",
    "fd12::1",
    "100.64.0.1",
    "::ffff:10.0.0.1",
]
PUBLIC = ["1.1.1.1", "2606:4700::1111", "64:ff9b::101:101"]


@pytest.mark.parametrize("allow_private", [True, False])
@pytest.mark.parametrize("address", ALWAYS_REFUSED)
def test_some_addresses_are_never_called(address: str, allow_private: bool) -> None:
    assert refusal(address, allow_private=allow_private)


@pytest.mark.parametrize("address", PRIVATE)
def test_private_addresses_are_called_where_that_is_allowed(address: str) -> None:
    assert refusal(address) is None
    assert refusal(address, allow_private=False) == "a private or loopback address"


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_are_called(address: str) -> None:
    assert refusal(address, allow_private=False) is None


@pytest.mark.parametrize(
    "host",
    ["169.254.169.254", "2852039166", "0xa9fea9fe", "169.254.43518", "[::ffff:a9fe:a9fe]", "[fe80::1]", "0"],
)
def test_a_host_that_spells_a_refused_address_is_refused(host: str) -> None:
    assert host_refusal(host)


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST.", "api.localhost", "127.1", "[::1]"])
def test_a_host_that_spells_loopback_counts_as_private(host: str) -> None:
    assert host_refusal(host) is None
    assert host_refusal(host, allow_private=False) == "a private or loopback address"


@pytest.mark.parametrize("host", ["api.openai.com", "metadata.google.internal", "bücher.example", "1.1.1.1"])
def test_a_name_passes_until_it_is_resolved(host: str) -> None:
    assert host_refusal(host, allow_private=False) is None


class Names:
    """Stands in for the system's resolver: what it says, and how often it was asked."""

    def __init__(self, *addresses: str) -> None:
        self.addresses = addresses
        self.asked = 0

    def __call__(self, host: str, port: None, **_: Any) -> list[Any]:
        self.asked += 1
        if not self.addresses:
            raise socket.gaierror(socket.EAI_NONAME, "no such name")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 0)) for address in self.addresses]


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Names:
    names = Names("10.0.0.1", "10.0.0.2", "10.0.0.1")
    monkeypatch.setattr(socket, "getaddrinfo", names)
    return names


@asynchronous
async def test_addresses_keep_their_order_and_come_once(names: Names) -> None:
    assert await Resolver().resolve("backend") == ("10.0.0.1", "10.0.0.2")


@asynchronous
async def test_refused_addresses_are_left_out_of_an_answer(names: Names) -> None:
    names.addresses = ("169.254.169.254", "10.0.0.1", "::")
    assert await Resolver().resolve("backend") == ("10.0.0.1",)


@asynchronous
async def test_a_name_that_leads_only_to_refused_addresses_is_not_called(names: Names) -> None:
    names.addresses = ("169.254.169.254",)
    with pytest.raises(UpstreamError, match="^metadata is not called: its address is a link-local address$"):
        await Resolver().resolve("metadata")


@asynchronous
async def test_a_name_that_does_not_exist_is_an_error_and_is_asked_for_again(names: Names) -> None:
    resolver, names.addresses = Resolver(), ()
    with pytest.raises(UpstreamError, match="^backend: the name cannot be resolved$"):
        await resolver.resolve("backend")
    names.addresses = ("10.0.0.9",)
    assert await resolver.resolve("backend") == ("10.0.0.9",)


@asynchronous
async def test_a_name_no_dns_can_hold_is_an_error() -> None:
    with pytest.raises(UpstreamError, match="cannot be resolved"):
        await Resolver().resolve("a" * 64 + ".example")


@asynchronous
async def test_an_answer_is_remembered_for_a_while(names: Names) -> None:
    clock = ManualClock()
    resolver = Resolver(clock=clock)
    await asyncio.gather(*(resolver.resolve("backend") for _ in range(50)))
    clock.advance(TTL_S - 1)
    await resolver.resolve("backend")
    assert names.asked == 1
    clock.advance(1)
    names.addresses = ("10.0.0.3",)
    assert await resolver.resolve("backend") == ("10.0.0.3",)


@asynchronous
async def test_only_so_many_names_are_remembered(names: Names) -> None:
    resolver = Resolver(clock=ManualClock())
    for number in range(MAX_NAMES + 1):
        await resolver.resolve(f"backend-{number}")
    await resolver.resolve("backend-0")
    assert names.asked == MAX_NAMES + 2


@asynchronous
async def test_who_gives_up_waiting_does_not_take_the_answer_from_others(names: Names) -> None:
    resolver = Resolver()
    first = asyncio.ensure_future(resolver.resolve("backend"))
    second = asyncio.ensure_future(resolver.resolve("backend"))
    await asyncio.sleep(0)
    first.cancel()
    assert await second == ("10.0.0.1", "10.0.0.2")
