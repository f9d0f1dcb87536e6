"""Keeps requests to addresses that others configure away from this machine, its network and its cloud's metadata.

What is checked is the address connected to, not how it was written: the name is resolved once, every address it has
must be allowed, and the connection goes to one of exactly these. So neither spellings (``0x7f.1``) nor a name server
that changes its mind between check and use lead anywhere else.
"""

import socket
import ssl
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any, Final, TypeAlias
from urllib.parse import urlsplit

from spanledger_alerts.errors import AddressRefusedError

Address: TypeAlias = IPv4Address | IPv6Address
Network: TypeAlias = IPv4Network | IPv6Network
Resolver: TypeAlias = Callable[..., Sequence[tuple[Any, ...]]]
"""As ``socket.getaddrinfo``."""

DEFAULT_PORTS: Final = frozenset({443, 8443})
CONNECT_SECONDS: Final = 5.0

_DENIED: Final = tuple(
    ip_network(text)
    for text in (
        # The special-purpose registry of IANA for IPv4, without what is global in fact.
        "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24",
        "192.0.2.0/24", "192.31.196.0/24", "192.52.193.0/24", "192.88.99.0/24", "192.168.0.0/16", "192.175.48.0/24",
        "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
        "168.63.129.16/32",  # Azure's platform, inside a global block
        # The same for IPv6, below the one block that is global (2000::/3): Teredo and other protocols, documentation,
        # AS112. 6to4 is judged by the address inside.
        "2001::/23", "2001:db8::/32", "2620:4f:8000::/48", "3fff::/20",
    )
)  # fmt: skip
_GLOBAL6: Final = IPv6Network("2000::/3")
_NAT64: Final = IPv6Network("64:ff9b::/96")
_MAPPED_OR_COMPATIBLE: Final = (IPv6Network("::ffff:0:0/96"), IPv6Network("::ffff:0:0:0/96"))
_6TO4: Final = IPv6Network("2002::/16")


@dataclass(frozen=True, slots=True)
class Policy:
    """What is allowed beyond https to public addresses on the usual ports; only an operator sets it."""

    allow_http: bool = False
    ports: frozenset[int] = DEFAULT_PORTS
    networks: tuple[Network, ...] = ()
    """Addresses allowed whatever they are."""
    hosts: frozenset[str] = frozenset()
    """Names that may have private addresses; link-local ones, where clouds have their metadata, stay refused."""


@dataclass(frozen=True, slots=True)
class Target:
    """An address to send to, taken apart. Not shown: paths and queries of webhooks are secrets."""

    scheme: str
    host: str
    """In ASCII, without brackets."""
    port: int
    path: str = field(repr=False)
    """With the query."""

    @property
    def authority(self) -> str:
        """What the ``Host`` header says."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        usual = {"https": 443, "http": 80}[self.scheme]
        return host if self.port == usual else f"{host}:{self.port}"


def parse_policy(*, allow: Iterable[str] = (), ports: Iterable[int] = (), allow_http: bool = False) -> Policy:
    """Return the policy with what an operator allows.

    Args:
        allow: networks (``10.0.0.0/8``), addresses and host names.
        ports: beside 443 and 8443; 80 comes with ``allow_http``.
        allow_http: whether unencrypted is good enough.
    """
    networks, hosts = [], set()
    for entry in allow:
        try:
            networks.append(ip_network(entry, strict=False))
        except ValueError:
            hosts.add(_ascii(entry))
    more = {80} if allow_http else set()
    return Policy(allow_http, DEFAULT_PORTS | set(ports) | more, tuple(networks), frozenset(hosts))


def check_url(url: str, policy: Policy) -> Target:
    """Take an address apart and refuse what no resolution could make right.

    Raises:
        AddressRefusedError: the scheme, a user name in it, or the port is not allowed.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise AddressRefusedError("the address cannot be read") from error
    if any(ord(letter) <= 0x20 or ord(letter) == 0x7F for letter in url) or "\\" in url:
        raise AddressRefusedError("the address has spaces, control characters or a backslash in it")
    if parts.scheme not in (("https", "http") if policy.allow_http else ("https",)):
        raise AddressRefusedError("only https is allowed; http needs allow_http = true")
    if "@" in parts.netloc:
        raise AddressRefusedError("an address has no user name or password: use headers")
    if not parts.hostname:
        raise AddressRefusedError("the address has no host")
    if port is None:
        port = {"https": 443, "http": 80}[parts.scheme]
    if port not in policy.ports:
        raise AddressRefusedError(f"port {port} is not allowed; add it to ports")
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Target(parts.scheme, _ascii(parts.hostname), port, path)


def _ascii(host: str) -> str:
    try:
        return host.encode("idna").decode("ascii").lower().rstrip(".") if not host.isascii() else host.lower()
    except UnicodeError as error:
        raise AddressRefusedError("the host name cannot be meant") from error


def is_denied(address: Address) -> bool:
    """Tell whether an address is none of the public internet, also where it hides another inside."""
    inner = _inside(address)
    if inner is not None:
        return is_denied(inner)
    if isinstance(address, IPv6Address) and address not in _GLOBAL6:
        return True
    return any(address in network for network in _DENIED) or not address.is_global or address.is_multicast


def _inside(address: Address) -> IPv4Address | None:
    """Return the IPv4 address that a translator would make of an IPv6 one."""
    if isinstance(address, IPv4Address):
        return None
    if address in _6TO4:
        return IPv4Address(int(address) >> 80 & 0xFFFFFFFF)
    if address in _NAT64 or any(address in network for network in _MAPPED_OR_COMPATIBLE):
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return None


def _is_allowed(address: Address, host: str, policy: Policy) -> bool:
    candidates = [address] if (inner := _inside(address)) is None else [address, inner]
    if any(one in network for one in candidates for network in policy.networks):
        return True
    if host in policy.hosts and not any(one.is_link_local or _is_metadata(one) for one in candidates):
        return True
    return not is_denied(address)


def _is_metadata(address: Address) -> bool:
    return str(address) in ("100.100.100.200", "168.63.129.16", "192.0.0.192", "fd00:ec2::254", "fd20:ce::254")


def resolve(target: Target, policy: Policy, resolver: Resolver = socket.getaddrinfo) -> list[Address]:
    """Return the addresses of a target, all of which are allowed.

    Raises:
        AddressRefusedError: any of them is not.
        OSError: the name has none.
    """
    try:
        found = resolver(target.host, target.port, type=socket.SOCK_STREAM)
    except UnicodeError as error:
        raise AddressRefusedError("the host name cannot be meant") from error
    addresses = list(dict.fromkeys(ip_address(str(entry[4][0]).partition("%")[0]) for entry in found))
    if not addresses:
        raise OSError("the host name has no address")
    if not all(_is_allowed(address, target.host, policy) for address in addresses):
        raise AddressRefusedError("the host is no public address; an operator can add its network to allow")
    return addresses


def connect(
    target: Target, policy: Policy, *, timeout: float = CONNECT_SECONDS, resolver: Resolver = socket.getaddrinfo
) -> socket.socket:
    """Return a connection to an allowed address of the target, with TLS where the scheme is https.

    Proxies of the environment are not used: they would resolve the name again.

    Args:
        target: where to.
        policy: what is allowed.
        timeout: seconds for each address tried, TLS included.
        resolver: as ``socket.getaddrinfo``.

    Raises:
        AddressRefusedError: an address is not allowed; nothing was connected to.
        OSError: nobody answers there, or not with a certificate for the name.
    """
    raw = _first(resolve(target, policy, resolver), target.port, timeout)
    if target.scheme == "http":
        return raw
    try:
        return ssl.create_default_context().wrap_socket(raw, server_hostname=target.host)
    except BaseException:
        raw.close()
        raise


def _first(addresses: Sequence[Address], port: int, timeout: float) -> socket.socket:
    failure: OSError = OSError("no address")
    for address in addresses[:2]:  # so that the time allowed for connecting stays bounded
        try:
            return socket.create_connection((str(address), port), timeout / min(len(addresses), 2))
        except OSError as error:
            failure = error
    raise failure
