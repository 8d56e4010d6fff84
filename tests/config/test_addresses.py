"""Which addresses a key may be sent to."""

import pytest

from tokenpool.config.addresses import check_origin, check_upstream, is_loopback, origin, owns_its_host
from tokenpool.kernel.errors import InvalidInput


@pytest.mark.parametrize(
    "url",
    [
        "https://api.anthropic.com",
        "https://api.openai.com/v1",
        "https://[2606:4700::1111]:8443/v1",
        "http://127.0.0.1:8787/simulated-provider",
        "http://localhost:11434/v1",
        "http://[::1]:8000",
    ],
)
def test_https_and_loopback_are_taken(url: str) -> None:
    """Nothing has to be said about them."""
    check_upstream("url", url, internal=False)


@pytest.mark.parametrize(
    "url",
    [
        "http://api.anthropic.com",
        "https://10.0.0.7",
        "https://192.168.1.2:8443/v1",
        "https://169.254.169.254/latest/meta-data",
        "https://[fd00::1]/v1",
        "https://[::ffff:10.0.0.7]/v1",
        "http://10.0.0.7:8000/v1",
        "http://vllm.internal:8000/v1",
    ],
)
def test_plain_http_and_private_addresses_want_a_word(url: str) -> None:
    """Refused, and taken with internal = true."""
    with pytest.raises(InvalidInput, match="internal = true"):
        check_upstream("url", url, internal=False)

    check_upstream("url", url, internal=True)


@pytest.mark.parametrize(
    "url",
    [
        "https://key@api.anthropic.com",
        "https://api.anthropic.com@evil.example",
        "https://evil.example\\@api.anthropic.com",
        "https://api.anthropic.com%2eevil.example",
        "https://api.anthropic.com/?to=evil",
        "https://api.anthropic.com/#x",
        "https://",
        "ftp://api.anthropic.com",
        "//api.anthropic.com",
        "https://api.anthropic.com:port",
        "https://[::1",
        "file:///etc/passwd",
    ],
)
def test_what_parsers_may_read_differently_is_never_taken(url: str) -> None:
    """Not even with internal = true."""
    for internal in (False, True):
        with pytest.raises(InvalidInput):
            check_upstream("upstreams.a.url", url, internal=internal)


def test_what_people_open_may_be_private_and_is_https() -> None:
    """An address on the intranet is what most have."""
    check_origin("public_url", "https://10.0.0.7")

    with pytest.raises(InvalidInput, match="is not safe"):
        check_origin("public_url", "http://10.0.0.7")


def test_an_origin_is_scheme_host_and_port() -> None:
    """The port is always said; the path is not part of it."""
    assert ("https://a.example:443", "http://a.example:80", "https://a.example:8443") == (
        origin("https://A.example/v1"),
        origin("http://a.example"),
        origin("https://a.example:8443/x"),
    )
    assert [True, True, False] == [
        is_loopback("http://127.0.0.1:1"),
        is_loopback("https://localhost"),
        is_loopback("https://a.example"),
    ]


@pytest.mark.parametrize("url", ["https://x.example/tokenpool", "https://x.example?a=1", "https://x.example#a"])
def test_a_public_address_is_no_part_of_a_site(url: str) -> None:
    """Refused by name: paths are added to it."""
    with pytest.raises(InvalidInput, match=r"public_url: .* must end after host and port"):
        check_origin("public_url", url)


@pytest.mark.parametrize(
    ("url", "owns"),
    [
        ("https://tokenpool.example.com", True),
        ("https://tokenpool.example.com:443", True),
        ("https://tokenpool.example.com:8443", False),
        ("https://localhost", False),
        ("http://127.0.0.1:8787", False),
    ],
)
def test_which_hosts_are_told_to_be_opened_by_https_alone(url: str, owns: bool) -> None:
    """Not one whose other ports may be somebody else's."""
    assert owns == owns_its_host(url)
