"""The pilot's file and its signature."""

from pathlib import Path

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from pilotage.central.identity.errors import BadKeyFile
from pilotage.central.identity.signature import FILE, load
from tests.fake_central import FakeDisk

DATA = Path("/data")


def test_what_is_signed_verifies_and_nothing_else_does() -> None:
    signed = load(DATA, disk=FakeDisk()).sign(b"a pilot")
    key = load_pem_public_key(signed.key_pem)

    assert isinstance(key, Ed25519PublicKey)
    key.verify(signed.signature, b"a pilot")
    with pytest.raises(InvalidSignature):
        key.verify(signed.signature, b"another pilot")


def test_the_key_stays_over_restarts() -> None:
    disk = FakeDisk()

    first, second = load(DATA, disk=disk).sign(b"x"), load(DATA, disk=disk).sign(b"x")

    assert first == second


def test_a_broken_key_file_is_named_and_not_replaced() -> None:
    disk = FakeDisk()
    disk.write_secret(DATA / FILE, b"no key")

    with pytest.raises(BadKeyFile, match=FILE):
        load(DATA, disk=disk)
    assert disk.read(DATA / FILE) == b"no key"
