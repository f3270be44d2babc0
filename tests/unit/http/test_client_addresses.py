"""The addresses of clients behind a forwarding process: named by it, forged by others."""

from typing import Any

import pytest

from pilotage.central.http.client_addresses import HEADER, ClientAddresses

OURS = ClientAddresses(b"k" * 32)


def scope(peer: str | None, *headers: tuple[bytes, bytes]) -> Any:
    return {"client": (peer, 1) if peer is not None else None, "headers": list(headers)}


@pytest.mark.parametrize("address", ["192.0.2.7", "2001:db8::7", "fe80::1%eth0"])
def test_the_leader_reads_the_address_that_a_process_of_its_central_names(address: str) -> None:
    sent = OURS.headers(scope(address))

    assert OURS.of(scope("10.0.0.1", *sent)) == address


@pytest.mark.parametrize(
    "forged",
    [
        b"192.0.2.7",
        b"192.0.2.7 ",
        b"192.0.2.7 " + b"0" * 64,
        b" ",
        "192.0.2.7 \xff".encode("latin-1"),
        ClientAddresses(b"o" * 32).headers(scope("192.0.2.7"))[0][1],
        OURS.headers(scope("192.0.2.8"))[0][1].replace(b".8", b".7"),
    ],
)
def test_a_header_of_somebody_else_changes_nothing(forged: bytes) -> None:
    assert OURS.of(scope("10.0.0.1", (HEADER, forged))) == "10.0.0.1"


def test_without_a_key_nothing_is_sent_or_believed() -> None:
    bare = ClientAddresses()
    forged = ClientAddresses(b"").headers(scope("192.0.2.7"))

    assert forged == []
    assert bare.of(scope("10.0.0.1", *OURS.headers(scope("192.0.2.7")))) == "10.0.0.1"


def test_a_peer_without_an_address_has_none() -> None:
    assert OURS.headers(scope(None)) == [] and OURS.of(scope(None)) == ""
