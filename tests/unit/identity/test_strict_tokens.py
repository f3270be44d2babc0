"""Parsing of tokens, and the checks of ID tokens."""

import time
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from pilotage.central.identity.errors import BadToken
from pilotage.central.identity.strict_tokens import (
    ID_TOKEN_MAX,
    PLAIN_TYPES,
    TokenEnded,
    TokenRules,
    VerificationKey,
    check_claims,
    check_id_token,
    check_signature,
    parse,
)

from .fake_provider import ec_key
from .forgeries import Maker

NOW = 1_800_000_000
CLIENT = "pilotage-web"
ID_TOKEN = Maker(
    issuer="https://iam.test/",
    audience=CLIENT,
    now=NOW,
    key=ec_key("id"),
    kid="id",
    usual={"nonce": "n1"},
)
RULES = TokenRules(
    issuer="https://iam.test/",
    audiences=frozenset({CLIENT}),
    algorithms=frozenset({"ES256"}),
    types=PLAIN_TYPES,
    life_max_s=86_400,
)


def test_a_token_is_parsed_into_its_parts() -> None:
    token = parse(ID_TOKEN.token())

    assert (token.header.alg, token.header.kid, token.header.type) == ("ES256", "id", "jwt")
    assert token.issuer == "https://iam.test/"
    assert token.claims["sub"] == "ada"
    check_signature(token, VerificationKey("ES256", ec_key("id")))
    assert parse(ID_TOKEN.token(iss=5)).issuer == ""


def test_no_text_raises_another_error() -> None:
    good = ID_TOKEN.token()
    piece = st.one_of(
        st.text(max_size=40), st.sampled_from([*good.split("."), "e30", "e", "W10", "bnVsbA"])
    )

    @settings(max_examples=300, deadline=None)
    @given(st.lists(piece, max_size=5).map(".".join))
    def read(text: str) -> None:
        try:
            parse(text)
        except BadToken:
            assert text != good

    read()


def test_octets_of_any_kind_raise_no_other_error() -> None:
    @settings(max_examples=300, deadline=None)
    @given(st.binary(max_size=200), st.binary(max_size=200))
    def read(header: bytes, payload: bytes) -> None:
        for text in (ID_TOKEN.sign(payload), ID_TOKEN.sign(b"{}", header)):
            try:
                check_claims(parse(text), RULES, NOW)
            except BadToken:
                continue
            raise AssertionError(text)

    read()


#    changed claims, nonce of the login, whether it is taken
ID_TOKENS: list[tuple[dict[str, Any], str | None, bool]] = [
    ({}, "n1", True),
    ({}, None, True),  # the device flow sends no nonce
    ({}, "n2", False),
    ({"nonce": None}, "n1", False),
    ({"nonce": ["n1"]}, "n1", False),
    ({"azp": CLIENT}, "n1", True),
    ({"azp": "other"}, "n1", False),
    ({"aud": [CLIENT]}, "n1", True),
    ({"aud": [CLIENT, "other"]}, "n1", False),
    ({"aud": [CLIENT, "other"], "azp": CLIENT}, "n1", True),
    ({"aud": [CLIENT, "other"], "azp": "other"}, "n1", False),
    ({"aud": "other"}, "n1", False),
    ({"iss": "https://evil.test"}, "n1", False),
    ({"exp": NOW}, "n1", False),
    ({"sub": None}, "n1", False),
    ({"at_hash": "x"}, "n1", True),
]


@pytest.mark.parametrize(("changed", "nonce", "right"), ID_TOKENS)
def test_an_id_token_is_for_our_client_and_this_login(
    changed: dict[str, Any], nonce: str | None, right: bool
) -> None:
    token = parse(ID_TOKEN.token(**changed))
    if right:
        assert check_id_token(token, RULES, NOW, nonce=nonce).sub == "ada"
        return
    with pytest.raises(BadToken):
        check_id_token(token, RULES, NOW, nonce=nonce)


def test_an_access_token_is_no_id_token() -> None:
    token = parse(ID_TOKEN.headed(typ="at+jwt"))

    with pytest.raises(BadToken):
        check_id_token(token, RULES, NOW, nonce="n1")


def test_an_id_token_may_list_thousands_of_groups() -> None:
    text = ID_TOKEN.token(groups=[f"/ctao/group-{number}" for number in range(5_000)])
    token = parse(text, size_max=ID_TOKEN_MAX)

    check_signature(token, VerificationKey("ES256", ec_key("id")))
    assert len(token.claims["groups"]) == 5_000
    with pytest.raises(BadToken):
        parse(text)


def test_a_token_that_has_ended_is_told_apart_but_not_in_words() -> None:
    token = parse(ID_TOKEN.token())
    with pytest.raises(TokenEnded) as ended:
        check_claims(token, RULES, NOW + 600)

    assert str(ended.value) == str(BadToken())
    assert check_claims(token, RULES, NOW + 599.9).exp == NOW + 600


@pytest.mark.parametrize(
    ("rule", "right"), [(86_400.0, False), (2 * 86_400.0, True), (30 * 86_400.0, True)]
)
def test_the_longest_life_is_a_rule(rule: float, right: bool) -> None:
    token = parse(ID_TOKEN.token(exp=NOW + 2 * 86_400))
    rules = TokenRules(
        issuer=RULES.issuer,
        audiences=RULES.audiences,
        algorithms=RULES.algorithms,
        types=RULES.types,
        life_max_s=rule,
    )
    try:
        check_claims(token, rules, NOW)
    except BadToken:
        assert not right
    else:
        assert right


def test_a_token_is_parsed_and_checked_fast() -> None:
    text = ID_TOKEN.token(groups=[f"/ctao/group-{number}" for number in range(20)])
    began = time.process_time()
    for _ in range(500):
        check_claims(parse(text), RULES, NOW)

    assert (time.process_time() - began) / 500 < 0.0005
