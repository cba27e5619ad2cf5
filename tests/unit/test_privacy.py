"""Addresses: networks come out, never hosts."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracker.capture.privacy import PERSONAL_HEADERS, drop, keeper, truncate
from tracker.settings.model import Privacy


@pytest.mark.parametrize(
    ("address", "kept"),
    [
        ("203.0.113.77", "203.0.113.0"), ("0.0.0.0", "0.0.0.0"), ("255.255.255.255", "255.255.255.0"), ("127.0.0.1", "127.0.0.0"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1::"), ("2001:DB8::1", "2001:db8::"), ("::1", "::"), ("fe80::1%eth0", "fe80::"),
        ("[2001:db8:1:2::3]", "2001:db8:1::"), ("::ffff:203.0.113.77", "203.0.113.0"), ("::FFFF:cb00:714d", "203.0.113.0"),
        ("64:ff9b::203.0.113.77", "203.0.113.0"), ("2002:cb00:714d::1", "2002:cb00:7100::"), ("::203.0.113.77", "::"),
        ("::ffff:203.0.113.77%eth0", "203.0.113.0"), ("2001:0:cb00:714d:1:2:3:4", "2001:0:cb00::"),
    ],
)  # fmt: skip
def test_an_address_is_cut_to_its_network(address: str, kept: str) -> None:
    """IPv4 /24, IPv6 /48; an IPv4 address inside an IPv6 one is cut as IPv4."""
    assert truncate(address) == kept


@pytest.mark.parametrize(
    "garbage",
    [
        "", ".", "1.2.3", "1.2.3.4.5", "1.2.3.256", "1.2.3.", ".1.2.3", "01.2.3.4", "1.2.3.04", "1.2.3.4 ", " 1.2.3.4", "1.2.3.4:80", "0x7f.1",
        "2130706433", "1.2.3.4\x00", "1.2.3.4\n", "\ud800", "\ud800.4", "é.4", "::g", ":::", "1.2.3.٤", "unix:", "localhost", "[1.2.3.4]",
        "fe80::%", "%eth0", "[::1", "1.2.3.4%eth0", "2001:db8::1/64", "::ffff:1.2.3.256", "a" * 10_000,
    ],
)  # fmt: skip
def test_what_is_no_address_becomes_nothing(garbage: str) -> None:
    """No part of it is kept: it may be anything."""
    assert truncate(garbage) in ("", "fe80::")
    if garbage != "fe80::%":
        assert truncate(garbage) == ""


@given(st.ip_addresses(v=4))
def test_any_ipv4_address_loses_its_last_byte(address: ipaddress.IPv4Address) -> None:
    """Told again by the standard library; twice, since the second time a memo answers."""
    network = str(ipaddress.ip_network(f"{address}/24", strict=False).network_address)
    assert [truncate(str(address)) for _ in range(2)] == [network, network]
    assert truncate(f"::ffff:{address}") == network


@given(st.ip_addresses(v=6))
def test_any_ipv6_address_loses_all_but_48_bits(address: ipaddress.IPv6Address) -> None:
    """Unless it has an IPv4 address inside."""
    if address.ipv4_mapped is None and address.sixtofour is None and not str(address).startswith("64:ff9b::"):
        network = ipaddress.ip_network(f"{address}/48", strict=False).network_address
        for text in (str(address), address.exploded, address.exploded.upper()):
            assert ipaddress.ip_address(truncate(text)) == network


@given(st.text())
def test_no_text_raises_and_none_comes_out_as_it_went_in_unless_it_is_a_network(text: str) -> None:
    """Whatever a proxy header holds."""
    kept = truncate(text)
    assert kept == "" or ipaddress.ip_address(kept)


def test_a_policy_chooses_its_function() -> None:
    """``drop`` keeps nothing at all."""
    assert keeper(Privacy(ip="truncate")) is truncate
    assert keeper(Privacy(ip="drop")) is drop
    assert drop("203.0.113.77") == ""


def test_headers_with_addresses_and_secrets_are_named() -> None:
    """What no field may be read from."""
    assert {"x-forwarded-for", "forwarded", "x-real-ip", "cookie", "authorization", "x-device-ip"} <= PERSONAL_HEADERS
    assert all(name == name.lower() for name in PERSONAL_HEADERS)
