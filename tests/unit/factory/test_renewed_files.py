"""Credentials that others renew in files: tokens and X.509 proxies."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa

from pilotage.central.factory.credential import CredentialSource
from pilotage.central.factory.credentials.credential_expiry import KnownCredential
from pilotage.central.factory.credentials.sources import source
from pilotage.central.factory.errors import CredentialExpired
from tests.proxies import a_person, proxy_of

from .test_credentials import Printing, a_token
from .test_factory import HandClock

Person = tuple[x509.Certificate, rsa.RSAPrivateKey]
DAY_S = 86_400.0


def reads(kind: str, file: Path, clock: HandClock) -> CredentialSource:
    return source(kind, {"path": str(file)}, commands=Printing(), clock=clock)


def put(file: Path, text: str) -> None:
    file.write_text(text, encoding="utf-8")


def remove(file: Path) -> None:
    file.unlink()


def open_to_others(file: Path) -> None:
    file.chmod(0o640)


def at(seconds: float) -> datetime:
    return datetime.fromtimestamp(int(seconds), UTC)


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    found = tmp_path / "credential"
    found.touch(mode=0o600)
    return found


@pytest.fixture(scope="module")
def person() -> Person:
    return a_person(at(HandClock().wall() + 10 * DAY_S))


async def test_a_renewed_file_is_taken_up_when_it_changes(clock: HandClock, file: Path) -> None:
    reading = reads("renewed", file, clock)
    put(file, a_token(clock, 1_000))
    first = await reading.current()
    again = await reading.current()
    put(file, a_token(clock, 2_000))

    assert again is first
    assert (await reading.current()).expires_at == clock.wall() + 2_000


@pytest.mark.parametrize("mess", [None, "", "\u00e4", "old"])
async def test_a_mess_in_a_renewed_file_is_borne_to_the_end_of_what_was_good(
    clock: HandClock, file: Path, mess: str | None
) -> None:
    reading = reads("renewed", file, clock)
    put(file, a_token(clock, 1_000))
    good = await reading.current()
    if mess is None:
        remove(file)
    else:
        put(file, a_token(clock, -1) if mess == "old" else mess)

    assert await reading.current() == good

    clock.now += 950
    with pytest.raises(
        CredentialExpired, match=f"{file}: .*; .*last credential from it: expires in 50 s"
    ):
        await reading.current()


async def test_a_renewed_file_that_does_not_say_its_end_is_not_kept(
    clock: HandClock, file: Path
) -> None:
    reading = reads("renewed", file, clock)
    put(file, "opaque")
    await reading.current()
    remove(file)

    with pytest.raises(CredentialExpired, match="cannot be read"):
        await reading.current()


async def test_a_proxy_is_good_until_the_first_of_its_chain_ends(
    clock: HandClock, file: Path, person: Person
) -> None:
    soon, later = at(clock.wall() + DAY_S), at(clock.wall() + 20 * DAY_S)
    put(file, proxy_of(*person, ends=soon))
    short = await reads("proxy", file, clock).current()
    put(file, proxy_of(*person, ends=later))
    long = await reads("proxy", file, clock).current()

    assert short.is_proxy
    assert short.expires_at == soon.timestamp()
    assert long.expires_at == person[0].not_valid_after_utc.timestamp()


def damaged(what: str, person: Person, now: float) -> str:
    text = proxy_of(*person, ends=at(now + DAY_S))
    key = text[text.index("-----BEGIN RSA") : text.index("-----END RSA")] + (
        "-----END RSA PRIVATE KEY-----\n"
    )
    chain = text.replace(key, "")
    split = chain.index("-----END CERTIFICATE-----\n") + 26
    stranger = proxy_of(*a_person(at(now + DAY_S)), ends=at(now + DAY_S))
    other_key = stranger[stranger.index("-----BEGIN RSA") : stranger.index("-----END RSA")]
    return {
        "no key": chain,
        "bad key": chain + "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
        "other key": f"{chain}{other_key}-----END RSA PRIVATE KEY-----\n",
        "no chain": chain[:split] + key,
        "no proxy": chain[split:] + key,
        "other chain": chain[:split] + key + chain[:split],
        "no PEM": "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        "token": a_token(HandClock(), 600),
        "old": proxy_of(*person, ends=at(now - 3_600)),
        "old person": proxy_of(*a_person(at(now - 7_200)), ends=at(now + DAY_S)),
    }[what]


@pytest.mark.parametrize(
    ("what", "told"),
    [
        ("no key", "has no private key"),
        ("bad key", "its private key cannot be read"),
        ("other key", r"its private key is not that of CN=\d+,CN=Ada"),
        ("no chain", r"the certificate that signed CN=\d+,CN=Ada is missing"),
        (
            "no proxy",
            r"its first certificate, CN=Ada, is not a proxy \(RFC 3820\): .* the source `file`",
        ),
        ("other chain", r"CN=\d+,CN=Ada is followed by"),
        ("no PEM", "has no certificate in PEM"),
        ("token", "has no certificate in PEM"),
        ("old", r"the proxy: expired 3600 s ago, at 1970-"),
        ("old person", r"CN=Ada: expired 7200 s ago, at 1970-.*: renew it"),
    ],
)
async def test_what_is_wrong_with_a_proxy_is_told(
    clock: HandClock, file: Path, person: Person, what: str, told: str
) -> None:
    put(file, damaged(what, person, clock.wall()))

    with pytest.raises(CredentialExpired, match=f"{file}: {told}"):
        await reads("proxy", file, clock).current()


async def test_a_proxy_that_others_may_read_is_none(
    clock: HandClock, file: Path, person: Person
) -> None:
    put(file, proxy_of(*person, ends=at(clock.wall() + DAY_S)))
    open_to_others(file)

    with pytest.raises(CredentialExpired, match="other users may read it: chmod 0600"):
        await reads("proxy", file, clock).current()


async def test_until_when_a_credential_is_good_is_known(clock: HandClock, file: Path) -> None:
    known = KnownCredential(reads("file", file, clock), clock)
    told = [known.left_s]
    put(file, a_token(clock, 600))
    await known.current()
    told.append(known.left_s)
    clock.now += 700
    with pytest.raises(CredentialExpired):
        await known.current()
    told.append(known.left_s)
    put(file, "opaque")
    await known.current()

    assert (*told, known.left_s) == (None, 600.0, -100.0, None)


async def test_a_credential_that_is_gone_has_ended_when_that_was_noticed(
    clock: HandClock, file: Path
) -> None:
    known = KnownCredential(reads("file", file, clock), clock)
    put(file, a_token(clock, 600))
    await known.current()
    remove(file)
    for _ in range(2):
        with pytest.raises(CredentialExpired):
            await known.current()
        clock.now += 50

    assert known.left_s == -100.0
