"""Which keys of a provider are used, and why others are not."""

from typing import Any

import pytest

from pilotage.central.identity.providers.key_sets import read_key_set
from pilotage.central.identity.providers.provider_http import BadProvider

from .fake_provider import ec_key, public, rsa_key, usual_keys

EC = public(ec_key("a"), "a")
RSA = public(rsa_key("a"), "a")


def test_keys_for_signatures_are_used_and_those_for_encryption_left_out_silently() -> None:
    found = read_key_set({"keys": usual_keys()})

    assert {kid: key.algorithm for kid, key in found.keys.items()} == {
        "ec1": "ES256",
        "rsa1": "RS256",
    }
    assert found.skipped == ()


@pytest.mark.parametrize(
    "key",
    [EC, RSA, EC | {"alg": "ES256"}, RSA | {"key_ops": ["verify"]}, EC | {"x5c": ["MIIB"]}],
)
def test_a_usual_key_is_used(key: dict[str, Any]) -> None:
    plain = {name: value for name, value in key.items() if name != "use"}

    assert list(read_key_set({"keys": [key]}).keys) == ["a"]
    assert list(read_key_set({"keys": [plain]}).keys) == ["a"]


#    key                                                  why it is not used
SKIPPED: list[tuple[Any, str]] = [
    ("a", "key 0: it is not an object"),
    (None, "key 0: it is not an object"),
    ({}, "key 0: its kid is not a text"),
    (public(ec_key("a"), "a") | {"kid": 5}, "key 0: its kid is not a text"),
    (EC | {"kid": ""}, "'': its kid is not a text of 1 to 256"),
    (EC | {"kid": "k" * 257}, "its kid is not a text of 1 to 256"),
    (EC | {"use": "tls"}, "'a': its use is 'tls', not sig"),
    (EC | {"key_ops": ["sign"]}, "'a': its key_ops do not have verify"),
    (EC | {"key_ops": "verify"}, "'a': its key_ops do not have verify"),
    (EC | {"alg": "RS256"}, "'a': its algorithm (EC P-256 RS256)"),
    (EC | {"alg": None}, "'a': its algorithm"),
    (RSA | {"alg": "RS512"}, "'a': its algorithm (RSA RS512) is not supported: use ES256 or RS256"),
    (RSA | {"alg": "ES256"}, "'a': its algorithm"),
    (public(ec_key("b", "P-384"), "b"), "'b': its algorithm (EC P-384)"),
    ({"kty": "OKP", "crv": "Ed25519", "x": "AA", "kid": "a"}, "'a': its algorithm"),
    ({"kty": ["EC"], "kid": "a"}, "'a': its algorithm"),
    ({"kid": "a"}, "'a': its algorithm ()"),
    ({"kty": "oct", "k": "AAAA", "kid": "a"}, "'a': it is a secret or a private key"),
    (dict(ec_key("a").as_dict(private=True)), "'a': it is a secret or a private key"),
    (public(rsa_key("s", 1_024), "s"), "'s': it has 1024 bits; expected 2048 to 8192"),
    (RSA | {"n": "AQAB" * 3_000}, "'a': it has 71993 bits; expected 2048 to 8192"),
    (RSA | {"n": 5}, "'a': its numbers are not those of a key"),
    (RSA | {"n": "é"}, "'a': its numbers are not those of a key"),
    (RSA | {"n": ""}, "'a': it has 0 bits"),
    (RSA | {"e": "AA"}, "'a': its numbers are not those of a key"),
    (RSA | {"e": ""}, "'a': its numbers are not those of a key"),
    (EC | {"x": "AAAA"}, "'a': its numbers are not those of a key"),
    (EC | {"y": EC["x"]}, "'a': its numbers are not those of a key"),
    (EC | {"x": None}, "'a': its numbers are not those of a key"),
    ({name: value for name, value in EC.items() if name != "y"}, "'a': its numbers are not"),
    (EC | {"x": "A" * 100_000}, "'a': its numbers are not those of a key"),
]


@pytest.mark.parametrize(("key", "why"), SKIPPED)
def test_a_bad_key_is_skipped_with_the_reason_and_costs_no_other(key: Any, why: str) -> None:
    found = read_key_set({"keys": [key, public(ec_key("good"), "good")]})

    assert list(found.keys) == ["good"]
    assert len(found.skipped) == 1
    assert why in found.skipped[0]


def test_of_two_keys_with_one_kid_neither_is_used() -> None:
    found = read_key_set({"keys": [EC, public(ec_key("b"), "a"), public(ec_key("c"), "c")]})
    kinds = read_key_set({"keys": [EC, RSA]})

    assert list(found.keys) == ["c"]
    assert found.skipped == ("'a': two keys have this kid",)
    assert kinds.keys == {}


def test_the_same_key_twice_is_one_key() -> None:
    assert list(read_key_set({"keys": [EC, EC | {"alg": "ES256"}]}).keys) == ["a"]


def test_keys_beyond_a_hundred_are_not_read() -> None:
    many = [public(ec_key("a"), f"k{number}") for number in range(150)]
    found = read_key_set({"keys": [*many, "bad"]})
    bad = read_key_set({"keys": [None] * 150})

    assert list(found.keys) == [f"k{number}" for number in range(100)]
    assert found.skipped == ("it has 151 keys; only the first 100 are read",)
    assert len(bad.skipped) == 10


@pytest.mark.parametrize("document", [{}, {"keys": {}}, {"keys": None}, {"keys": "x"}])
def test_a_document_that_is_no_key_set_is_refused(document: dict[str, Any]) -> None:
    with pytest.raises(BadProvider, match="no list `keys`"):
        read_key_set(document)


def test_a_provider_may_withdraw_all_its_keys() -> None:
    assert read_key_set({"keys": []}).keys == {}
