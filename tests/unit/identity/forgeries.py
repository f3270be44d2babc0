"""Forged tokens, each made from the right keys of an issuer or from those of an attacker."""

import hmac
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from joserfc.jwk import ECKey, RSAKey

from .fake_provider import AnyKey, base64url, ec_key, public, rsa_key, signed

EVIL: Final = "https://evil.test/keys"  # no request may go there
OCT: Final = b"a secret that stands in a public set of keys"
P_256_ORDER: Final = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


@dataclass(frozen=True)
class Maker:
    """What is right for one issuer: its names, its keys, the time."""

    issuer: str
    audience: str
    now: int
    key: ECKey
    kid: str
    usual: dict[str, Any]  # more claims of its tokens
    rsa: RSAKey = field(default_factory=lambda: rsa_key("nobody"))
    rsa_kid: str = "no such key"

    def claims(self, **changed: Any) -> dict[str, Any]:
        """Return right claims, some of them changed; None takes one out."""
        claims: dict[str, Any] = {
            "iss": self.issuer,
            "sub": "ada",
            "aud": self.audience,
            "exp": self.now + 600,
            "iat": self.now,
            "jti": "j1",
            "wlcg.ver": "1.0",
            **self.usual,
        } | {name.replace("__", "."): value for name, value in changed.items()}
        return {name: value for name, value in claims.items() if value is not None}

    def header(self, **changed: Any) -> dict[str, Any]:
        head = {"alg": "ES256", "typ": "JWT", "kid": self.kid} | changed
        return {name: value for name, value in head.items() if value is not None}

    def payload(self, **changed: Any) -> bytes:
        return json.dumps(self.claims(**changed)).encode()

    def token(self, **changed: Any) -> str:
        """Return a token with changed claims, rightly signed."""
        return self.sign(self.payload(**changed))

    def headed(self, **changed: Any) -> str:
        """Return a token with a changed header, rightly signed."""
        return self.sign(self.payload(), self.header(**changed))

    def raw(self, old: str, new: str) -> str:
        """Return a token with another text in its claims, which JSON writers would not write."""
        text = self.payload().decode()
        assert text.count(old) == 1
        return self.sign(text.replace(old, new).encode())

    def sign(
        self, payload: bytes, header: object = None, key: AnyKey | None = None, alg: str = "ES256"
    ) -> str:
        return signed(self.header() if header is None else header, payload, key or self.key, alg)


def _mac(m: Maker, secret: bytes, kid: str) -> str:
    text = f"{_json(m.header(alg='HS256', kid=kid))}.{base64url(m.payload())}"
    return f"{text}.{base64url(hmac.digest(secret, text.encode(), 'sha256'))}"


def _json(value: object) -> str:
    return base64url(json.dumps(value).encode())


def _pem(key: AnyKey) -> bytes:
    return key.as_pem(private=False)


def _unsigned(m: Maker, **header: Any) -> str:
    return f"{_json(m.header(**header))}.{base64url(m.payload())}."


def _signature(m: Maker, change: Callable[[str], str]) -> str:
    head, payload, signature = m.token().split(".")
    return f"{head}.{payload}.{change(signature)}"


def _letter(signature: str) -> str:
    return ("A" if signature[0] != "A" else "B") + signature[1:]


def _last_letter(signature: str) -> str:
    """Return other text for the same octets: the last letter of 86 has four idle bits."""
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    return signature[:-1] + letters[letters.index(signature[-1]) ^ 1]


def _der(m: Maker) -> str:
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric.ec import ECDSA

    text = ".".join(m.token().split(".")[:2])
    private = m.key.private_key
    assert private is not None
    return f"{text}.{base64url(private.sign(text.encode(), ECDSA(hashes.SHA256())))}"


def _exchanged(m: Maker, part: int) -> str:
    one, other = m.token().split("."), m.token(sub="eve").split(".")
    one[0] = _json(m.header(typ=None))
    mine = m.token().split(".")
    mine[part] = (one if part == 0 else other)[part]
    return ".".join(mine)


def _padded(m: Maker) -> str:
    """Return a token whose parts have the padding of ordinary base64."""
    return ".".join(one + "=" * (-len(one) % 4) for one in m.token().split("."))


def _with_ordinary_letters(m: Maker) -> str:
    """Return a token whose signature has + or / in place of - or _."""
    for number in range(1_000):
        token = m.token(jti=f"j{number}")
        head, payload, signature = token.split(".")
        other = signature.replace("-", "+").replace("_", "/")
        if other != signature:
            return f"{head}.{payload}.{other}"
    raise AssertionError("no signature has - or _")


def _serialised(m: Maker) -> str:
    protected, payload, signature = m.token().split(".")
    return json.dumps({"protected": protected, "payload": payload, "signature": signature})


def _own_kid(m: Maker, key: AnyKey, **header: Any) -> str:
    return m.sign(m.payload(), m.header(**header), key)


def _numbers(r: int, s: int) -> str:
    return base64url(r.to_bytes(32, "big") + s.to_bytes(32, "big"))


_evil = ec_key("evil")

ALGORITHM: Final[dict[str, Callable[[Maker], str]]] = {
    "alg none": lambda m: _unsigned(m, alg="none"),
    "alg NoNe": lambda m: _unsigned(m, alg="NoNe"),
    "alg none under a signature": lambda m: m.headed(alg="none"),
    "alg empty": lambda m: m.headed(alg=""),
    "alg missing": lambda m: m.headed(alg=None),
    "alg in small letters": lambda m: m.headed(alg="es256"),
    "alg a list": lambda m: m.headed(alg=["ES256"]),
    "HS256 with the RSA public key": lambda m: _mac(m, _pem(m.rsa), m.rsa_kid),
    "HS256 with an oct key of the set": lambda m: _mac(m, OCT, "oct1"),
    "HS256 with the text of the EC key": lambda m: _mac(m, _pem(m.key), m.kid),
    "RS256 on the EC key": lambda m: m.headed(alg="RS256"),
    "RS256 by another key, on the EC key": lambda m: m.sign(
        m.payload(), m.header(alg="RS256"), rsa_key("evil"), "RS256"
    ),
    "ES256 on the RSA key": lambda m: m.sign(m.payload(), m.header(kid=m.rsa_kid)),
    "ES256 with a key of P-384": lambda m: m.sign(
        m.payload(), m.header(kid="p384"), ec_key("p384", "P-384"), "ES384"
    ),
    "ES384 with a key of P-384": lambda m: m.sign(
        m.payload(), m.header(kid="p384", alg="ES384"), ec_key("p384", "P-384"), "ES384"
    ),
    "RS256 with an RSA key of 1024 bits": lambda m: m.sign(
        m.payload(), m.header(kid="small", alg="RS256"), rsa_key("small", 1_024), "RS256"
    ),
    "PS256": lambda m: m.sign(m.payload(), m.header(kid=m.rsa_kid, alg="PS256"), m.rsa, "PS256"),
    "PS256 under RS256": lambda m: m.sign(
        m.payload(), m.header(kid=m.rsa_kid, alg="RS256"), m.rsa, "PS256"
    ),
    "RS512": lambda m: m.sign(m.payload(), m.header(kid=m.rsa_kid, alg="RS512"), m.rsa, "RS512"),
    "a key for encryption": lambda m: m.sign(
        m.payload(), m.header(kid="enc1", alg="RS256"), m.rsa, "RS256"
    ),
}

KEY: Final[dict[str, Callable[[Maker], str]]] = {
    "jwk in the header": lambda m: _own_kid(m, _evil, jwk=public(_evil, "evil")),
    "jwk and no kid": lambda m: _own_kid(m, _evil, jwk=public(_evil, "evil"), kid=None),
    "jwk that is right": lambda m: m.headed(jwk=public(m.key, m.kid)),
    "jku": lambda m: _own_kid(m, _evil, jku=EVIL, kid="evil"),
    "jku under the right key": lambda m: m.headed(jku=EVIL),
    "x5u": lambda m: _own_kid(m, _evil, x5u=EVIL, kid="evil"),
    "x5u under the right key": lambda m: m.headed(x5u=EVIL),
    "x5c": lambda m: _own_kid(m, _evil, x5c=["MIIB"]),
    "x5t": lambda m: m.headed(x5t="AAAA"),
    "kid missing": lambda m: m.headed(kid=None),
    "kid a number": lambda m: m.headed(kid=1),
    "kid a list": lambda m: m.headed(kid=[m.kid]),
    "kid null": lambda m: m.sign(m.payload(), {**m.header(), "kid": None}),
    "kid empty": lambda m: m.headed(kid=""),
    "kid a path": lambda m: _own_kid(m, _evil, kid="../../dev/null"),
    "kid with SQL": lambda m: _own_kid(m, _evil, kid="x' UNION SELECT 'key"),
    "kid an address": lambda m: _own_kid(m, _evil, kid=EVIL),
    "kid of another issuer": lambda m: _own_kid(m, ec_key("other"), kid="other1"),
    "the right kid, another key": lambda m: _own_kid(m, _evil),
    "a key of another issuer under our name": lambda m: _own_kid(m, ec_key("other")),
}

ISSUER: Final[dict[str, Callable[[Maker], str]]] = {
    "an unknown issuer": lambda m: m.token(iss="https://evil.test"),
    "an unknown issuer with its key": lambda m: m.sign(
        m.payload(iss="https://evil.test"), m.header(kid="evil"), _evil
    ),
    "an issuer with a slash more": lambda m: m.token(iss=m.issuer + "/"),
    "an issuer without its last letter": lambda m: m.token(iss=m.issuer[:-1]),
    "an issuer in capitals": lambda m: m.token(iss=m.issuer.upper()),
    "an issuer with a blank": lambda m: m.token(iss=m.issuer + " "),
    "a list of issuers": lambda m: m.token(iss=[m.issuer]),
    "no issuer": lambda m: m.token(iss=None),
    "an issuer that is a number": lambda m: m.token(iss=5),
    "an empty issuer": lambda m: m.token(iss=""),
}

AUDIENCE: Final[dict[str, Callable[[Maker], str]]] = {
    "another audience": lambda m: m.token(aud="https://other.test"),
    "the audience any": lambda m: m.token(aud="https://wlcg.cern.ch/jwt/v1/any"),
    "no audience": lambda m: m.token(aud=None),
    "an audience that begins with ours": lambda m: m.token(aud=m.audience + ".evil.test"),
    "an audience with a slash more": lambda m: m.token(aud=m.audience + "/"),
    "the audience in capitals": lambda m: m.token(aud=m.audience.upper()),
    "a number as audience": lambda m: m.token(aud=5),
    "numbers as audiences": lambda m: m.token(aud=[1, 2]),
    "a number beside our audience": lambda m: m.token(aud=[m.audience, 1]),
    "an empty list of audiences": lambda m: m.token(aud=[]),
    "an empty audience": lambda m: m.token(aud=""),
    "our audience within a text": lambda m: m.token(aud=f"{m.audience} https://other.test"),
    "our audience in a list in a list": lambda m: m.token(aud=[[m.audience]]),
    "our audience as a name": lambda m: m.token(aud={m.audience: True}),
}

TIME: Final[dict[str, Callable[[Maker], str]]] = {
    "expired": lambda m: m.token(iat=m.now - 700, exp=m.now - 1),
    "expired now": lambda m: m.token(iat=m.now - 700, exp=m.now),
    "exp missing": lambda m: m.token(exp=None),
    "exp a text": lambda m: m.token(exp=str(m.now + 600)),
    "exp null": lambda m: m.raw(f'"exp": {m.now + 600}', '"exp": null'),
    "exp NaN": lambda m: m.token(exp=float("nan")),
    "exp Infinity": lambda m: m.token(exp=float("inf")),
    "exp 1e999": lambda m: m.raw(f'"exp": {m.now + 600}', '"exp": 1e999'),
    "exp of 400 digits": lambda m: m.token(exp=10**400),
    "exp of 5000 digits": lambda m: m.raw(f'"exp": {m.now + 600}', f'"exp": {"9" * 5_000}'),
    "exp true": lambda m: m.token(exp=True),
    "exp a list": lambda m: m.token(exp=[m.now + 600]),
    "a life of a year": lambda m: m.token(exp=m.now + 366 * 86_400),
    "a life of more than a year": lambda m: m.token(exp=m.now + 367 * 86_400),
    "a life of a year with a late iat": lambda m: m.token(
        exp=m.now + 370 * 86_400, iat=m.now + 369 * 86_400
    ),
    "nbf in an hour": lambda m: m.token(nbf=m.now + 3_600),
    "nbf a text": lambda m: m.token(nbf=str(m.now)),
    "nbf true": lambda m: m.token(nbf=True),
    "nbf null": lambda m: m.sign(json.dumps({**m.claims(), "nbf": None}).encode()),
    "iat in an hour": lambda m: m.token(iat=m.now + 3_600, exp=m.now + 3_700),
    "iat missing": lambda m: m.token(iat=None),
    "iat a text": lambda m: m.token(iat=str(m.now)),
    "iat true": lambda m: m.token(iat=True),
    "iat long ago": lambda m: m.token(iat=-(10**300)),
}

SUBJECT: Final[dict[str, Callable[[Maker], str]]] = {
    "sub missing": lambda m: m.token(sub=None),
    "sub empty": lambda m: m.token(sub=""),
    "sub a number": lambda m: m.token(sub=5),
    "sub a list": lambda m: m.token(sub=["ada"]),
    "sub of 300 characters": lambda m: m.token(sub="a" * 300),
    "sub with a line end": lambda m: m.token(sub="ada\n"),
    "sub with a NUL": lambda m: m.token(sub="ada\0eve"),
    "sub with half a character": lambda m: m.raw('"ada"', '"a\\ud800"'),
    "version 2.0": lambda m: m.token(wlcg__ver="2.0"),
    "version 10.0": lambda m: m.token(wlcg__ver="10.0"),
    "version a number": lambda m: m.token(wlcg__ver=1.0),
    "version empty": lambda m: m.token(wlcg__ver=""),
    "version null": lambda m: m.raw('"wlcg.ver": "1.0"', '"wlcg.ver": null'),
}

JSON: Final[dict[str, Callable[[Maker], str]]] = {
    "exp twice": lambda m: m.raw('"sub"', f'"exp": {m.now + 600}, "sub"'),
    "sub twice": lambda m: m.raw('"sub"', '"sub": "eve", "sub"'),
    "sub twice, once escaped": lambda m: m.raw('"sub"', '"s\\u0075b": "eve", "sub"'),
    "a name twice within a claim": lambda m: m.raw('"sub"', '"x": {"y": 1, "y": 1}, "sub"'),
    "alg twice": lambda m: m.sign(
        m.payload(), f'{{"alg": "ES256", "alg": "ES256", "kid": "{m.kid}"}}'.encode()
    ),
    "kid twice": lambda m: m.sign(
        m.payload(), f'{{"alg": "ES256", "kid": "evil", "kid": "{m.kid}"}}'.encode()
    ),
    "an array as payload": lambda m: m.sign(b"[1, 2]"),
    "a text as payload": lambda m: m.sign(b'"ada"'),
    "null as payload": lambda m: m.sign(b"null"),
    "no payload": lambda m: m.sign(b""),
    "an array as header": lambda m: m.sign(m.payload(), b'["ES256"]'),
    "claims 5000 deep": lambda m: m.sign(b'{"a":' + b"[" * 2_500 + b"]" * 2_500 + b"}"),
    "claims 70 deep": lambda m: m.raw('"sub"', f'"x": {"[" * 70}{"]" * 70}, "sub"'),
    "brackets without end": lambda m: m.sign(b"[" * 5_000),
    "a header 5000 deep": lambda m: m.sign(m.payload(), b"[" * 5_000),
    "not UTF-8": lambda m: m.sign(m.payload().replace(b"ada", b"ad\xff")),
    "UTF-16": lambda m: m.sign(m.payload().decode().encode("utf-16")),
    "a byte order mark": lambda m: m.sign(b"\xef\xbb\xbf" + m.payload()),
    "20 kB": lambda m: m.token(padding="a" * 20_000),
    "words after the end": lambda m: m.sign(m.payload() + b" {}"),
    "comments": lambda m: m.raw('"sub"', '/* */ "sub"'),
}

HEADER: Final[dict[str, Callable[[Maker], str]]] = {
    "an unknown crit": lambda m: m.headed(crit=["exp"], exp=1),
    "crit alone": lambda m: m.headed(crit=[]),
    "b64 false": lambda m: m.headed(b64=False, crit=["b64"]),
    "b64 false without crit": lambda m: m.headed(b64=False),
    "zip": lambda m: m.headed(zip="DEF"),
    "cty": lambda m: m.headed(cty="JWT"),
    "an unknown field": lambda m: m.headed(x="y"),
    "typ logout+jwt": lambda m: m.headed(typ="logout+jwt"),
    "typ secevent+jwt": lambda m: m.headed(typ="secevent+jwt"),
    "typ application/secevent+jwt": lambda m: m.headed(typ="application/secevent+jwt"),
    "typ dpop+jwt": lambda m: m.headed(typ="dpop+jwt"),
    "typ JWE": lambda m: m.headed(typ="JWE"),
    "typ a number": lambda m: m.headed(typ=1),
    "typ empty": lambda m: m.headed(typ=""),
    "an ID token": lambda m: m.token(
        aud="pilotage-web", azp="pilotage-web", nonce="n", at_hash="h"
    ),
    "an ID token with our audience too": lambda m: m.token(
        aud=["pilotage-web", m.audience], azp="pilotage-web", nonce="n"
    ),
    "an ID token of Keycloak": lambda m: m.token(typ="ID"),
    "an event for our audience": lambda m: m.token(events={"urn:x": {}}),
}

FORM: Final[dict[str, Callable[[Maker], str]]] = {
    "a letter of the signature changed": lambda m: _signature(m, _letter),
    "no signature": lambda m: _signature(m, lambda _: ""),
    "a signature of zeros": lambda m: _signature(m, lambda s: "A" * len(s)),
    "r = s = 0": lambda m: _signature(m, lambda _: _numbers(0, 0)),
    "r = s = the order": lambda m: _signature(m, lambda _: _numbers(P_256_ORDER, P_256_ORDER)),
    "r = s = 1": lambda m: _signature(m, lambda _: _numbers(1, 1)),
    "half a signature": lambda m: _signature(m, lambda s: s[:43]),
    "a signature and more": lambda m: _signature(m, lambda s: s[:-2] + "AAAA"),
    "DER": _der,
    "base64 that is not canonical": lambda m: _signature(m, _last_letter),
    "base64 with padding": _padded,
    "base64 of the other alphabet": _with_ordinary_letters,
    "base64 of one letter more": lambda m: m.token() + "A",
    "another payload": lambda m: _exchanged(m, 1),
    "another header": lambda m: _exchanged(m, 0),
    "two parts": lambda m: m.token().rpartition(".")[0],
    "four parts": lambda m: m.token() + ".AAAA",
    "five parts": lambda m: f"{_json({'alg': 'dir', 'enc': 'A256GCM'})}..AAAA.AAAA.AAAA",
    "nothing": lambda m: "",
    "one word": lambda m: "admin",
    "dots": lambda m: "..",
    "four dots": lambda m: "....",
    "JSON": _serialised,
    "a blank": lambda m: m.token().replace(".", " .", 1),
    "a blank in front": lambda m: " " + m.token(),
    "a newline at the end": lambda m: m.token() + "\n",
    "a newline within": lambda m: m.token()[:40] + "\n" + m.token()[40:],
    "a letter beyond ASCII": lambda m: m.token() + "é",
    "a letter that looks like a dot": lambda m: m.token().replace(".", "․"),
    "a scheme in front": lambda m: "Bearer " + m.token(),
}

FORGERIES: Final = ALGORITHM | KEY | ISSUER | AUDIENCE | TIME | SUBJECT | JSON | HEADER | FORM

# Our own tokens of administrators live for a year, and an expired one is told to its owner.
RIGHT_IF_OWN: Final = frozenset({"a life of a year", "expired", "expired now"})
# For these, the claims alone tell an ID token; our own issuer makes none.
OUTSIDE_ONLY: Final = frozenset(
    {
        "an ID token with our audience too",
        "an ID token of Keycloak",
        "an event for our audience",
    }
)

RIGHT: Final[dict[str, Callable[[Maker], str]]] = {
    "ES256": lambda m: m.token(),
    "RS256": lambda m: m.sign(m.payload(), m.header(kid=m.rsa_kid, alg="RS256"), m.rsa, "RS256"),
    "audience in a list": lambda m: m.token(aud=["https://other.test", m.audience]),
    "fractional exp": lambda m: m.token(exp=m.now + 600.5),
    "minor 1.7": lambda m: m.token(wlcg__ver="1.7"),
    "iat 30 s ahead": lambda m: m.token(iat=m.now + 30, nbf=m.now + 30),
    "no typ": lambda m: m.headed(typ=None),
    "typ at+jwt": lambda m: m.headed(typ="at+jwt"),
    "typ application/at+jwt": lambda m: m.headed(typ="application/AT+JWT"),
    "no version": lambda m: m.token(wlcg__ver=None),
    "unknown claims": lambda m: m.token(unheard_of={"a": [1, {"b": None}]}),
    "a bearer token of Keycloak": lambda m: m.token(typ="Bearer", azp="some-client", acr="1"),
    "a life of a day": lambda m: m.token(exp=m.now + 86_400),
    "a subject that is an address": lambda m: m.token(sub="http://cilogon.org/serverA/users/1"),
}
# Our own issuer signs with ES256 alone, in whole seconds, and always says its version.
RIGHT_IF_OUTSIDE: Final = frozenset(
    {"RS256", "fractional exp", "typ at+jwt", "typ application/at+jwt", "no version"}
)
