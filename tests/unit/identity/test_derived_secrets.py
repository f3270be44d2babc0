"""Tokens of attempts: bound to job and epoch, and to the time that they were given."""

import pytest

from pilotage.central.identity import derived_secrets
from pilotage.central.identity.callers import AttemptCaller
from pilotage.central.identity.derived_secrets import PREFIX, DerivedSecrets
from pilotage.central.identity.errors import BadKeyFile, BadToken, ExpiredToken
from tests.fake_central import FakeDisk, FakeRandomness

from .token_store import DATA

SECRETS = DerivedSecrets(b"k" * 32)
TOKEN = SECRETS.make(7, 2, 41, "ctao", 1_000.0)


def test_a_token_says_which_attempt() -> None:
    caller = SECRETS.read(TOKEN, 999.0)

    assert caller == AttemptCaller(job=7, epoch=2, attempt_id=41, community="ctao")


def test_a_token_ends() -> None:
    with pytest.raises(ExpiredToken):
        SECRETS.read(TOKEN, 1_000.0)


@pytest.mark.parametrize("position", range(len(PREFIX), len(TOKEN)))
def test_any_other_character_anywhere_makes_it_bad(position: int) -> None:
    other = "A" if TOKEN[position] != "A" else "B"

    with pytest.raises(BadToken):
        SECRETS.read(TOKEN[:position] + other + TOKEN[position + 1 :], 0.0)


def test_another_key_makes_it_bad() -> None:
    with pytest.raises(BadToken):
        DerivedSecrets(b"l" * 32).read(TOKEN, 0.0)


@pytest.mark.parametrize("token", ["pa1.", "pa1..", "pa1." + "a" * 43, "pa1.é." + "é" * 43])
def test_what_was_never_a_token_is_bad(token: str) -> None:
    with pytest.raises(BadToken):
        SECRETS.read(token, 0.0)


def test_the_key_survives_a_restart() -> None:
    disk = FakeDisk()
    first = derived_secrets.load(DATA, disk=disk, randomness=FakeRandomness(1))
    second = derived_secrets.load(DATA, disk=disk, randomness=FakeRandomness(2))

    assert second.read(first.make(1, 1, 1, "", 10.0), 0.0).job == 1


def test_an_emptied_key_file_stops_the_start() -> None:
    disk = FakeDisk()
    disk.files[DATA / derived_secrets.FILE] = b""

    with pytest.raises(BadKeyFile):
        derived_secrets.load(DATA, disk=disk, randomness=FakeRandomness())


def test_a_renewal_secret_says_its_number_to_those_who_have_the_key_and_its_pilot() -> None:
    ours, other = DerivedSecrets(b"k" * 48), DerivedSecrets(b"m" * 48)
    secrets = [ours.numbered_secret("pic-1", number) for number in (1, 2, 999_999_999)]

    assert [ours.secret_number("pic-1", one) for one in secrets] == [1, 2, 999_999_999]
    assert [other.secret_number("pic-1", one) for one in secrets] == [None] * 3
    assert [ours.secret_number("pic-2", one) for one in secrets] == [None] * 3
    changed = [secrets[0].replace(".1.", ".2."), secrets[0].replace(".1.", ".01."), secrets[0][4:]]
    assert [ours.secret_number("pic-1", one) for one in (*changed, "", "pr1.", "ä")] == [None] * 6
