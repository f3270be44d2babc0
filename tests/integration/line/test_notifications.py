"""Notifications on fakes: each event is told once, at least, and never too often."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import msgspec
import pytest

from pilotage.central.errors import Refused
from pilotage.central.failover.mails import NotMailed
from pilotage.central.identity.callers import User
from pilotage.central.notifications.addresses import WebhookUrl
from pilotage.central.notifications.assembly import Senders
from pilotage.central.notifications.delivery import NotSent
from pilotage.central.settings import NotifySettings
from pilotage.proto.api.jobs import Action, ActionName, JobFilter, Submission
from pilotage.proto.api.notifications import (
    AddressChange,
    NotificationsView,
    NotifyEvent,
    Subscribe,
)
from pilotage.proto.messages import Assignment
from pilotage.proto.problems import Code
from pilotage.proto.production_states import ProductionState as P
from tests.fake_pilot import Script
from tests.fakes import FakeInstallation

from .test_on_fakes import lasts, story, submission, submit
from .test_productions import is_in, submitted, tale, until

E = NotifyEvent
HOOK = "https://hooks.example.org/T/1"
ALLOWED = NotifySettings(mail_domains=("pic.es",), tries=6)


class Box:
    """A mail server and a receiver of webhooks that may be away, or lose their answers."""

    def __init__(self, *, away: int = 0, loses: int = 0) -> None:
        self.away, self.loses, self.tries = away, loses, 0
        self.mails: list[tuple[str, str, str]] = []  # key, subject, text
        self.recipients: set[str] = set()
        self.hooks: list[tuple[str, dict[str, Any]]] = []  # delivery, content

    async def send(self, *, subject: str, text: str, key: str, to: Sequence[str] = ()) -> None:
        self.recipients.update(to)
        await self._taken(lambda: self.mails.append((key, subject, text)), NotMailed)

    async def post(self, url: WebhookUrl, body: bytes, headers: Mapping[str, str]) -> None:
        taken = (headers["X-Pilotage-Delivery"], msgspec.json.decode(body))
        assert url.host == "hooks.example.org"
        await self._taken(lambda: self.hooks.append(taken), NotSent)

    async def _taken(self, take: Callable[[], None], refusal: type[Exception]) -> None:
        self.tries += 1
        await asyncio.sleep(0.5)
        if self.away:
            self.away -= 1
            raise refusal("connection refused")
        take()
        if self.loses:
            self.loses -= 1
            raise refusal("the answer was lost")

    @property
    def subjects(self) -> list[str]:
        return [subject.removeprefix("[pilotage] ") for _, subject, _ in self.mails]


async def begun(
    world: FakeInstallation, box: Box, settings: NotifySettings = ALLOWED, **where: str
) -> None:
    """Start the central anew with these senders, and set the addresses of the user."""
    world.senders = Senders(mailer=box, poster=box)
    world.settings = msgspec.structs.replace(world.settings, notify=settings)
    await world.kill()
    await world.start()
    await set_to(world, **(where or {"mail": "ada@pic.es"}))


async def set_to(world: FakeInstallation, **where: str) -> NotificationsView:
    service = world.central.services.notifications
    return await service.set_addresses(world.user(), AddressChange(**where))


async def view(world: FakeInstallation, user: User | None = None) -> NotificationsView:
    return await world.central.services.notifications.view(user or world.user())


def with_notice(count: int, *on: E, **job: object) -> Submission:
    return msgspec.structs.replace(submission(count, **job), notify=on, name="sweep")


def fails_each(nth: int) -> Callable[[Assignment], Script]:
    return lambda one: Script(duration_s=30.0, exit_code=int(one.job % nth == 0))


def scripted(
    tell: Callable[[FakeInstallation], Awaitable[None]],
    script: Callable[[Assignment], Script] | None = None,
) -> None:
    story(tell, script=script or lasts(30.0), limit_s=200_000.0)


# -- submissions ----------------------------------------------------------------------------------


def test_half_failure_and_end_of_a_submission_are_told_once_each() -> None:
    async def tell(world: FakeInstallation) -> None:
        box = Box()
        await begun(world, box, mail="ada@pic.es", webhook=HOOK)
        await submit(world, with_notice(40, E.END, E.FAIL, E.HALF, retries=0))
        assert [one.on for one in (await view(world)).open] == [(E.END, E.FAIL, E.HALF)]
        await submit(world, submission(3))  # nobody wants to know of these
        await asyncio.sleep(3_000.0)
        await world.kill()
        await world.start()
        await asyncio.sleep(1_000.0)

        fail, half, end = box.subjects
        assert fail.startswith("submission 1 sweep has failures: ")
        assert half.startswith("submission 1 sweep is half done: ")
        assert end == "submission 1 sweep has ended: 36 Done, 4 Failed"
        _, _, text = box.mails[-1]
        assert "Causes of failures:\n       4 " in text and "(job 10)" in text
        assert "More: pilotage status --submission 1 --state Failed" in text
        assert [content["event"] for _, content in box.hooks] == ["fail", "half", "end"]
        assert box.hooks[-1][1]["counts"] == {"Done": 36, "Failed": 4}
        assert box.hooks[-1][1]["causes"][0]["count"] == 4
        assert box.recipients == {"ada@pic.es"}
        found = await view(world)
        assert found.open == [] and {one.status for one in found.recent} == {"sent"}
        assert len(found.recent) == 6 and len(found.webhook_secret) == 64

    scripted(tell, fails_each(10))


def test_held_jobs_do_not_keep_the_end_from_its_owner() -> None:
    async def tell(world: FakeInstallation) -> None:
        box = Box()
        await begun(world, box)
        first, *_ = await submit(world, with_notice(4, E.END))
        await world.central.services.control.act(
            world.user(), Action(action=ActionName.HOLD, ids=(first,))
        )
        await asyncio.sleep(600.0)

        assert box.subjects == ["submission 1 sweep has ended: 3 Done, 1 Held"]

    scripted(tell)


def test_a_subscription_can_follow_the_submission_change_and_go() -> None:
    async def tell(world: FakeInstallation) -> None:
        box = Box()
        await begun(world, box)
        await submit(world, submission(2))
        await submit(world, with_notice(2, E.END))
        service = world.central.services.notifications
        await service.subscribe(world.user(), Subscribe(submission=1, on=(E.HALF, E.END)))
        await service.subscribe(world.user(), Subscribe(submission=1, on=(E.HALF,)))
        found = await service.subscribe(world.user(), Subscribe(submission=2, on=()))
        assert [(one.id, one.on) for one in found.open] == [(1, (E.HALF,))]
        await asyncio.sleep(600.0)

        assert box.subjects == ["submission 1 is half done: 2 Done"]

    scripted(tell)


# -- productions ----------------------------------------------------------------------------------


def test_half_and_end_of_a_production_are_told() -> None:
    async def tell(world: FakeInstallation) -> None:
        box = Box()
        await begun(world, box, msgspec.structs.replace(ALLOWED, every_s=1.0))
        await submitted(world)
        await world.central.services.notifications.subscribe(
            world.user(), Subscribe(production="chain", on=(E.END, E.HALF, E.FAIL))
        )
        await until(world, is_in(P.COMPLETED))
        await asyncio.sleep(60.0)

        half, end = box.subjects
        assert half.startswith("production 1 chain is half done: ")
        assert end == "production 1 chain has ended: 7 Done"
        assert "More: pilotage prod show 1" in box.mails[-1][2]

    tale(tell)


def test_a_production_that_needs_its_owner_is_told_with_the_cause() -> None:
    def script(one: Assignment) -> Script:
        bad = one.body.command[0] == "merge"
        return Script(duration_s=5.0, exit_code=127 if bad else 0)

    async def tell(world: FakeInstallation) -> None:
        box = Box()
        await begun(world, box)
        await submitted(world)
        await world.central.services.notifications.subscribe(
            world.user(), Subscribe(production="1", on=(E.FAIL,))
        )
        await asyncio.sleep(2_000.0)

        (subject,) = box.subjects
        assert subject.startswith("production 1 chain has failures: ")
        assert "step merge: " in box.mails[0][2]

    tale(tell, script=script)


# -- the rate limit, and receivers that are away --------------------------------------------------


def test_a_person_gets_few_messages_an_hour_and_the_last_has_all_others() -> None:
    async def tell(world: FakeInstallation) -> None:
        box = Box()
        await begun(world, box, msgspec.structs.replace(ALLOWED, an_hour=3))
        for _ in range(12):
            await submit(world, with_notice(1, E.END))
        await asyncio.sleep(2_000.0)
        assert len(box.mails) == 3
        for _ in range(5):
            await submit(world, with_notice(1, E.END))
        await asyncio.sleep(1_000.0)
        assert len(box.mails) == 3
        await asyncio.sleep(4_000.0)

        told = [text.count("sweep has ended") for _, _, text in box.mails]
        assert sum(told) == 17 and len(told) <= 6
        assert any(" others)" in subject for subject in box.subjects)

    scripted(tell, lasts(1.0))


def test_a_message_is_tried_again_with_the_same_id_and_later_ones_wait_for_it() -> None:
    async def tell(world: FakeInstallation) -> None:
        box = Box(away=3, loses=1)
        await begun(world, box, webhook=HOOK)
        for _ in range(3):
            await submit(world, with_notice(1, E.END))
            await asyncio.sleep(40.0)
        found = await view(world)
        assert {one.status for one in found.recent} == {"due"}
        assert found.recent[-1].why == "connection refused" and found.recent[-1].tries > 0
        await asyncio.sleep(2_000.0)

        deliveries = [delivery for delivery, _ in box.hooks]
        assert deliveries[0] == deliveries[1] and len(set(deliveries)) == 3
        assert box.hooks[0] == box.hooks[1] and box.tries == 3 + 1 + 3
        assert [content["id"] for _, content in box.hooks] == [1, 1, 2, 3]

    scripted(tell, lasts(1.0))


def test_a_message_that_nobody_takes_is_given_up_and_the_next_one_comes() -> None:
    async def tell(world: FakeInstallation) -> None:
        box = Box(away=ALLOWED.tries)
        await begun(world, box)
        await submit(world, with_notice(1, E.END))
        await asyncio.sleep(100.0)
        await submit(world, with_notice(1, E.END))
        await asyncio.sleep(5_000.0)

        assert box.tries == ALLOWED.tries + 1
        assert box.subjects == ["submission 2 sweep has ended: 1 Done"]
        later, first = (await view(world)).recent
        assert (first.status, first.tries, later.status) == ("given up", ALLOWED.tries, "sent")

    scripted(tell, lasts(1.0))


def test_what_waits_for_an_address_that_is_gone_is_given_up() -> None:
    async def tell(world: FakeInstallation) -> None:
        box = Box(away=99)
        await begun(world, box)
        await submit(world, with_notice(1, E.END))
        await asyncio.sleep(100.0)
        await set_to(world, mail="", webhook=HOOK)
        await asyncio.sleep(3_000.0)

        (one,) = (await view(world)).recent
        assert (one.status, one.why) == ("given up", "the address was removed")
        world.settings = msgspec.structs.replace(world.settings, notify=NotifySettings())
        box.away = 0
        await set_to(world, mail="ada@pic.es", webhook="")
        await submit(world, with_notice(1, E.END))
        await world.kill()
        await world.start()  # the operator has taken the domain from the list meanwhile
        await asyncio.sleep(300.0)
        assert box.mails == [] and "sends mail only to" in (await view(world)).recent[0].why

    scripted(tell, lasts(1.0))


def test_a_sender_with_a_bug_stops_neither_the_central_nor_the_messages_of_others() -> None:
    async def tell(world: FakeInstallation) -> None:
        box = Box()

        async def broken(*args: object, **named: object) -> None:
            raise ZeroDivisionError

        await begun(world, box, mail="ada@pic.es", webhook=HOOK)
        box.post = broken  # type: ignore[method-assign]
        await submit(world, with_notice(1, E.END))
        await asyncio.sleep(300.0)

        assert box.subjects == ["submission 1 sweep has ended: 1 Done"]
        assert any("internal error" in one.why for one in (await view(world)).recent)

    scripted(tell, lasts(1.0))


@pytest.mark.parametrize("seed", range(4))
def test_a_central_that_is_killed_at_any_time_forgets_no_message(seed: int) -> None:
    async def tell(world: FakeInstallation) -> None:
        drawn, box = random.Random(seed), Box(away=2, loses=2)
        await begun(world, box, mail="ada@pic.es", webhook=HOOK)
        for _ in range(3):
            await submit(world, with_notice(6, *E, retries=0))
        for _ in range(25):
            await asyncio.sleep(drawn.uniform(0.0, 20.0))
            await world.kill()
            await asyncio.sleep(drawn.uniform(0.0, 2.0))
            await world.start()
        await asyncio.sleep(6_000.0)

        assert (await view(world)).open == []
        for told in ({key: subject for key, subject, _ in box.mails}, by_delivery(box)):
            ends = [one for one in told.values() if "has ended" in one]
            assert len(ends) == len(set(ends)) == 3, "one message for each, whatever its tries"
        texts: dict[str, set[str]] = {}
        for key, _, text in box.mails:
            texts.setdefault(key, set()).add(text)
        assert all(len(of_key) == 1 for of_key in texts.values()), "the same id, the same content"

    scripted(tell, fails_each(5))


def by_delivery(box: Box) -> dict[str, str]:
    return {delivery: content["text"] for delivery, content in box.hooks}


# -- refusals -------------------------------------------------------------------------------------


def test_nothing_is_stored_of_a_submission_whose_owner_cannot_be_told() -> None:
    async def tell(world: FakeInstallation) -> None:
        box = Box()
        await begun(world, box, mail="")
        with pytest.raises(Refused, match="you have no address for notifications") as refused:
            await submit(world, with_notice(3, E.END))
        assert refused.value.field == "notify"
        jobs = await world.central.services.queries.search(world.user(), JobFilter(), 0, 9)
        assert jobs.jobs == []
        world.senders = Senders(poster=box)  # no mail server
        await world.kill()
        await world.start()
        with pytest.raises(Refused, match=r"failover\.mail\.host"):
            await set_to(world, mail="ada@pic.es")

    scripted(tell)


def test_only_the_owner_follows_a_submission_and_addresses_are_checked() -> None:
    async def tell(world: FakeInstallation) -> None:
        await begun(world, Box(), webhook=HOOK)
        await submit(world, submission(1))
        eve = msgspec.structs.replace(world.user(), subject="eve")
        service = world.central.services.notifications
        await service.set_addresses(eve, AddressChange(webhook=HOOK))
        for body, code in (
            (Subscribe(submission=1), Code.NOT_FOUND),
            (Subscribe(submission=99), Code.NOT_FOUND),
            (Subscribe(production="none"), Code.NOT_FOUND),
        ):
            with pytest.raises(Refused) as refused:
                await service.subscribe(eve, body)
            assert refused.value.code is code
        for change in ({"mail": "eve@evil.org"}, {"webhook": "http://10.0.0.1/"}):
            with pytest.raises(Refused):
                await service.set_addresses(eve, AddressChange(**change))
        mine, hers = await view(world), await view(world, eve)
        assert mine.webhook_secret != hers.webhook_secret and hers.mail == ""

    scripted(tell)
