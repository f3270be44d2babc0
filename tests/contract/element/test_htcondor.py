"""Why an HTCondor does not take a token is said by its name: its programs say it in riddles."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import pytest_asyncio

from pilotage.central.factory.commands import Commands
from pilotage.central.factory.credentials.issued_tokens import IssuedOptions, IssuedSource
from pilotage.central.factory.drivers import Tools, element
from pilotage.central.factory.element import ComputeElement, PilotRequest
from pilotage.central.factory.errors import Denied, ElementOperation
from pilotage.central.operate.clocks import SystemClock
from tests.services.folders import open_folder
from tests.services.htcondor import Htcondor
from tests.services.issuer import Issuer

from .rigs.htcondor import running

pytestmark = pytest.mark.asyncio(loop_scope="package")
Trusted = tuple[Htcondor, Issuer]


@pytest_asyncio.fixture(scope="module", loop_scope="package")
async def trusted(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Trusted]:
    issuer = Issuer(tmp_path_factory.mktemp("central"))
    issuer.start()
    with open_folder("htcondor") as public:
        pool = Htcondor(public, issuer=issuer)
        async with running(pool):
            yield pool, issuer
    await asyncio.to_thread(issuer.stop)


def driver(trusted: Trusted, commands: Commands, folder: Path, **options: Any) -> ComputeElement:
    pool, issuer = trusted
    given = msgspec.convert({"audience": pool.audience, **options}, IssuedOptions)
    credential = IssuedSource(given, issuer.signer, SystemClock())
    return element(
        "htcondor", pool.options_with_tokens, Tools(commands, SystemClock(), folder, credential)
    )


@pytest.mark.parametrize(
    "options",
    [
        {"scope": ["storage.read:/"]},
        {"audience": "another.example.org:9619"},
        {"subject": "a-stranger"},
        {"issuer": "https://localhost:1/elements"},
    ],
)
async def test_a_token_that_is_not_taken_is_named(
    trusted: Trusted, commands: Commands, folder: Path, options: dict[str, Any]
) -> None:
    refused = driver(trusted, commands, folder, **options)

    for call in (refused.reach(), refused.submit([PilotRequest("t-never-made", b"#!/bin/sh\n")])):
        with pytest.raises(Denied, match="SCITOKENS") as told:
            await call

        assert told.value.step is ElementOperation.AUTHORISE


async def test_a_token_may_do_what_its_scopes_say_and_the_keys_are_fetched(
    trusted: Trusted, commands: Commands, folder: Path
) -> None:
    looks = driver(trusted, commands, folder, scope=["compute.read"])

    await looks.reach()
    with pytest.raises(Denied, match="DENIED"):
        await looks.submit([PilotRequest("t-never-made", b"#!/bin/sh\n")])

    assert trusted[1].asked == [
        "/elements/.well-known/openid-configuration",
        "/elements/jwks.json",
    ]
