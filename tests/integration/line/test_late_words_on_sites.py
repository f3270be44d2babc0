"""What operators say of sites comes again with its key, late: it says nothing anew."""

import asyncio
from typing import Any

import msgspec
import pytest

from pilotage.central.errors import Refused
from pilotage.central.identity.tokens import ADMIN_FILE
from pilotage.central.settings import MatcherSettings
from pilotage.central.store.errors import StoreFull
from pilotage.proto.api.jobs import Action, ActionName
from pilotage.proto.api.sites import SiteAction, SiteActionName, SiteDetail
from pilotage.proto.messages import Problem
from pilotage.proto.pilot_states import PilotState
from pilotage.proto.problems import Code
from tests.fakes import DATA

from .test_on_fakes import submission, submit
from .test_sites_under_operators import BAN, DRAIN, ENABLE, Operator, story


async def say(
    operator: Operator, what: SiteActionName, key: str = "", *, site: str = "PIC", **more: str
) -> SiteDetail:
    action = SiteAction(action=what, key=key, **more)
    return await operator.world.central.services.sites.act(operator.world.user(), site, action)


@pytest.mark.parametrize(("early", "later"), [(BAN, ENABLE), (DRAIN, ENABLE), (ENABLE, BAN)])
def test_a_late_copy_leaves_what_was_said_since(
    early: SiteActionName, later: SiteActionName
) -> None:
    async def tell(operator: Operator) -> None:
        await operator.begin("PIC")
        if early is ENABLE:
            await say(operator, BAN, "before")
        await say(operator, early, "early")
        since = await say(operator, later, "later")
        late = await say(operator, early, "early")
        await operator.restart()
        again = await say(operator, early, "early")

        assert late.marks == again.marks == since.marks
        assert (late.view.banned, late.view.draining) == (later is BAN, False)
        if early is BAN:
            assert (await say(operator, BAN)).view.banned, "without a key it counts"

    story(tell)


def test_a_copy_is_answered_as_the_first_time() -> None:
    async def tell(operator: Operator) -> None:
        first = await operator.begin("PIC")
        said = await say(operator, DRAIN, "k")
        again = await say(operator, DRAIN, "k")
        await say(operator, ENABLE, "other")
        second = await operator.begin("PIC")
        late = await say(operator, DRAIN, "k")
        await asyncio.sleep(100.0)

        assert (said.told, again.told, late.told) == (1, 1, 1)
        assert (await operator.pilot(first)).state is PilotState.DONE
        assert (await operator.pilot(second)).state is PilotState.RUNNING

    story(tell)


def test_what_was_refused_stays_refused() -> None:
    async def tell(operator: Operator) -> None:
        await operator.begin("PIC")
        await say(operator, BAN, "b")
        problems: list[Any] = []
        for _ in range(2):
            with pytest.raises(Refused, match="enable the site first") as why:
                await say(operator, ENABLE, "k", element="local")
            problems.append((why.value.code, why.value.field, why.value.message))
            await say(operator, ENABLE, "site")
            await say(operator, BAN, "element", element="local")
        with pytest.raises(Refused, match="there is no site 'PICC'"):
            await say(operator, ENABLE, "k2", site="PICC")

        assert problems[0] == problems[1] and problems[0][0] is Code.ILLEGAL_STATE
        assert (await say(operator, ENABLE, "")).view.banned_elements == ()

    story(tell)


def test_a_ban_by_the_settings_is_told_each_time() -> None:
    async def tell(operator: Operator) -> None:
        await operator.begin("PIC")
        for _ in range(2):
            with pytest.raises(Refused, match=r"matcher\.banned"):
                await say(operator, ENABLE, "k")

    story(tell, MatcherSettings(banned=("PIC",)))


def test_a_key_is_for_one_thing() -> None:
    async def tell(operator: Operator) -> None:
        await operator.begin("PIC")
        await operator.begin("CSCS")
        (job,) = await submit(operator.world, submission(1))
        await say(operator, BAN, "k")
        kill = Action(action=ActionName.KILL, ids=(job,), key="k")
        with pytest.raises(Refused) as of_jobs:
            await operator.world.central.services.control.act(operator.world.user(), kill)
        with pytest.raises(Refused) as of_sites:
            await say(operator, BAN, "k", site="CSCS")
        with pytest.raises(Refused):
            await say(operator, BAN, "k", reason="another")

        assert {of_jobs.value.code, of_sites.value.code} == {Code.KEY_REUSED}
        assert not (await say(operator, ENABLE, "", site="CSCS")).view.banned

    story(tell)


def test_what_a_full_store_has_left_half_done_goes_on() -> None:
    async def tell(operator: Operator) -> None:
        name = await operator.begin("PIC")
        store = operator.world.store
        plain, left = store.committing, 1

        def committing() -> None:
            nonlocal left
            left -= 1
            if left < 0:
                raise StoreFull("the test says so")
            plain()

        store.committing = committing  # type: ignore[method-assign]
        with pytest.raises(StoreFull):
            await say(operator, DRAIN, "k")  # marked, and its pilot could not be told
        del store.committing
        told = (await say(operator, DRAIN, "k")).told
        await asyncio.sleep(100.0)

        assert told == 1
        assert (await operator.pilot(name)).state is PilotState.DONE

    story(tell)


def test_over_http_the_same_key_says_it_once() -> None:
    async def tell(operator: Operator) -> None:
        await operator.begin("PIC")
        token = (operator.world.disk.read(DATA / ADMIN_FILE) or b"").decode().strip()

        async def said(kind: type[Any], **body: object) -> Any:
            text = msgspec.json.encode(body)
            reply = await operator.world.ask("POST", "/v1/sites/PIC/actions", text, token)
            return reply.status, msgspec.json.decode(reply.body, type=kind)

        _, first = await said(SiteDetail, action="ban", key="k")
        await said(SiteDetail, action="enable", key="other")
        status, late = await said(SiteDetail, action="ban", key="k")
        wrong, problem = await said(Problem, action="drain", key="k")

        assert (first.view.banned, late.view.banned, status) == (True, False, 200)
        assert (wrong, problem.code, problem.field) == (409, "key_reused", "key")

    story(tell)
