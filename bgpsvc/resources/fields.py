"""Types of single values: how each is read, and what is allowed.

Every leaf of the models is `Annotated[T, Checked(...)]`. The loader asks `Checked` directly, so that
it can report each bad value by itself; pydantic asks it when a model is made by other means. Values
come as text (a file's scalars keep their spelling: `1.10` is an ASN, not the number 1.1), as bool
where the file says true or false, or as the finished type.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Annotated, Any, Literal

from pydantic import SecretStr

from bgpsvc.as_path_regex import AsPathRegex
from bgpsvc.model import WELL_KNOWN_COMMUNITIES, parse_prefix
from bgpsvc.resources.checked import MASK as MASK  # for those who print documents
from bgpsvc.resources.checked import Checked as Checked
from bgpsvc.resources.checked import one_of, seconds, text_of, whole, whole_number

LARGEST_U32 = 4294967295
DEFAULT_LOCAL_ASN = 45104
DEFAULT_ROUTE_TABLE = 201
OWN_TABLES = range(0x20000000, 0x30000000)
"""Kernel tables of policy-based and destination-based routes and of isolation; none of them is for a VPC."""

RESERVED_TUNNEL_CIDRS = tuple(
    IPv4Network(text) for text in (*(f"169.254.{third}.0/30" for third in range(7)), "169.254.169.252/30")
)
_LINK_LOCAL = IPv4Network("169.254.0.0/16")
_NOT_A_GATEWAY = tuple(
    IPv4Network(text) for text in ("0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/4", "255.0.0.0/8")
)
_NOT_A_CUSTOMER = (IPv4Network("100.64.0.0/10"), *_NOT_A_GATEWAY)
# What the import policy refuses from a peer (RFC 6890 and the provider's 100.64.0.0/10) has no place in
# a VPC or among the prefixes that we advertise either.
_NEVER_ROUTED: tuple[IPv4Network | IPv6Network, ...] = (
    *(IPv4Network(text) for text in ("0.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16")),
    *(IPv4Network(text) for text in ("224.0.0.0/4", "240.0.0.0/4")),
    *(IPv6Network(text) for text in ("::/8", "fe80::/10", "ff00::/8")),
)
_NEVER_ROUTED_BOUNDS = tuple(
    (net.version, int(net.network_address), int(net.broadcast_address), net) for net in _NEVER_ROUTED
)


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError("is neither true nor false")
    return value


def _name(value: object) -> str:
    text = text_of(value)
    if not re.fullmatch(r"[a-z][a-z0-9-]{0,62}", text):
        raise ValueError("is not a name")
    return text


def _interface(value: object) -> str:
    # The kernel's dev_valid_name: 15 bytes at most, no slash, colon or white space, not "." or "..".
    text = text_of(value)
    if not re.fullmatch(r"[!-.0-9;-~]{1,15}", text) or text in (".", ".."):
        raise ValueError("is not an interface name")
    return text


def _asn(value: object) -> int:
    # RFC 5396: asplain, or asdot with the high and the low 16 bits.
    text = text_of(value)
    match = re.fullmatch(r"(?:([0-9]{1,5})\.)?([0-9]{1,10})", text)
    if match is None:
        raise ValueError("is not an AS number")
    high, low = match.groups()
    if high is None:
        number = int(low)
    elif int(high) > 65535 or int(low) > 65535:
        raise ValueError("is out of range, each half of asdot ends at 65535")
    else:
        number = int(high) << 16 | int(low)
    if not 1 <= number <= LARGEST_U32:
        raise ValueError("is out of range")
    return number


def _customer_asn(value: object) -> int:
    number = _asn(value)
    if number == DEFAULT_LOCAL_ASN:
        raise ValueError("is the VPN gateway's own default ASN")
    return number


def _route_table(value: object) -> int:
    number = whole_number(value, 1, LARGEST_U32)
    if number in OWN_TABLES:
        # Tables of policy-based and static routes get numbers made of their names there.
        raise ValueError("is in the range of the service's own tables")
    if number in (253, 254, 255):
        # In the main table a learned route would replace one of the system's of the same metric.
        raise ValueError("is a table of the system's own (default, main, local)")
    return number


def _network(value: object) -> IPv4Network | IPv6Network:
    if isinstance(value, IPv4Network | IPv6Network):
        return value
    prefix = parse_prefix(text_of(value))
    packed, length = prefix[:-1], prefix[-1]
    # An int and a length skip the text parser of ipaddress: 100,000 published routes load in half the time.
    pair = (int.from_bytes(packed, "big"), length)
    return IPv4Network(pair) if len(packed) == 4 else IPv6Network(pair)


def _routed_network(value: object) -> IPv4Network | IPv6Network:
    # Numbers and not subnet_of(), which costs as much as all the rest for 100,000 prefixes. The default
    # route passes: whether to take it is the receiver's choice (accept_default_route).
    network = _network(value)
    first, length, version = int(network.network_address), network.prefixlen, network.version
    for reserved_version, low, high, reserved in _NEVER_ROUTED_BOUNDS:
        if version == reserved_version and low <= first <= high and length >= reserved.prefixlen:
            raise ValueError(f"is inside {reserved}, which is never routed here")
    return network


def _vpc_cidr(value: object) -> IPv4Network | IPv6Network:
    network = _network(value)
    for reserved in _NEVER_ROUTED:
        if network.version == reserved.version and network.overlaps(reserved):
            raise ValueError(f"overlaps {reserved}, which is never routed here")
    return network


def _tunnel_cidr(value: object) -> IPv4Network:
    network = _network(value)
    if not isinstance(network, IPv4Network) or network.prefixlen != 30 or not network.subnet_of(_LINK_LOCAL):
        raise ValueError("is not a tunnel CIDR")
    if network in RESERVED_TUNNEL_CIDRS:
        raise ValueError("reserved by the system")
    return network


def _tunnel_cidr6(value: object) -> IPv6Network:
    network = _network(value)
    if not isinstance(network, IPv6Network) or network.prefixlen != 126:
        raise ValueError("is not an IPv6 tunnel CIDR")
    _routed_network(network)
    return network


def _address(value: object) -> IPv4Address | IPv6Address:
    if isinstance(value, IPv4Address | IPv6Address):
        return value
    text = text_of(value)
    try:
        return ip_address(text.replace("%", " "))  # a zone (fe80::1%eth0) is no part of any address here
    except ValueError:
        raise ValueError("is not an IP address") from None


def _ipv4(value: object) -> IPv4Address:
    address = _address(value)
    if not isinstance(address, IPv4Address):
        raise ValueError("is not an IPv4 address")
    return address


def _ipv6(value: object) -> IPv6Address:
    address = _address(value)
    if not isinstance(address, IPv6Address):
        raise ValueError("is not an IPv6 address")
    return address


def _router_id(value: object) -> IPv4Address:
    address = _ipv4(value)
    if not int(address):
        raise ValueError("is zero (RFC 6286 wants a BGP Identifier that is not)")
    return address


def _outside(excluded: tuple[IPv4Network, ...]) -> Callable[[object], IPv4Address]:
    def parse(value: object) -> IPv4Address:
        address = _ipv4(value)
        for network in excluded:
            if address in network:
                raise ValueError(f"is inside {network}")
        return address

    return parse


def _secret(pattern: str, longest: int) -> Callable[[object], SecretStr]:
    def parse(value: object) -> SecretStr:
        text = value.get_secret_value() if isinstance(value, SecretStr) else text_of(value)
        if text == MASK:
            raise ValueError("is the mask that stands for a secret, not the secret")
        if not 1 <= len(text) <= longest:
            raise ValueError("is too long" if text else "is empty")
        if not re.fullmatch(pattern, text):
            raise ValueError("has a character that is not allowed")
        return SecretStr(text)

    return parse


def _file_path(value: object) -> str:
    text = text_of(value)
    if not text.strip() or not text.isprintable():
        raise ValueError("is not the path of a file")
    return text


def _ttl_security(value: object) -> int | None:
    # `true` is what people know from other daemons: the peer is directly connected, one hop away.
    if isinstance(value, bool):
        return 1 if value else None
    return whole_number(value, 1, 254)


def _peer_id(value: object) -> str:
    text = text_of(value)
    if len(text) > 100:
        raise ValueError("is longer than 100 characters")
    if ":" in text or not text.strip("0123456789."):
        return str(_address(text))
    labels = text.split(".")
    if not all(re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?", label) for label in labels):
        raise ValueError("is neither an IP address nor a domain name")
    return text


def _static_destination(value: object) -> IPv4Network | IPv6Network:
    network = _routed_network(value)
    if network.prefixlen == 0:
        raise ValueError("is the default route, which no static route may take")
    for reserved in _NEVER_ROUTED:
        if network.version == reserved.version and network.overlaps(reserved):
            raise ValueError(f"overlaps {reserved}, which is never routed here")
    return network


def _as_path_pattern(value: object) -> str:
    text = text_of(value)
    if not 1 <= len(text) <= 200:
        raise ValueError("is too long" if text else "is empty")
    if not re.fullmatch(r"[0-9 ^$.*+?|()\[\]{},_-]*", text):
        raise ValueError("has a character that no pattern of AS paths needs")
    AsPathRegex(text)
    return text


_WELL_KNOWN = tuple(sorted(WELL_KNOWN_COMMUNITIES.values()))


def _community(value: object) -> str:
    text = text_of(value)
    if text in _WELL_KNOWN:
        return text
    parts = text.split(":")
    highest = {2: 65535, 3: LARGEST_U32}.get(len(parts), -1)
    if not all(re.fullmatch(r"[0-9]{1,10}", part) and int(part) <= highest for part in parts):
        raise ValueError("is not a community")
    return ":".join(str(int(part)) for part in parts)


def _session_name(value: object) -> str:
    text = text_of(value)
    if not re.fullmatch(r"[a-z][a-z0-9-]{0,62}-tunnel[12]", text):
        raise ValueError("is not the id of a session")
    return text


_ASN_TEXT = f"1 to {LARGEST_U32}, or asdot as in 123.456"
_RESERVED_TEXT = ", ".join(map(str, RESERVED_TUNNEL_CIDRS))
_NEVER_TEXT = ", ".join(map(str, _NEVER_ROUTED))
_OWN_TABLES_TEXT = f"{OWN_TABLES.start} to {OWN_TABLES.stop - 1}"
_PSK_SYMBOLS = "~!`@#$%^&*()_-+={}[]\\|;:',.<>/?"


def _pattern(pattern: str, longest: int | None = None) -> dict[str, Any]:
    limits = {} if longest is None else {"maxLength": longest}
    return {"type": "string", "pattern": pattern, **limits}


_NETWORK = _pattern(r"^[0-9a-fA-F.:]+/[0-9]{1,3}$", 64)
_NETWORK4 = _pattern(r"^[0-9.]+/[0-9]{1,3}$", 64)
_NETWORK6 = _pattern(r"^[0-9a-fA-F.:]+/[0-9]{1,3}$", 64)
_ADDRESS = _pattern(r"^[0-9a-fA-F.:]+$", 64)
_IPV4 = {"type": "string", "format": "ipv4"}
_IPV6 = {"type": "string", "format": "ipv6"}
_ASN_JSON = {
    "type": ["integer", "string"],
    "minimum": 1,
    "maximum": LARGEST_U32,
    "pattern": r"^([0-9]{1,5}\.)?[0-9]{1,10}$",
}

Flag = Annotated[bool, Checked(_flag, "true or false", {"type": "boolean"})]
Name = Annotated[
    str,
    Checked(
        _name,
        "1 to 63 of a-z, 0-9 and -, beginning with a letter",
        _pattern("^[a-z][a-z0-9-]{0,62}$", 63),
    ),
]
InterfaceName = Annotated[
    str,
    Checked(
        _interface,
        "1 to 15 printable ASCII characters without slash, colon or space",
        _pattern("^[!-.0-9;-~]{1,15}$", 15),
    ),
]
Asn = Annotated[int, Checked(_asn, _ASN_TEXT, _ASN_JSON)]
CustomerAsn = Annotated[int, Checked(_customer_asn, f"{_ASN_TEXT}, but not {DEFAULT_LOCAL_ASN}", _ASN_JSON)]
RouteTable = Annotated[
    int,
    Checked(
        _route_table,
        f"1 to {LARGEST_U32} without 253 to 255 and {_OWN_TABLES_TEXT}, a table of its own for each VPC",
        {"type": "integer", "minimum": 1, "maximum": LARGEST_U32},
    ),
]
VpcCidr = Annotated[
    IPv4Network | IPv6Network,
    Checked(_vpc_cidr, f"a network as 10.0.0.0/16 or 2001:db8::/32 outside {_NEVER_TEXT}", _NETWORK),
]
AdvertisedPrefix = Annotated[
    IPv4Network | IPv6Network,
    Checked(_routed_network, f"a prefix as 10.0.0.0/16 or 2001:db8::/32 outside {_NEVER_TEXT}", _NETWORK),
]
AnyNetwork = Annotated[
    IPv4Network | IPv6Network, Checked(_network, "a network as 10.0.0.0/16 or 2001:db8::/32", _NETWORK)
]
StaticDestination = Annotated[
    IPv4Network | IPv6Network,
    Checked(
        _static_destination,
        f"a network as 192.168.0.0/16 or 2001:db8::/32, not the default route, outside {_NEVER_TEXT}",
        _NETWORK,
    ),
]
AnyAddress = Annotated[IPv4Address | IPv6Address, Checked(_address, "an IP address", _ADDRESS)]
AsPathPattern = Annotated[
    str,
    Checked(
        _as_path_pattern,
        "a regular expression of up to 200 digits, spaces and ^$.*+?|()[]{},_-, as ^65500_",
        {"type": "string", "minLength": 1, "maxLength": 200},
    ),
]
CommunityText = Annotated[
    str,
    Checked(
        _community,
        f"as 65000:100 or 65000:1:2, or one of {', '.join(_WELL_KNOWN)}",
        _pattern(rf"^([0-9]{{1,10}}(:[0-9]{{1,10}}){{1,2}}|{'|'.join(_WELL_KNOWN)})$"),
    ),
]
SessionName = Annotated[
    str,
    Checked(
        _session_name,
        "a session's id, as conn1-tunnel2",
        _pattern("^[a-z][a-z0-9-]{0,62}-tunnel[12]$"),
    ),
]
TunnelCidr = Annotated[
    IPv4Network, Checked(_tunnel_cidr, f"a /30 inside 169.254.0.0/16 except {_RESERVED_TEXT}", _NETWORK4)
]
TunnelCidr6 = Annotated[
    IPv6Network,
    Checked(_tunnel_cidr6, "a /126 of global or unique local addresses, as fd00:10::/126", _NETWORK6),
]
LocalAddress = Annotated[IPv4Address, Checked(_ipv4, "an IPv4 address", _IPV4)]
LocalAddress6 = Annotated[IPv6Address, Checked(_ipv6, "an IPv6 address", _IPV6)]
RouterId = Annotated[IPv4Address, Checked(_router_id, "an IPv4 address other than 0.0.0.0", _IPV4)]
GatewayAddress = Annotated[
    IPv4Address,
    Checked(
        _outside(_NOT_A_GATEWAY), f"an IPv4 address outside {', '.join(map(str, _NOT_A_GATEWAY))}", _IPV4
    ),
]
CustomerAddress = Annotated[
    IPv4Address,
    Checked(
        _outside(_NOT_A_CUSTOMER), f"an IPv4 address outside {', '.join(map(str, _NOT_A_CUSTOMER))}", _IPV4
    ),
]
FilePath = Annotated[
    str,
    Checked(
        _file_path,
        "the path of a readable file that holds the secret alone",
        {"type": "string", "minLength": 1},
    ),
]
# No patterns here: the mask, which a document may hold instead, has spaces.
BgpPassword = Annotated[
    SecretStr,
    Checked(
        _secret(r"[!-~]+", 80),
        "1 to 80 printable ASCII characters without spaces",
        {"type": "string", "minLength": 1, "maxLength": 80},
        secret=True,
    ),
]
BfdKey = Annotated[
    SecretStr,
    Checked(
        _secret(r"[!-~]+", 20),
        "1 to 20 printable ASCII characters without spaces",
        {"type": "string", "minLength": 1, "maxLength": 20},
        secret=True,
    ),
]
PreSharedKey = Annotated[
    SecretStr,
    Checked(
        _secret(f"[A-Za-z0-9{re.escape(_PSK_SYMBOLS)}]+", 100),
        f"1 to 100 letters, digits and {_PSK_SYMBOLS}",
        {"type": "string", "minLength": 1, "maxLength": 100},
        secret=True,
    ),
]
TtlSecurity = Annotated[
    int,
    Checked(
        _ttl_security,
        "1 to 254 hops, or true for 1",
        {"type": ["integer", "boolean"], "minimum": 1, "maximum": 254},
    ),
]
PeerId = Annotated[
    str,
    Checked(
        _peer_id,
        "an IP address or domain name of up to 100 characters, no spaces",
        _pattern("^[A-Za-z0-9.:-]+$", 100),
    ),
]
HoldTime = Annotated[int, whole(3, 65535, "seconds")]
RestartTime = Annotated[int, whole(0, 4095, "seconds, 0 turns it off")]
PrefixLimit = Annotated[int, whole(1, LARGEST_U32, "prefixes")]
BfdInterval = Annotated[int, whole(10, 60000, "milliseconds")]
BfdKeyId = Annotated[int, whole(0, 255)]
ProbeInterval = Annotated[int, whole(50, 60000, "milliseconds")]
Multiplier = Annotated[int, whole(1, 255, "intervals")]
HoldDown = Annotated[float, seconds(3600)]
Lifetime = Annotated[int, whole(0, 86400, "seconds")]
TunnelMtu = Annotated[int, whole(1280, 9000, "bytes")]
DpdTimeout = Annotated[int, whole(1, 3600, "seconds")]
LimitAction = Annotated[Literal["shed", "teardown"], one_of("shed", "teardown")]
Priority = Annotated[int, whole(1, 100)]
HealthInterval = Annotated[int, whole(1, 3600, "seconds")]
HealthRetries = Annotated[int, whole(1, 100)]
HealthAction = Annotated[Literal["revoke_route", "reserve_route"], one_of("revoke_route", "reserve_route")]
PolicyAction = Annotated[Literal["accept", "reject"], one_of("accept", "reject")]
LocalPreference = Annotated[int, whole(0, LARGEST_U32)]
Med = Annotated[int, whole(0, LARGEST_U32)]
PrependCount = Annotated[int, whole(0, 10)]
PrefixLength = Annotated[int, whole(0, 128)]
RoutingMode = Annotated[
    Literal["destination", "interesting_traffic"], one_of("destination", "interesting_traffic")
]
IkeVersion = Annotated[Literal["ikev1", "ikev2"], one_of("ikev1", "ikev2")]
IkeMode = Annotated[Literal["main", "aggressive"], one_of("main", "aggressive")]
Encryption = Annotated[
    Literal["aes", "aes192", "aes256", "des", "3des"], one_of("aes", "aes192", "aes256", "des", "3des")
]
Authentication = Annotated[
    Literal["sha1", "md5", "sha256", "sha384", "sha512"], one_of("sha1", "md5", "sha256", "sha384", "sha512")
]
IkeGroup = Annotated[
    Literal["group1", "group2", "group5", "group14"], one_of("group1", "group2", "group5", "group14")
]
IpsecGroup = Annotated[
    Literal["disabled", "group1", "group2", "group5", "group14"],
    one_of("disabled", "group1", "group2", "group5", "group14"),
]
