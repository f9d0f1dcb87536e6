"""A6: nothing configured leads to this machine, its network or its cloud, however it is written."""

import socket
from ipaddress import ip_address
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spanledger_alerts.delivery import Policy, Resolver, check_url, connect, is_denied, parse_policy, resolve
from spanledger_alerts.errors import AddressRefusedError

SPELLINGS = [
    # this machine
    "https://127.0.0.1/", "https://127.1/", "https://127.0.1/", "https://0/", "https://0.0.0.0/", "https://2130706433/",
    "https://0x7f000001/", "https://0x7f.1/", "https://017700000001/", "https://0177.0.0.1/", "https://127.255.255.254/",
    "https://localhost/", "https://LOCALHOST/", "https://localhost./", "https://[::1]/", "https://[::]/",
    "https://[0:0:0:0:0:0:0:1]/", "https://[::ffff:127.0.0.1]/", "https://[::ffff:7f00:1]/", "https://[::127.0.0.1]/",
    "https://\u2460\u2461\u2466.\u24ea.\u24ea.\u2460/", "https://\uff11\uff12\uff17.0.0.1/", "https://127\u30020\u30020\u30021/",
    # its network
    "https://10.0.0.1/", "https://172.16.0.1/", "https://172.31.255.255/", "https://192.168.1.1/", "https://100.64.0.1/",
    "https://[fc00::1]/", "https://[fd12:3456::1]/", "https://[fe80::1]/", "https://[fe80::1%25lo]/", "https://[fec0::1]/",
    # the metadata of clouds
    "https://169.254.169.254/latest/meta-data/", "https://2852039166/", "https://0xa9fea9fe/", "https://0251.0376.0251.0376/",
    "https://[::ffff:169.254.169.254]/", "https://[64:ff9b::a9fe:a9fe]/", "https://[64:ff9b:1::a9fe:a9fe]/",
    "https://[2002:a9fe:a9fe::1]/", "https://[2002:7f00:1::]/", "https://[2001:0:4136:e378:8000:63bf:3fff:fdd2]/",
    "https://100.100.100.200/", "https://[fd00:ec2::254]/", "https://168.63.129.16/", "https://192.0.0.192/",
    # neither hosts nor names
    "https://224.0.0.1/", "https://239.255.255.250/", "https://255.255.255.255/", "https://240.0.0.1/", "https://[ff02::1]/",
    "https://192.0.2.1/", "https://198.18.0.1/", "https://198.51.100.7/", "https://203.0.113.9/", "https://[2001:db8::1]/",
    "https://[3fff::1]/", "https://[5f00::1]/", "https://[100::1]/", "https://192.88.99.1/",
    # other ways in
    "http://93.184.215.14/", "ftp://93.184.215.14/", "file:///etc/passwd", "gopher://93.184.215.14/",
    "//93.184.215.14/",
    "https://93.184.215.14:22/", "https://93.184.215.14:6379/", "https://93.184.215.14:80/", "https://93.184.215.14:0/",
    "https://93.184.215.14:99999/", "https://user@93.184.215.14/", "https://user:password@93.184.215.14/",
    "https://93.184.215.14@127.0.0.1/", "https://127.0.0.1\\@93.184.215.14/", "https://93.184.215.14\r\nHost: x/",
    "https://93.184.215.14 /", "https:///x", "https://", "", "https://[::1", "https://\u0000/",
]  # fmt: skip


def resolver(*answers: str) -> Resolver:
    """A name server that answers one of these after the other, then the last for ever."""
    left = list(answers)

    def look_up(_host: str, port: int, **_: Any) -> list[Any]:
        now = left.pop(0) if len(left) > 1 else left[0]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in now.split(",")]

    return look_up


@pytest.mark.parametrize("url", SPELLINGS)
def test_a6_no_spelling_leads_inside(url: str, no_network: list[Any]) -> None:
    with pytest.raises((AddressRefusedError, socket.gaierror)):
        connect(check_url(url, Policy()), Policy())
    assert no_network == []


def test_a6_there_are_more_than_forty_spellings() -> None:
    assert len(set(SPELLINGS)) >= 40


def test_a6_the_address_that_was_checked_is_the_one_connected_to(no_network: list[Any]) -> None:
    rebinding = resolver("93.184.215.14", "127.0.0.1")
    target = check_url("https://rebind.example/", Policy())
    with pytest.raises(ConnectionRefusedError):
        connect(target, Policy(), resolver=rebinding)
    assert no_network == [("93.184.215.14", 443)]
    for _ in range(3):  # every further attempt looks again, and goes nowhere
        with pytest.raises(AddressRefusedError):
            connect(target, Policy(), resolver=rebinding)
    assert no_network == [("93.184.215.14", 443)]


def test_a6_one_refused_address_among_good_ones_refuses_all(no_network: list[Any]) -> None:
    target = check_url("https://mixed.example/", Policy())
    with pytest.raises(AddressRefusedError):
        connect(target, Policy(), resolver=resolver("93.184.215.14,10.0.0.1"))
    assert no_network == []


@pytest.mark.parametrize(
    "address", ["8.8.8.8", "93.184.215.14", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808", "2002:808:808::1"]
)
def test_public_addresses_are_allowed(address: str) -> None:
    assert not is_denied(ip_address(address))
    assert resolve(check_url("https://x.example/", Policy()), Policy(), resolver(address)) == [ip_address(address)]


@given(st.ip_addresses())
def test_nothing_is_allowed_that_python_knows_to_be_private(address: Any) -> None:
    if not address.is_global or address.is_multicast or address.is_loopback or address.is_link_local:
        mapped = getattr(address, "ipv4_mapped", None)
        assert is_denied(address) or (mapped is not None and not is_denied(mapped))


@given(st.ip_addresses(v=4))
def test_an_address_inside_another_is_judged_like_itself(address: Any) -> None:
    number = int(address)
    for outside in (0xFFFF << 32 | number, 0x64FF9B << 96 | number, 0x2002 << 112 | number << 80):
        assert is_denied(ip_address(outside.to_bytes(16, "big"))) == is_denied(address)


def test_operators_allow_networks_names_and_ports() -> None:
    policy = parse_policy(allow=["10.1.0.0/16", "hooks.internal"], ports=[9093], allow_http=True)
    inside = check_url("http://10.1.2.3:9093/", policy)
    assert resolve(inside, policy, resolver("10.1.2.3")) == [ip_address("10.1.2.3")]
    with pytest.raises(AddressRefusedError):
        resolve(inside, policy, resolver("10.2.0.1"))
    named = check_url("https://hooks.internal/", policy)
    assert resolve(named, policy, resolver("192.168.0.9")) == [ip_address("192.168.0.9")]
    with pytest.raises(AddressRefusedError):  # a name can be pointed anywhere, so not at the metadata
        resolve(named, policy, resolver("169.254.169.254"))


def test_a_target_does_not_show_its_secret_path() -> None:
    target = check_url("https://hooks.slack.com/services/T0/B0/secret?token=secret", Policy())
    assert "secret" not in repr(target)
    assert (target.authority, target.port) == ("hooks.slack.com", 443)
    assert target.path == "/services/T0/B0/secret?token=secret"
    assert check_url("https://[2606:4700::1111]:8443", Policy()).authority == "[2606:4700::1111]:8443"
