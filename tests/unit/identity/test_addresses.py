"""Which addresses of providers are taken."""

import pytest

from pilotage.central.identity.providers.addresses import wrong_address

#    address                             what is wrong, or nothing
ADDRESSES = [
    ("https://iam.example.org/", ""),
    ("https://iam.example.org:8443/realms/ctao", ""),
    ("https://[2001:db8::1]/", ""),
    ("http://localhost:18090", ""),
    ("http://127.0.0.1:18090", ""),
    ("http://[::1]:18090", ""),
    ("http://iam.example.org/", "is not encrypted"),
    ("http://localhost.example.org/", "is not encrypted"),
    ("http://127.0.0.1.example.org/", "is not encrypted"),
    ("ftp://iam.example.org/", "expected https://HOST/PATH"),
    ("https:///path", "expected https://HOST/PATH"),
    ("iam.example.org", "expected https://HOST/PATH"),
    ("https://user@iam.example.org/", "expected https://HOST/PATH"),
    ("https://iam.example.org@evil.test/", "expected https://HOST/PATH"),
    ("https://iam.example.org:port/", "is not a URL"),
    ("https://[iam/", "is not a URL"),
    ("https://iam.example.org/ x", "has a blank"),
    ("https://iam.example.org/\n", "has a blank"),
    ("https://iam.example.org\\@evil.test/", "has a blank, or a character that no URL has"),
    ("https://iäm.example.org/", "a character that no URL has"),
    ("", "a character that no URL has"),
    ("https://iam.example.org/#x", "query or a fragment"),
    ("https://iam.example.org/?x", "query or a fragment"),
    ("https://" + "a" * 2_000, "more than 1024 characters"),
]


@pytest.mark.parametrize(("address", "said"), ADDRESSES)
def test_an_address_is_encrypted_or_of_this_machine(address: str, said: str) -> None:
    found = wrong_address(address, query=False)

    assert said in found and bool(said) is bool(found)


def test_a_query_is_right_where_no_issuer_is_named() -> None:
    assert wrong_address("https://iam.example.org/keys?v=1") == ""
    assert "fragment" in wrong_address("https://iam.example.org/keys?v=1#x")
