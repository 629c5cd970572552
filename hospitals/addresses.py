"""Which addresses this service may call: the public internet over TLS, and networks that the operator named. Free of Django.

An address counts as what it is and not as how it is written; a name counts as every address that it has.
"""

import re
import socket
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

import httpcore
import httpx

from hospitals.exceptions import AddressRefused

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

# Not for general traffic, by the IANA special-purpose registries (RFC 6890 and its successors): listed by hand, because
# what ipaddress calls global has changed between Python versions.
_CLOSED_V4 = tuple(
    IPv4Network(text)
    for text in (
        "0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 169.254.0.0/16 172.16.0.0/12 192.0.0.0/24 192.0.2.0/24 "
        "192.31.196.0/24 192.52.193.0/24 192.88.99.0/24 192.168.0.0/16 192.175.48.0/24 198.18.0.0/15 198.51.100.0/24 "
        "203.0.113.0/24 224.0.0.0/4 240.0.0.0/4"
    ).split()
)
_OPEN_V6 = IPv6Network("2000::/3")
_CLOSED_V6 = tuple(
    # Teredo, benchmarks, ORCHID; documentation; 6to4; documentation: all outside, or inside in disguise
    IPv6Network(text)
    for text in "2001::/23 2001:db8::/32 2002::/16 3fff::/20 2620:4f:8000::/48".split()
)
# A cloud's own services, which answer with its keys: refused even inside a network that the operator named.
_METADATA = frozenset(
    ip_address(text)
    for text in "169.254.169.254 169.254.170.2 169.254.169.123 100.100.100.200 168.63.129.16 192.0.0.192 fd00:ec2::254 fd20:ce::254".split()
)
_CLOSED_NAMES = (
    "localhost",
    "local",
    "internal",
    "intranet",
    "lan",
    "home",
    "corp",
    "private",
    "test",
    "invalid",
    "onion",
)
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9])?")
_NUMERIC = re.compile(r"(?:0x[0-9a-f]*|[0-9]+)")


@dataclass(frozen=True, slots=True)
class Policy:
    """What the operator allows beyond https to public addresses.

    ``networks``: private networks that hospitals are reached by (a VPN). ``plain_hosts``: hosts that may be called without
    TLS, for tests and for such networks.
    """

    networks: tuple[Network, ...] = ()
    plain_hosts: frozenset[str] = frozenset()

    @classmethod
    def of(cls, networks: Iterable[str] = (), plain_hosts: Iterable[str] = ()) -> "Policy":
        """From settings' strings. Raises ``ValueError`` for what is no network."""
        return cls(tuple(ip_network(n) for n in networks), frozenset(h.lower() for h in plain_hosts))

    def check_address(self, address: Address) -> None:
        """Raises ``AddressRefused`` (private_address) unless this address may be called."""
        plain = address.ipv4_mapped or address if isinstance(address, IPv6Address) else address
        if plain in _METADATA:
            raise AddressRefused(code="private_address")
        if any(plain.version == network.version and plain in network for network in self.networks):
            return
        if isinstance(plain, IPv4Address):
            closed = any(plain in network for network in _CLOSED_V4)
        else:
            closed = plain not in _OPEN_V6 or any(plain in network for network in _CLOSED_V6)
        if closed or plain is not address:
            raise AddressRefused(code="private_address")

    def check_host(self, host: str) -> Address | None:
        """The address if the host is one, None for a name. Raises ``AddressRefused`` (bad_host, private_address)."""
        host = host.lower()
        try:
            address = ip_address(host.strip("[]"))
        except ValueError:
            address = None
        if address is not None:
            if getattr(address, "scope_id", None):
                raise AddressRefused(code="bad_host")
            self.check_address(address)
            return address
        labels = host.split(".")
        # A last label that is a number makes resolvers read the whole as an address in some old notation: 0x7f.1, 2130706433.
        if len(host) > 253 or not all(_LABEL.fullmatch(label) for label in labels) or _NUMERIC.fullmatch(labels[-1]):
            raise AddressRefused(code="bad_host")
        if host in self.plain_hosts:
            return None
        # Inside a network that the operator named, private names are usual; the address decides there.
        private = len(labels) == 1 or labels[-1] in _CLOSED_NAMES or host.endswith(".home.arpa")
        if labels[-1] == "localhost" or labels[0] == "metadata" or (private and not self.networks):
            raise AddressRefused(code="private_name")
        return None

    def check_url(self, text: str) -> httpx.URL:
        """The address as it will be called. Raises ``AddressRefused`` (bad_url, not_https, userinfo, bad_port, bad_host, …)."""
        if len(text) > 2000 or any(ord(c) < 33 or c == "\\" for c in text):
            raise AddressRefused(code="bad_url")
        try:
            url = httpx.URL(text)
        except (httpx.InvalidURL, ValueError) as error:
            raise AddressRefused(code="bad_url") from error
        host = url.raw_host.decode("ascii")
        if url.scheme not in ("http", "https") or not host:
            raise AddressRefused(code="bad_url")
        if url.userinfo:
            raise AddressRefused(code="userinfo")
        if url.scheme == "http" and host.lower() not in self.plain_hosts:
            raise AddressRefused(code="not_https")
        if url.port is not None and url.port not in (80, 443) and not 1024 <= url.port <= 65535:
            raise AddressRefused(code="bad_port")
        self.check_host(host)
        return url


def system_resolve(host: str, port: int) -> list[str]:
    """All addresses of a name. Bounded in time by the system's own resolver only."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise httpcore.ConnectError("name not found") from error
    return [str(entry[4][0]) for entry in found]


Resolve = Callable[[str, int], list[str]]


def addresses(policy: Policy, host: str, port: int, resolve: Resolve = system_resolve) -> list[str]:
    """Where a connection to this host may go. One forbidden address among several refuses them all: it is a trap.

    Raises ``AddressRefused``, or ``httpcore.ConnectError`` when the name is not known.
    """
    literal = policy.check_host(host)
    if literal is not None:
        return [str(literal)]
    found = list(dict.fromkeys(resolve(host, port)))
    if not found:
        raise httpcore.ConnectError("name not found")
    for text in found:
        policy.check_address(ip_address(text.partition("%")[0]))
    return found
