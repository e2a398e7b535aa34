"""Which addresses may be called. Rule: what is checked is the address connected to, never only the name.

A base URL comes from whoever administers a client, and must not become a way to the machine's own metadata
service (server-side request forgery). Names are resolved here, once, and the caller connects to the addresses
returned: a name that answers differently a moment later (DNS rebinding) gains nothing.
"""

from __future__ import annotations

import asyncio
import socket
from functools import partial
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any

from gateway.clock import Clock, SystemClock
from gateway.errors import UpstreamError

TTL_S = 30.0
MAX_NAMES = 256

_METADATA = frozenset(
    map(ip_address, ("fd00:ec2::254", "fd20:ce::254", "100.100.100.200", "168.63.129.16"))
)  # AWS and Google on IPv6, Alibaba, Azure; the rest answer on link-local addresses
_THIS_NETWORK = ip_network("0.0.0.0/8")
_EMBEDDING = (  # networks whose last 32 bits are an IPv4 address: IPv4-compatible, NAT64 (RFC 6052)
    IPv6Network("::/96"),
    IPv6Network("64:ff9b::/96"),
)


def refusal(address: str, *, allow_private: bool = True) -> str | None:
    """Why the literal IP `address` is not called, in words that follow "is"; None when it may be."""
    ip = _embedded(ip_address(address))
    if ip in _METADATA:
        return "a cloud metadata address"
    if ip.is_link_local:
        return "a link-local address"
    if ip.is_multicast:
        return "a multicast address"
    if ip.is_unspecified or ip in _THIS_NETWORK or (ip.version == 4 and ip.is_reserved):
        return "an unspecified, reserved or broadcast address"
    if not allow_private and not ip.is_global:
        return "a private or loopback address"
    return None


def host_refusal(host: str, *, allow_private: bool = True) -> str | None:
    """The same for a host as it stands in a URL: a name passes here, and is checked when it is called."""
    host = host.strip("[]").rstrip(".").lower()
    if host == "localhost" or host.endswith(".localhost"):  # RFC 6761, section 6.3
        host = "127.0.0.1"
    try:
        return refusal(host, allow_private=allow_private)
    except ValueError:
        pass
    try:  # the C library also reads 127.1, 0x7f000001 and 2130706433 as addresses
        literal = socket.inet_ntoa(socket.inet_aton(host))
    except (OSError, UnicodeError):
        return None
    return refusal(literal, allow_private=allow_private)


def _embedded(ip: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """The IPv4 address that an IPv6 one leads to, if it does."""
    if isinstance(ip, IPv4Address):
        return ip
    if any(ip in network for network in _EMBEDDING) and ip not in (IPv6Address("::"), IPv6Address("::1")):
        return IPv4Address(int(ip) & 0xFFFFFFFF)
    return ip.ipv4_mapped or ip.sixtofour or ip


class Resolver:
    """Names to addresses that may be called, kept for `TTL_S`; one look-up serves all who ask meanwhile."""

    def __init__(self, *, allow_private: bool = True, clock: Clock | None = None) -> None:
        self._allow_private = allow_private
        self._clock = clock or SystemClock()
        self._lookups: dict[str, tuple[float, asyncio.Future[list[Any]]]] = {}  # with the time it expires at

    async def resolve(self, host: str) -> tuple[str, ...]:
        """The addresses of `host` in the system's order of preference, at least one.

        Raises `UpstreamError` when there is none, or none that may be called.
        """
        now = self._clock.monotonic()
        lookup = self._lookups.get(host)
        if lookup is None or lookup[0] <= now:
            ask = partial(socket.getaddrinfo, host, None, type=socket.SOCK_STREAM)
            lookup = (now + TTL_S, asyncio.get_running_loop().run_in_executor(None, ask))
            if len(self._lookups) >= MAX_NAMES:
                self._lookups.clear()
            self._lookups[host] = lookup
        try:
            found = await asyncio.shield(lookup[1])
        except (OSError, UnicodeError) as exc:
            if self._lookups.get(host) is lookup:
                del self._lookups[host]
            raise UpstreamError(f"{host}: the name cannot be resolved") from exc
        addresses = dict.fromkeys(str(info[4][0]) for info in found)
        reasons = {address: refusal(address, allow_private=self._allow_private) for address in addresses}
        allowed = tuple(address for address, reason in reasons.items() if reason is None)
        if not allowed:
            raise UpstreamError(f"{host} is not called: its address is {next(iter(reasons.values()))}")
        return allowed
