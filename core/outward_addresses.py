"""
Tell what lies outside from what lies inside: IP addresses and host names that may be asked on a stranger's word.

Inside is whatever is not plainly the public internet: the machine itself, its networks, its cloud's services, and every way to
write one of these as something else. Registries: IANA's special-purpose addresses (RFC 6890) and special-use names (RFC 6761).
"""

import ipaddress
import re
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

IpAddress = IPv4Address | IPv6Address

_REFUSED_V4 = tuple(
    IPv4Network(each)
    for each in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",  # carrier-grade NAT, and Alibaba's metadata
        "127.0.0.0/8",
        "168.63.129.16/32",  # Azure's own services, on an address that looks public
        "169.254.0.0/16",  # link-local, and most clouds' metadata
        "172.16.0.0/12",
        "192.0.0.0/24",  # and Oracle's metadata
        "192.0.2.0/24",
        "192.31.196.0/24",
        "192.52.193.0/24",
        "192.88.99.0/24",  # the relays of 6to4
        "192.168.0.0/16",
        "192.175.48.0/24",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
    )
)
_GLOBAL_V6 = IPv6Network("2000::/3")
_REFUSED_V6 = tuple(
    IPv6Network(each)
    for each in (
        "2001::/23",  # protocol assignments, Teredo among them
        "2001:db8::/32",
        "2002::/16",  # 6to4
        "2620:4f:8000::/48",
        "3fff::/20",
    )
)
_NAT64 = IPv6Network("64:ff9b::/96")
"""Where a network has only IPv6, the whole of IPv4 is reached through it: what counts is the address inside."""
_ISATAP = (0x00005EFE, 0x02005EFE)

_INWARD_SUFFIXES = (
    "localhost",
    "local",
    "internal",
    "intranet",
    "private",
    "corp",
    "home",
    "lan",
    "home.arpa",
    "localdomain",
    "test",
    "example",
    "invalid",
    "onion",
    "alt",
)
_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)")
_NUMBER = re.compile(r"\d+|0x[0-9a-f]*")


def is_outward(address: IpAddress) -> bool:
    """Whether it is one of the public internet's, also where it holds another one in itself."""
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _REFUSED_V4)
    if address.scope_id is not None:
        return False
    if address in _NAT64:
        return is_outward(IPv4Address(int(address) & 0xFFFF_FFFF))
    if address not in _GLOBAL_V6 or any(address in network for network in _REFUSED_V6):
        return False
    # Its last 32 bits are an IPv4 address that a tunnel leads to.
    return (int(address) >> 32) & 0xFFFF_FFFF not in _ISATAP


def host_of(host: str) -> IpAddress | str:
    """
    A plain IP address, or a name with at least one dot in ASCII (IDNA), in lower case and without a dot at its end.

    Raises:
        ValueError: it is neither, or a name that only has a meaning inside. An address in another spelling (short, decimal,
            octal, hexadecimal) is never guessed at.
    """
    text = host.lower().removesuffix(".")
    if ":" in text:
        return IPv6Address(text)
    labels = text.split(".")
    if _NUMBER.fullmatch(labels[-1]):  # then every resolver takes the whole for an IPv4 address
        return IPv4Address(text)
    if len(text) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        raise ValueError("is not a host name")
    if len(labels) < 2:
        raise ValueError("is a name that only has a meaning inside")
    if any(text.endswith("." + suffix) for suffix in _INWARD_SUFFIXES):
        raise ValueError("is a name that only has a meaning inside")
    return text


def parsed(address: str) -> IpAddress:
    """What a resolver answered."""
    return ipaddress.ip_address(address)
