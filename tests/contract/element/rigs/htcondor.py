"""A real HTCondor pool, submitted to from afar: with tokens of our own issuer, or with an IDTOKEN.

The tokens are those by which an HTCondor-CE knows a submitter: SciTokens with scopes of the WLCG
profile. The pool fetches the issuer's keys by HTTPS.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

from pilotage.central.factory.credentials.issued_tokens import IssuedOptions, IssuedSource
from pilotage.central.operate.clocks import SystemClock
from tests.acceptance.identity.providers import FACTORY, RunningProvider
from tests.services.folders import open_folder
from tests.services.htcondor import Htcondor
from tests.services.issuer import Issuer

from ..rig import Rig, Token

NO_SLOT, SUBMITS, FIRST_S = "999999.0", "sh", 40.0


@asynccontextmanager
async def running(pool: Htcondor) -> AsyncGenerator[None]:
    """Have the pool run."""
    await asyncio.to_thread(pool.start)
    try:
        yield
    finally:
        await asyncio.to_thread(pool.stop)


@asynccontextmanager
async def with_tokens(folder: Path) -> AsyncGenerator[Rig]:
    """Yield an element of kind `htcondor` that trusts our issuer."""
    issuer = Issuer(folder / "issuer")
    issuer.start()
    try:
        with open_folder("htcondor") as public:
            pool = Htcondor(public, issuer=issuer)

            def trust(provider: RunningProvider) -> None:
                pool.trust(provider.issuer, FACTORY, provider.ca_file.read_bytes())

            async with running(pool):
                yield Rig(
                    "htcondor",
                    pool.options_with_tokens,
                    credential=IssuedSource(
                        IssuedOptions(audience=pool.audience), issuer.signer, SystemClock()
                    ),
                    no_slot=NO_SLOT,
                    submits=SUBMITS,
                    first_s=FIRST_S,
                    audience=pool.audience,
                    trust=trust,
                )
    finally:
        issuer.stop()


@asynccontextmanager
async def with_idtokens(folder: Path) -> AsyncGenerator[Rig]:
    """Yield an element of kind `htcondor` that has signed a token for us."""
    with open_folder("htcondor") as public:
        pool = Htcondor(public)
        async with running(pool):
            yield Rig(
                "htcondor",
                pool.options,
                credential=Token(pool.token()),
                no_slot=NO_SLOT,
                submits=SUBMITS,
                first_s=FIRST_S,
            )
