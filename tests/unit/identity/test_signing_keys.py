"""Keys that turn while several processes sign and verify: no token fails, few looks at the file."""

from pathlib import Path

import pytest
from joserfc import jws

from pilotage.central.identity import keys
from pilotage.central.identity.callers import User
from pilotage.central.identity.errors import BadKeyFile, BadToken, TooManyKeys
from pilotage.central.identity.keys import DAY_S, KEYS_MAX, OF_TOKENS, KeyUse, SigningKeys
from pilotage.central.identity.tokens import TokenIssuer
from pilotage.proto.api.tokens import TokenIssue
from tests.fake_central import FakeClock, FakeDisk, FakeRandomness

from .issuer import Issuer, make_issuer
from .token_store import DATA

FILE = DATA / keys.FILE
YEAR_S = 365 * 86_400


class CountingDisk(FakeDisk):
    """A disk that counts looks at files, and may be away."""

    def __init__(self) -> None:
        super().__init__()
        self.looks = 0
        self.is_away = False

    def version(self, path: Path) -> tuple[int, ...] | None:
        self.looks += 1
        if self.is_away:
            raise OSError(5, "Input/output error")
        return super().version(path)


def operator(issuer: Issuer, seed: int = 9) -> SigningKeys:
    """Return the keys as the operator's command has them, in a process of its own."""
    return keys.load(DATA, disk=issuer.disk, clock=issuer.clock, randomness=FakeRandomness(seed))


async def beside(issuer: Issuer) -> TokenIssuer:
    """Return the tokens of another process of the same central."""
    again = await make_issuer(clock=issuer.clock, disk=issuer.disk, store=issuer.store, seed=5)
    return again.tokens


def kid(token: str) -> str:
    found = jws.extract_compact(token.encode()).headers()["kid"]
    assert isinstance(found, str)
    return found


def shown(tokens: TokenIssuer) -> list[str]:
    return [one["kid"] for one in tokens.jwks()["keys"]]


def pilot(tokens: TokenIssuer, name: str) -> str:
    return tokens.pilot_token(name, "ctao", "PIC", "ce")[0]


@pytest.fixture
async def issuer() -> Issuer:
    return await make_issuer(disk=CountingDisk())


async def test_a_new_key_is_published_at_once_and_signs_later(issuer: Issuer) -> None:
    running, old = issuer.tokens, issuer.admin_token
    before = pilot(running, "p1")
    operator(issuer).rotate()
    issuer.clock.move(1.0)
    new = shown(running)[0]
    issuer.clock.move(OF_TOKENS.ahead_s - 2.0)
    waiting = pilot(running, "p2")
    issuer.clock.move(1.0)
    after = pilot(running, "p3")

    assert shown(running) == [new, kid(old)]
    assert [kid(one) for one in (before, waiting, after)] == [kid(old), kid(old), new]
    for token in (old, before, waiting, after):
        running.caller(token)


async def test_no_process_refuses_a_token_of_the_new_key(issuer: Issuer) -> None:
    signs, verifies = issuer.tokens, await beside(issuer)
    operator(issuer).rotate()
    for second in range(int(OF_TOKENS.ahead_s) + 5):
        for tokens in (signs, verifies):
            for other in (signs, verifies):
                other.caller(pilot(tokens, f"p{second}"))
        issuer.clock.move(1.0)

    assert kid(pilot(signs, "last")) == kid(pilot(verifies, "last")) == shown(signs)[0]


async def test_a_process_that_only_verifies_finds_the_new_key(issuer: Issuer) -> None:
    signs, verifies = issuer.tokens, await beside(issuer)
    operator(issuer).rotate()
    issuer.clock.move(OF_TOKENS.ahead_s)
    token = pilot(signs, "p1")

    assert kid(token) != kid(issuer.admin_token)
    verifies.caller(token)


async def test_unknown_keys_cause_a_look_a_second(issuer: Issuer) -> None:
    assert isinstance(issuer.disk, CountingDisk)
    issuer.clock.move(10.0)
    before = issuer.disk.looks
    for number in range(1_000):
        with pytest.raises(BadToken):
            issuer.tokens.caller(issuer.signed(issuer.claims(), kid=f"unknown{number}"))

    assert issuer.disk.looks - before == 1


async def test_a_look_at_revoked_tokens_looks_at_the_keys(issuer: Issuer) -> None:
    assert isinstance(issuer.disk, CountingDisk)
    operator(issuer).rotate()
    issuer.clock.move(10.0)
    await issuer.tokens.load_revoked()
    issuer.disk.is_away = True
    issuer.clock.move(10.0)

    assert len(shown(issuer.tokens)) == 2


async def test_a_token_of_a_year_outlives_monthly_rotations(issuer: Issuer) -> None:
    operator(issuer).rotate()
    issuer.clock.move(OF_TOKENS.ahead_s - 1.0)  # the last moment at which the old key signs
    wanted = TokenIssue(subject="ada", community="ctao", valid_s=int(YEAR_S))
    made = await issuer.tokens.issue(issuer.admin, wanted)
    for month in range(12):
        issuer.clock.move(30 * DAY_S)
        operator(issuer, seed=20 + month).rotate()
    late = await beside(issuer)

    assert kid(made.token) not in shown(late)[:12]
    assert isinstance(late.caller(made.token), User)


def ring(clock: FakeClock, disk: FakeDisk) -> SigningKeys:
    return keys.load(DATA, disk=disk, clock=clock, randomness=FakeRandomness(3))


def kids(signing: SigningKeys) -> list[str]:
    return [one["kid"] for one in signing.stored.jwks()["keys"]]


def test_a_key_is_dropped_400_days_after_it_has_signed_last() -> None:
    clock = FakeClock()
    signing = ring(clock, FakeDisk())
    (first,) = kids(signing)
    signing.rotate()
    clock.move(OF_TOKENS.ahead_s + OF_TOKENS.kept_s - 1.0)
    signing.rotate()
    before = kids(signing)
    clock.move(1.0)
    signing.rotate()

    assert before[-1] == first
    assert kids(signing)[1:] == before[:-1]


def test_no_key_is_dropped_for_another_one() -> None:
    clock, disk = FakeClock(), FakeDisk()
    signing = ring(clock, disk)
    (first,) = kids(signing)
    for _ in range(KEYS_MAX - 1):
        signing.rotate()
        clock.move(1.0)
    kept = disk.files[FILE]
    with pytest.raises(TooManyKeys, match="64 keys, the maximum: .* 400 days after its last"):
        signing.rotate()

    assert disk.files[FILE] == kept
    assert signing.signing().kid == first, "all others wait"
    assert len(kids(signing)) == KEYS_MAX


def test_the_use_of_each_key_is_known() -> None:
    clock = FakeClock()
    signing = ring(clock, FakeDisk())
    made_at = clock.wall()
    signing.rotate()
    clock.move(OF_TOKENS.ahead_s)
    signing.rotate()

    assert signing.stored.uses(OF_TOKENS, clock.wall()) == [
        (KeyUse.WAITS, clock.wall() + OF_TOKENS.ahead_s),
        (KeyUse.SIGNS, made_at + OF_TOKENS.ahead_s),
        (KeyUse.VERIFIES, made_at + OF_TOKENS.ahead_s),
    ]


async def test_a_damaged_or_missing_file_stops_no_running_central(issuer: Issuer) -> None:
    good = issuer.disk.files[FILE]
    issuer.disk.files[FILE] = b"{"
    issuer.clock.move(2.0)
    damaged = pilot(issuer.tokens, "p1")
    del issuer.disk.files[FILE]
    issuer.clock.move(2.0)
    missing = pilot(issuer.tokens, "p2")
    issuer.disk.files[FILE] = good
    operator(issuer).rotate()
    issuer.clock.move(2.0)

    assert kid(damaged) == kid(missing) == kid(issuer.admin_token)
    assert FILE in issuer.disk.files
    assert len(shown(issuer.tokens)) == 2, "the next good content counts"


def test_a_rotation_of_damaged_keys_is_refused() -> None:
    disk = FakeDisk()
    signing = ring(FakeClock(), disk)
    disk.files[FILE] = b"{}"

    with pytest.raises(BadKeyFile):
        signing.rotate()
    assert disk.files[FILE] == b"{}"
