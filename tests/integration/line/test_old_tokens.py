"""Tokens that have expired go; those that are good stay, and revoked ones are refused as before."""

import asyncio

import msgspec

from pilotage.central.accounts.record_series import DAY_S
from pilotage.central.identity import record as token_records
from pilotage.central.settings import RetentionSettings
from pilotage.proto.api.tokens import TokenIssue

from .test_protocol import Scene, scene


def test_a_token_goes_some_days_after_its_end() -> None:
    async def tell(one: Scene) -> None:
        await one.world.kill()
        kept = RetentionSettings(token_days=0.01, round_s=60.0)
        one.world.settings = msgspec.structs.replace(one.world.settings, retention=kept)
        await one.world.start()
        tokens, user = one.world.central.services.tokens, one.world.user()
        short = TokenIssue(subject="ada", community="ctao", valid_s=60)
        made = [await tokens.issue(user, short) for _ in range(2)]
        await tokens.revoke(user, made[0].view.jti)

        async def known() -> list[bool]:
            return [
                await one.world.store.read(token_records.token, each.view.jti) is not None
                for each in made
            ]

        await asyncio.sleep(0.01 * DAY_S)
        still = await known()
        await asyncio.sleep(60 + 2 * kept.round_s)

        assert (still, await known()) == ([True, True], [False, False])
        assert await one.world.store.read(token_records.tokens, None, limit=9), (
            "the administrator's is good"
        )

    scene(tell)
