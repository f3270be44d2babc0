"""The renewal secret at the shipped central: it rotates, and a second holder ends the pilot."""

import msgspec
import pytest

from pilotage.central.errors import Refused
from pilotage.central.pilots import record as pilot_records
from pilotage.central.pilots.record_types import MARKS_MAX
from pilotage.proto.api.pilots import SecretRequest
from pilotage.proto.job_states import JobState
from pilotage.proto.messages import (
    PROTOCOL,
    Attempt,
    Hello,
    How,
    Node,
    Register,
    Registered,
    Report,
    TokenReply,
    TokenRequest,
    What,
)
from pilotage.proto.pilot_states import PilotState
from pilotage.proto.problems import Code

from .test_protocol import Scene, scene


async def registered(one: Scene, protocol: str = PROTOCOL) -> tuple[Register, Registered]:
    """Let a pilot of a protocol version register, and speak for it."""
    services = one.world.central.services
    made = await services.pilots.make_secrets(one.world.user(), SecretRequest(site="PIC"))
    message = Register(made.secrets[0].secret, "n", protocol=protocol, node=Node(host="h"))
    me = await services.pilots.register(message)
    one.caller = msgspec.structs.replace(one.caller, pilot=me.pilot)
    one.session = me.session
    return message, me


async def renew(one: Scene, pilot: str, secret: str, nonce: str = "") -> TokenReply:
    return await one.world.central.services.pilots.token(TokenRequest(pilot, secret, nonce))


async def refusal(one: Scene, pilot: str, secret: str, nonce: str = "") -> Code:
    with pytest.raises(Refused) as refused:
        await renew(one, pilot, secret, nonce)
    return refused.value.code


def test_a_secret_is_good_for_one_use_and_its_answer_is_the_same_again() -> None:
    async def tell(one: Scene) -> None:
        _, me = await registered(one)
        first = await renew(one, me.pilot, me.renewal_secret, "a")
        again = await renew(one, me.pilot, me.renewal_secret, "a")
        await one.world.kill()
        await one.world.start()
        after = await renew(one, me.pilot, me.renewal_secret, "a")
        second = await renew(one, me.pilot, first.renewal_secret, "b")

        assert first.renewal_secret == again.renewal_secret == after.renewal_secret
        assert len({me.renewal_secret, first.renewal_secret, second.renewal_secret}) == 3

    scene(tell)


def test_late_copies_of_honest_requests_are_refused_and_end_nothing() -> None:
    async def tell(one: Scene) -> None:
        message, me = await registered(one)
        first = await renew(one, me.pilot, me.renewal_secret, "a")
        second = await renew(one, me.pilot, first.renewal_secret, "b")
        late = await refusal(one, me.pilot, me.renewal_secret, "a")
        with pytest.raises(Refused) as refused:
            await one.world.central.services.pilots.register(message)

        assert (late, refused.value.code) == (Code.USED_SECRET, Code.OLD_SESSION)
        assert await renew(one, me.pilot, second.renewal_secret, "c")

    scene(tell)


def test_a_pilot_restarted_with_an_open_use_comes_back_and_its_result_counts() -> None:
    async def tell(one: Scene) -> None:
        _, me = await registered(one)
        (job,) = await one.submit()
        held = await one.ask()
        await renew(one, me.pilot, me.renewal_secret, "a")  # the answer is lost, the pilot dies
        hello = Hello(me.pilot, me.renewal_secret, "h", session=2, renewal_nonce="a")
        back = await one.world.central.services.pilots.hello(hello)
        again = await one.world.central.services.pilots.hello(hello)
        one.session = back.session
        ended = Report(held.job, 1, held.attempt_id, 9, What.ENDED, how=How.EXITED, exit_code=0)
        await one.turn(ended)

        assert (back.session, again.session) == (2, 2)
        assert back.renewal_secret == again.renewal_secret != me.renewal_secret
        assert await one.state(job) is JobState.DONE

    scene(tell)


@pytest.mark.parametrize("uses", [1, MARKS_MAX + 2])
def test_a_second_holder_ends_the_pilot_however_often_the_first_has_renewed(uses: int) -> None:
    async def tell(one: Scene) -> None:
        _, me = await registered(one)
        secret = me.renewal_secret
        for n in range(uses):
            secret = (await renew(one, me.pilot, secret, f"n-{n}")).renewal_secret
        second = await refusal(one, me.pilot, me.renewal_secret, "of the other")
        after = await refusal(one, me.pilot, secret, "of the first")
        presence = one.world.central.memory.pilots.find(me.pilot)
        row = await one.world.store.read(pilot_records.pilot, me.pilot)

        assert second is after is Code.OLD_SESSION
        assert presence is None and row is not None
        assert row.state is PilotState.FAILED and "was used by two" in row.reason
        assert me.broker is not None
        assert not one.world.broker.logins.knows(me.pilot, me.broker.password)

    scene(tell)


def test_after_a_replay_no_forged_end_counts_and_the_job_waits_again_once_it_cannot_run() -> None:
    async def tell(one: Scene) -> None:
        _, me = await registered(one)
        (job,) = await one.submit()
        held = await one.ask()
        await one.beat(Attempt(held.job, held.epoch))
        await renew(one, me.pilot, me.renewal_secret, "of the thief")
        await refusal(one, me.pilot, me.renewal_secret, "of the pilot")
        forged = Report(held.job, 1, held.attempt_id, 9, What.ENDED, how=How.EXITED, exit_code=0)
        with pytest.raises(Refused) as refused:
            await one.turn(forged)
        at_once = await one.state(job)
        await one.world.clock.sleep(130)  # its payload is frozen by now, wherever it runs
        later = await one.state(job)

        assert refused.value.code is Code.OLD_SESSION
        assert (at_once, later) == (JobState.MATCHED, JobState.WAITING)

    scene(tell)


def test_a_replay_is_an_event_that_the_alarm_counts() -> None:
    async def tell(one: Scene) -> None:
        _, me = await registered(one)
        await renew(one, me.pilot, me.renewal_secret, "a")
        before = await one.world.central.services.metrics.page({})
        for nonce in ("b", "c"):
            await refusal(one, me.pilot, me.renewal_secret, nonce)
        after = await one.world.central.services.metrics.page({})
        view = await one.world.central.services.pilots.get(one.world.user(), me.pilot)

        line = 'pilotage_events_total{event="secret_replayed"}'
        assert f"{line} 0" in before and f"{line} 1" in after
        assert "its renewal secret 1 was used by two" in view.reason

    scene(tell)


def test_a_secret_of_a_pilot_that_rotates_needs_a_nonce() -> None:
    async def tell(one: Scene) -> None:
        _, me = await registered(one)

        assert await refusal(one, me.pilot, me.renewal_secret) is Code.BAD_TOKEN
        assert await renew(one, me.pilot, me.renewal_secret, "a")

    scene(tell)


def test_a_pilot_of_protocol_1_0_keeps_one_secret_until_a_newer_one_takes_its_journal() -> None:
    async def tell(one: Scene) -> None:
        message, me = await registered(one, "1.0")
        kept = [await renew(one, me.pilot, me.renewal_secret) for _ in range(3)]
        again = await one.world.central.services.pilots.register(message)
        hello = Hello(me.pilot, me.renewal_secret, "h", session=2, renewal_nonce="a")
        newer = await one.world.central.services.pilots.hello(hello)
        late = await refusal(one, me.pilot, me.renewal_secret)
        await renew(one, me.pilot, newer.renewal_secret, "b")

        assert {one.renewal_secret for one in kept} == {me.renewal_secret}
        assert again.renewal_secret == me.renewal_secret != newer.renewal_secret
        assert late is Code.BAD_TOKEN, "it ends nothing: it may be a late word of the older pilot"
        assert await refusal(one, me.pilot, me.renewal_secret, "c") is Code.OLD_SESSION

    scene(tell)


@pytest.mark.parametrize(
    "secret", ["pr1.1.x", "pr1.2." + "A" * 43, "pr1..", "pr1.٣.x", "x", "pr1.99999999999.x"]
)
def test_a_forged_secret_is_refused_and_ends_nothing(secret: str) -> None:
    async def tell(one: Scene) -> None:
        _, me = await registered(one)
        _, other = await registered(one)

        assert await refusal(one, me.pilot, secret, "a") is Code.BAD_TOKEN
        assert await refusal(one, me.pilot, other.renewal_secret, "a") is Code.BAD_TOKEN
        assert await refusal(one, "nobody", me.renewal_secret, "a") is Code.BAD_TOKEN
        assert await renew(one, me.pilot, me.renewal_secret, "a")

    scene(tell)


def test_a_secret_of_a_time_that_the_store_has_lost_tells_the_pilot_of_another_store() -> None:
    async def tell(one: Scene) -> None:
        _, me = await registered(one)
        first = await renew(one, me.pilot, me.renewal_secret, "a")
        one.world.store.by_hand(
            "UPDATE pilot SET renewals = 1, nonces_used = '' WHERE pilot = ?", me.pilot
        )

        assert await refusal(one, me.pilot, first.renewal_secret, "b") is Code.OTHER_STORE

    scene(tell)


def test_a_full_store_gives_tokens_for_the_same_use_and_forgets_no_second_holder() -> None:
    async def tell(one: Scene) -> None:
        _, honest = await registered(one)
        _, robbed = await registered(one)
        one.world.store.full = True
        stays = [await renew(one, honest.pilot, honest.renewal_secret, "a") for _ in range(2)]
        await renew(one, robbed.pilot, robbed.renewal_secret, "of the thief")
        second = await refusal(one, robbed.pilot, robbed.renewal_secret, "of the pilot")
        one.world.store.full = False
        rotated = await renew(one, honest.pilot, honest.renewal_secret, "a")
        found = await refusal(one, robbed.pilot, robbed.renewal_secret, "of the pilot")

        assert [(one.renewal_secret, bool(one.token)) for one in stays] == [("", True)] * 2
        assert rotated.renewal_secret not in ("", honest.renewal_secret)
        assert (second, found) == (Code.STORE_FULL, Code.OLD_SESSION)

    scene(tell)


def test_a_replay_ends_a_pilot_that_is_in_the_store_alone_and_the_alarm_counts_it() -> None:
    async def tell(one: Scene) -> None:
        _, me = await registered(one)
        await renew(one, me.pilot, me.renewal_secret, "a")
        one.world.central.memory.pilots.forget(me.pilot)
        second = await refusal(one, me.pilot, me.renewal_secret, "of the other")
        row = await one.world.store.read(pilot_records.pilot, me.pilot)
        page = await one.world.central.services.metrics.page({})

        assert second is Code.OLD_SESSION
        assert row is not None and row.state is PilotState.FAILED
        assert 'pilotage_events_total{event="secret_replayed"} 1' in page

    scene(tell)


def test_a_full_store_keeps_no_use_of_a_pilot_that_is_not_in_memory() -> None:
    async def tell(one: Scene) -> None:
        _, me = await registered(one)
        one.world.central.memory.pilots.forget(me.pilot)
        one.world.store.full = True

        assert await refusal(one, me.pilot, me.renewal_secret, "a") is Code.STORE_FULL

    scene(tell)
