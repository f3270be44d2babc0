"""The client's methods for bans: a ban is lifted by its number, which is found by the name."""

import httpx
import msgspec
import pytest

from pilotage.central.client.errors import NotFound, PersonBanned
from pilotage.proto.api.bans import Bans, BanView

from .stub_central import Got, StubCentral, problem


def a_view(ban: int, person: str = "eve") -> BanView:
    return BanView(ban=ban, person=person, issuer="i", subject=person, since="", who="oscar")


def page(*views: BanView, after: int | None = None) -> httpx.Response:
    return httpx.Response(200, content=msgspec.json.encode(Bans(bans=list(views), after=after)))


async def test_a_ban_is_found_by_the_name_and_lifted_by_its_number() -> None:
    central = StubCentral()
    central.next.append(page(a_view(7)))
    central.next.append(httpx.Response(200, content=msgspec.json.encode(a_view(7))))
    async with central.client() as client:
        lifted = await client.unban("eve@https://x/", issuer="")

    asked, deleted = central.got
    assert dict(asked.query) == {"person": "eve@https://x/", "after": "0"}
    assert deleted.line == "DELETE /v1/bans/7"
    assert lifted == a_view(7)


@pytest.mark.parametrize(
    ("bans", "told"), [([], "'eve' is not banned"), ([1, 2], "names 2 bans: give the issuer")]
)
async def test_without_one_ban_of_that_name_nothing_is_lifted(bans: list[int], told: str) -> None:
    central = StubCentral()
    central.next.append(page(*map(a_view, bans)))
    async with central.client() as client:
        with pytest.raises(NotFound, match=told):
            await client.unban("eve")

    assert len(central.got) == 1


async def test_all_pages_are_read() -> None:
    central = StubCentral()

    def answer(got: Got) -> httpx.Response:
        after = int(got.query["after"])
        return page(a_view(after + 1), after=after + 1 if after < 2 else None)

    central.always["GET /v1/bans"] = answer
    async with central.client() as client:
        found = [one.ban async for one in client.bans(lifted=True)]

    assert found == [1, 2, 3]
    assert {one.query["lifted"] for one in central.got} == {"true"}


async def test_a_banned_person_gets_an_error_of_its_own_and_no_repetition() -> None:
    central = StubCentral()
    central.always["GET /v1/whoami"] = problem(403, "banned", "'eve' has been banned")
    async with central.client() as client:
        with pytest.raises(PersonBanned, match="'eve' has been banned"):
            await client.whoami()

    assert len(central.got) == 1
