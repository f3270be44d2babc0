"""The whole agent on fakes and a virtual clock, against a central that is a script."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial

import pytest

from pilotage.pilot.gpus import Gpus
from pilotage.pilot.ports import HttpReply, NoReply, TooLarge
from pilotage.proto.messages import (
    Assignment,
    Attempt,
    Beat,
    Down,
    How,
    InputFile,
    LogChunk,
    OutputRule,
    Problem,
    TokenRequest,
    Wake,
    What,
)
from pilotage.proto.wire import decode, encode
from tests import virtual
from tests.fake_pilot import Central as CentralOf, FakePilot, FakeProbe, Script, script_of
from tests.scripted_central import ABC, LEASE_S, Central, assignment

Story = Callable[[Central, FakePilot], Awaitable[None]]


def live(
    story: Story,
    *,
    script: Script | None = None,
    bus: bool = True,
    cores: int = 1,
    limit_s: float = 100_000,
) -> tuple[Central, FakePilot, int]:
    """Run a pilot beside a story; when the story ends, the pilot is asked to end."""
    central = Central()

    def sent(topic: str, payload: bytes) -> None:
        assert pilot.bus is not None
        if topic.endswith("/log"):
            central.chunks.append(decode(LogChunk, payload))
            return
        answer = encode(Down(beat=central.beat(decode(Beat, payload))))
        asyncio.get_running_loop().call_soon(pilot.bus.inject, answer)

    pilot = FakePilot(
        central,
        probe=FakeProbe(cores_all=cores),
        script=script_of if script is None else lambda _: script,
        bus_sent=sent if bus else None,
    )

    async def both() -> int:
        agent = pilot.agent()
        running = asyncio.get_running_loop().create_task(agent.run())
        await story(central, pilot)
        agent.drain("the story is over")
        return await running

    return central, pilot, virtual.run(both(), limit_s=limit_s)


async def until(holds: Callable[[], bool], *, within_s: float = 1_000.0) -> None:
    end = virtual.now() + within_s
    while not holds():
        assert virtual.now() < end, "it never came"
        await asyncio.sleep(0.01)


async def hear(pilot: FakePilot, message: Down) -> None:
    assert pilot.bus is not None
    await pilot.bus.hear(encode(message))


def test_a_pilot_registers_runs_a_job_and_reports_it() -> None:
    async def story(central: Central, pilot: FakePilot) -> None:
        central.queue.append(assignment(7, "sleep", "100"))
        await until(lambda: bool(central.ended))

    central, pilot, code = live(story)

    assert code == 0
    assert [m.secret for m in central.registers] == ["secret"]
    ended = central.ended[Attempt(7, 1)]
    assert (ended.how, ended.exit_code) == (How.EXITED, 0)
    assert [r.what for r in central.reports] == [What.STARTED, What.ENDED]
    assert not pilot.journal.assignments() and not pilot.journal.ended()
    assert central.beats[-1].goodbye


def test_the_report_of_one_job_and_the_ask_for_the_next_travel_together() -> None:
    async def story(central: Central, pilot: FakePilot) -> None:
        central.queue.extend(assignment(job, "true") for job in range(1, 11))
        await until(lambda: len(central.ended) == 10)

    central, _, _ = live(story)

    both = [turn for turn in central.turns if turn.reports and turn.ask]
    assert len(both) == 10
    assert len(central.turns) == 11, "one to begin with, then one for each job"


def test_a_wake_up_starts_a_job_within_milliseconds() -> None:
    async def story(central: Central, pilot: FakePilot) -> None:
        await until(lambda: central.parked > 0)
        await asyncio.sleep(100)
        assert pilot.guard.prepared, "what can be done ahead is done while it waits"
        central.queue.append(assignment(1, "true"))
        woken = virtual.now()
        await hear(pilot, Down(wake=Wake(central.parked, 1)))
        await until(lambda: bool(pilot.guard.runs))
        assert pilot.guard.runs[0][1] - woken < 0.005
        await until(lambda: bool(central.ended))

    live(story)


def test_without_a_bus_beats_go_over_https_and_bring_the_word_that_there_is_work() -> None:
    async def story(central: Central, pilot: FakePilot) -> None:
        await until(lambda: central.parked > 0)
        central.queue.append(assignment(1, "sleep", "200"))
        await until(lambda: bool(central.ended))

    central, pilot, code = live(story, bus=False)

    assert code == 0
    assert ("no_bus", {"why": "no bus client is installed"}) in pilot.log
    listed = [beat for beat in central.beats if beat.holding]
    assert 5 <= len(listed) <= 7, "one at the start and one each 40 s"
    assert not any(name == "payload_frozen" for name, _ in pilot.log)


def test_output_files_and_streams_are_stored_before_the_end_is_told() -> None:
    script = Script(duration_s=5, stdout=b"hello\n", files={"a.dat": b"abc", "b.log": b"x"})

    async def story(central: Central, pilot: FakePilot) -> None:
        central.queue.append(assignment(1, "any", outputs=(OutputRule("*.dat"),)))
        await until(lambda: bool(central.ended))

    central, _, _ = live(story, script=script)

    outputs = {one.name: one for one in central.ended[Attempt(1, 1)].outputs}
    assert set(outputs) == {".pilotage/stdout", "a.dat"}
    assert central.blobs[outputs["a.dat"].sha256] == b"abc"
    assert central.blobs[outputs[".pilotage/stdout"].sha256] == b"hello\n"


def test_blobs_that_the_central_has_lost_are_uploaded_again() -> None:
    script = Script(files={"a.dat": b"abc"})

    async def story(central: Central, pilot: FakePilot) -> None:
        central.forgets = {ABC}
        central.queue.append(assignment(1, "any", outputs=(OutputRule("*.dat"),)))
        await until(lambda: bool(central.ended))

    central, _, _ = live(story, script=script)

    assert len([r for r in central.reports if r.what is What.ENDED]) == 2
    assert central.ended[Attempt(1, 1)].how is How.EXITED


def test_a_required_output_that_is_missing_fails_the_attempt_by_name() -> None:
    async def story(central: Central, pilot: FakePilot) -> None:
        central.queue.append(assignment(1, "true", outputs=(OutputRule("*.dat"),)))
        await until(lambda: bool(central.ended))

    central, _, _ = live(story)

    ended = central.ended[Attempt(1, 1)]
    assert (ended.how, ended.detail) == (How.OUTPUT, "no file matches '*.dat'")


def test_input_is_laid_out_before_the_start_or_the_attempt_ends_as_input() -> None:
    async def story(central: Central, pilot: FakePilot) -> None:
        central.blobs[ABC] = b"abc"
        central.queue.append(assignment(1, "true", inputs=(InputFile("in.txt", ABC, 3),)))
        central.queue.append(assignment(2, "true", inputs=(InputFile("in.txt", "0" * 64, 3),)))
        await until(lambda: len(central.ended) == 2)

    central, _, _ = live(story)

    assert central.ended[Attempt(1, 1)].how is How.EXITED
    assert central.ended[Attempt(2, 1)].how is How.INPUT


def test_an_input_larger_than_the_disk_that_was_given_is_not_even_brought() -> None:
    async def story(central: Central, pilot: FakePilot) -> None:
        central.blobs[ABC] = b"abc"
        large = assignment(1, "true", inputs=(InputFile("in.txt", ABC, 5_300_000),))
        central.queue.append(replace(large, grant=replace(large.grant, scratch_mb=5)))
        await until(lambda: bool(central.ended))

    central, _, _ = live(story)

    ended = central.ended[Attempt(1, 1)]
    assert ended.how is How.NO_START
    assert ended.detail == "input 'in.txt': it has 5.3 MB, but scratch_mb is 5"


#    what its size_bytes says   what is wrong with the disk        how it ends, and what is said
ROOM = [
    (2, None, How.NO_START, "more than 2 bytes came, but its size_bytes is 2"),
    (3, TooLarge("it has 3 bytes: no room"), How.NO_START, "it has 3 bytes: no room"),
    (3, OSError("it has 3 bytes: no room"), How.INPUT, "it has 3 bytes: no room"),
    (0, None, How.EXITED, ""),
]


@pytest.mark.parametrize(("size_bytes", "disk", "how", "said"), ROOM)
def test_no_more_comes_of_an_input_than_was_said_and_there_is_room_for(
    size_bytes: int, disk: OSError | None, how: How, said: str
) -> None:
    async def story(central: Central, pilot: FakePilot) -> None:
        central.blobs[ABC] = b"abc"
        if disk is not None:
            pilot.workspace.breaks["room"] = disk
        inputs = (InputFile("in.txt", ABC, size_bytes),)
        central.queue.append(assignment(1, "true", inputs=inputs))
        await until(lambda: bool(central.ended))

    central, _, _ = live(story)

    ended = central.ended[Attempt(1, 1)]
    assert (ended.how, ended.detail) == (how, said and f"input 'in.txt': {said}")


def test_a_token_that_is_refused_is_fetched_anew_and_the_request_repeated() -> None:
    async def story(central: Central, pilot: FakePilot) -> None:
        await until(lambda: central.parked > 0)
        central.valid_tokens = {"another"}
        central.queue.append(assignment(1, "true"))
        await until(lambda: bool(central.ended))

    central, _, code = live(story)

    assert code == 0
    assert central.tokens == 2


@pytest.mark.parametrize(
    ("status", "code", "exit_code"), [(409, "old_session", 10), (410, "other_store", 11)]
)
def test_a_renewal_that_ends_the_session_ends_the_pilot_and_its_payloads_at_once(
    status: int, code: str, exit_code: int
) -> None:
    central, asked = Central(), list[TokenRequest]()

    async def heard(method: str, path: str, body: bytes, token: str) -> HttpReply:
        if path == "/v1/pilots/token":
            asked.append(decode(TokenRequest, body))
            return HttpReply(status, encode(Problem(code, "no")))
        return await central(method, path, body, token)

    pilot = FakePilot(heard, script=lambda _: Script(duration_s=10_000))
    central.queue.append(assignment(1, "sleep"))

    assert virtual.run(pilot.agent().run()) == exit_code
    assert pilot.guard.started and not central.ended
    assert {one.nonce for one in asked} == {asked[0].nonce} != {""}


def test_a_pilot_whose_session_another_has_opened_uses_its_secret_once_more() -> None:
    central = Central()

    async def heard(method: str, path: str, body: bytes, token: str) -> HttpReply:
        if path == "/v1/ask":
            return HttpReply(409, encode(Problem("old_session", "session 1 is over")))
        return await central(method, path, body, token)

    assert virtual.run(FakePilot(heard).agent().run()) == 10
    assert central.tokens == 3, "two uses: the first may have been open before"


def test_a_lost_reply_gives_the_same_assignment_and_runs_it_once() -> None:
    async def story(central: Central, pilot: FakePilot) -> None:
        await until(lambda: central.parked > 0)
        central.queue.append(assignment(1, "sleep", "3"))
        pilot.http.lose_replies = 1
        await hear(pilot, Down(wake=Wake(central.parked, 1)))
        await until(lambda: bool(central.ended))

    central, pilot, _ = live(story)

    assert central.asks[:3] == [1, 2, 2]
    assert pilot.guard.started == [1_001]


def test_a_network_cut_freezes_the_payload_at_its_fence_and_thaws_it_when_it_heals() -> None:
    async def story(central: Central, pilot: FakePilot) -> None:
        central.queue.append(assignment(1, "sleep", "300"))
        await until(lambda: bool(pilot.guard.started))
        await asyncio.sleep(1)
        assert pilot.bus is not None
        pilot.http.cut = True
        pilot.bus.set_up(False)
        await until(lambda: pilot.guard.frozen(1_001))
        frozen = virtual.now()
        sent = max(beat_at for _, beat_at, _ in pilot.guard.runs)
        assert frozen - sent <= 0.8 * LEASE_S + 1
        await asyncio.sleep(500)
        pilot.http.cut = False
        await until(lambda: bool(central.ended), within_s=2_000)

    central, _, _ = live(story)

    ended = central.ended[Attempt(1, 1)]
    assert ended.how is How.EXITED
    assert ended.usage is not None and 490 < ended.usage.frozen_s < 530


def test_a_restart_says_hello_reports_what_had_ended_and_calls_the_rest_lost() -> None:
    central = Central()

    def sent(topic: str, payload: bytes) -> None:
        pass

    pilot = FakePilot(central, bus_sent=sent)
    pilot.probe.cores_all = 2

    async def story() -> int:
        central.queue.append(assignment(1, "sleep", "5"))
        central.queue.append(assignment(2, "sleep", "1000"))
        first = asyncio.get_running_loop().create_task(pilot.agent().run())
        await until(lambda: len(pilot.guard.started) == 2)
        pilot.http.cut = True
        await until(lambda: bool(pilot.journal.ended()))
        await asyncio.sleep(6)  # until the journal is synced
        first.cancel()  # kill -9: nothing is said any more
        await asyncio.wait([first])
        pilot.guard.die()
        await asyncio.sleep(30)
        pilot.http.cut = False
        agent = pilot.agent()
        second = asyncio.get_running_loop().create_task(agent.run())
        await until(lambda: len(central.ended) == 2)
        agent.drain("done")
        return await second

    code = virtual.run(story())

    assert code == 0
    assert len(central.registers) == 1
    assert central.hellos[0].unanswered == (Attempt(1, 1), Attempt(2, 1))
    assert central.hellos[0].session == 2
    assert central.ended[Attempt(1, 1)].how is How.EXITED
    assert central.ended[Attempt(2, 1)].how is How.LOST
    assert not pilot.journal.assignments() and not pilot.journal.ended()


def test_a_pilot_that_died_before_the_answer_registers_with_the_same_nonce() -> None:
    central = Central()
    pilot = FakePilot(central)

    async def story() -> None:
        pilot.http.cut = True
        first = asyncio.get_running_loop().create_task(pilot.agent().run())
        await asyncio.sleep(30)
        first.cancel()
        await asyncio.wait([first])
        pilot.http.cut, pilot.http.lose_replies = False, 1
        second = asyncio.get_running_loop().create_task(pilot.agent().run())
        await until(lambda: len(central.registers) == 2)
        second.cancel()
        await asyncio.wait([second])

    virtual.run(story())

    assert len({one.nonce for one in central.registers}) == 1


def test_a_life_that_registers_from_a_journal_opens_a_session_of_its_own() -> None:
    """The life that began the journal may live on elsewhere, as the same pilot in session 1."""
    central = Central()
    pilot = FakePilot(central)

    async def story() -> int:
        pilot.http.lose_replies = 10_000
        first = asyncio.get_running_loop().create_task(pilot.agent().run())
        await until(lambda: bool(central.registers))
        first.cancel()
        await asyncio.wait([first])
        pilot.http.lose_replies = 0
        agent = pilot.agent()
        second = asyncio.get_running_loop().create_task(agent.run())
        await until(lambda: bool(central.hellos))
        agent.drain("done")
        return await second

    assert virtual.run(story()) == 0
    assert [hello.pilot for hello in central.hellos] == ["p1"]


def test_a_life_that_was_not_answered_is_older_than_the_next_one() -> None:
    """Late copies of what it said must not end the next life: each names its own session."""
    central = Central()
    pilot = FakePilot(central)

    def said(lives: int) -> bool:
        return len({one.nonce for one in central.hellos}) == lives

    async def story() -> None:
        for lives in range(1, 5):
            pilot.http.lose_replies = 10_000 if lives in (2, 3) else 0
            life = asyncio.get_running_loop().create_task(pilot.agent().run())
            await until(partial(said, lives - 1))
            await asyncio.sleep(1)
            life.cancel()
            await asyncio.wait([life])

    virtual.run(story())

    named = list(dict.fromkeys((one.nonce, one.session) for one in central.hellos))
    assert [session for _, session in named] == [2, 3, 4]


def test_a_journal_of_before_sessions_had_names_opens_the_next_one_and_keeps_its_number() -> None:
    central = Central()
    pilot = FakePilot(central)
    pilot.journal.keep_identity(b'{"nonce":"n","pilot":"p1","renewal_secret":"r"}')

    def said(lives: int) -> bool:
        return len(central.hellos) == lives

    async def story() -> None:
        for lives in (1, 2):
            life = asyncio.get_running_loop().create_task(pilot.agent().run())
            await until(partial(said, lives))
            await asyncio.sleep(1)
            life.cancel()
            await asyncio.wait([life])

    virtual.run(story())

    assert [hello.session for hello in central.hellos] == [0, 2]


async def not_answering(method: str, path: str, body: bytes, token: str) -> HttpReply:
    await asyncio.sleep(1e6)
    raise AssertionError("the pilot has waited for ever")


async def not_ready(method: str, path: str, body: bytes, token: str) -> HttpReply:
    return HttpReply(503, encode(Problem("not_leader", "another one leads")))


# What the central does, after how long the pilot is told to end
TOLD: dict[str, tuple[CentralOf, float]] = {
    "before its first word is on the way": (not_answering, 0.0),
    "while a request is on the way": (not_answering, 5.0),
    "while it backs off": (not_ready, 30.0),
}


@pytest.mark.parametrize("when", TOLD)
def test_a_pilot_that_nobody_knows_yet_ends_at_once_when_told_to(when: str) -> None:
    central, after_s = TOLD[when]
    pilot = FakePilot(central)

    async def story() -> tuple[int, float]:
        agent = pilot.agent()
        running = asyncio.get_running_loop().create_task(agent.run())
        await asyncio.sleep(after_s)
        agent.drain("SIGTERM")
        return await running, virtual.now() - virtual.START_S

    code, ended_s = virtual.run(story())

    assert (code, ended_s) == (0, after_s)
    assert pilot.log[-1] == (
        "pilot_ended",
        {"code": 0, "why": "ordered to end before the registration"},
    )


# What the central does, --idle-s, how long the pilot lives, and what it says of its end
GIVEN_UP: tuple[tuple[CentralOf, float, float, str], ...] = (
    (not_answering, 0.0, 900.0, "no answer from https://central.example for 900 s"),
    (not_answering, 60.0, 60.0, "no answer from https://central.example for 60 s"),
    (
        not_ready,
        0.0,
        900.0,
        "https://central.example has not accepted the pilot for 900 s: 503 not_leader",
    ),
)


@pytest.mark.parametrize(("central", "idle_s", "lives_s", "why"), GIVEN_UP)
def test_a_pilot_that_nobody_lets_in_gives_up(
    central: CentralOf, idle_s: float, lives_s: float, why: str
) -> None:
    pilot = FakePilot(central, idle_s=idle_s)

    async def story() -> tuple[int, float]:
        code = await pilot.agent().run()
        return code, virtual.now() - virtual.START_S

    code, ended_s = virtual.run(story())
    event, facts = pilot.log[-1]

    assert (code, ended_s) == (15, lives_s)
    assert (event, facts["code"]) == ("pilot_ended", 15)
    assert str(facts["why"]).startswith(why)


def test_without_work_the_time_before_the_registration_counts() -> None:
    pilot = FakePilot(Central(), idle_s=300.0)

    async def story() -> tuple[int, float]:
        pilot.http.cut = True
        running = asyncio.get_running_loop().create_task(pilot.agent().run())
        await asyncio.sleep(200.0)
        pilot.http.cut = False
        code = await running
        return code, virtual.now() - virtual.START_S

    code, ended_s = virtual.run(story())

    assert code == 0 and 300.0 <= ended_s < 301.0


def test_a_limit_that_the_batch_system_has_changed_is_offered_and_kept() -> None:
    async def story(central: Central, pilot: FakePilot) -> None:
        central.queue.append(assignment(1, "sleep", "100000"))
        pilot.probe.news.append(500.0)  # at the first look, after 900 s
        await until(lambda: bool(central.ended), within_s=2_000)

    central, pilot, code = live(story, cores=2)

    ended = central.ended[Attempt(1, 1)]
    assert code == 0
    assert ended.how is How.DRAINED
    assert ended.usage is not None and 1_300 < ended.usage.wall_s < 1_400
    assert ("time_left", {"wall_left_s": 500}) in pilot.log
    # The guard warns payloads before that: it knows of both ends.
    at_first, in_the_end = (at - virtual.START_S for at in pilot.guard.ends_at)
    assert at_first == pytest.approx(1e6 - 60, abs=1.0)
    assert 1_330 < in_the_end < 1_360


def test_a_signal_to_the_pilot_is_a_warning_to_its_payloads() -> None:
    async def story(central: Central, pilot: FakePilot) -> None:
        central.queue.append(assignment(1, "sleep", "100"))
        await until(lambda: len(pilot.guard.started) == 1)
        assert pilot.guard.warnings == 0

    central, pilot, code = live(story)

    assert (code, pilot.guard.warnings) == (0, 1)
    assert central.ended[Attempt(1, 1)].how is How.EXITED


def test_each_payload_sees_its_own_gpus() -> None:
    central, seen = Central(), dict[int, str]()
    gpus = Gpus(count=2, vendor="nvidia", devices=("GPU-a", "GPU-b"))

    def script(given: Assignment) -> Script:
        seen[given.job] = given.body.environment["CUDA_VISIBLE_DEVICES"]
        return script_of(given)

    pilot = FakePilot(central, probe=FakeProbe(cores_all=4, node_gpus=gpus), script=script)
    grants = {1: (1, 100), 2: (1, 5), 3: (0, 5), 4: (1, 5)}  # GPUs, and how long they sleep
    for job, (count, sleep_s) in grants.items():
        one = assignment(job, "sleep", str(sleep_s))
        central.queue.append(replace(one, grant=replace(one.grant, gpus=count)))
    last = central.queue.pop()

    async def story() -> None:
        agent = pilot.agent()
        running = asyncio.get_running_loop().create_task(agent.run())
        await until(lambda: Attempt(2, 1) in central.ended)
        central.queue.append(last)
        await until(lambda: Attempt(4, 1) in central.ended)
        agent.drain("done")
        await running

    virtual.run(story())

    assert seen == {1: "GPU-a", 2: "GPU-b", 3: "", 4: "GPU-b"}


def test_a_pilot_asks_before_it_joins_the_bus_and_does_not_wait_for_an_answer_for_ever() -> None:
    """The library of the bus takes longer to read than all else takes until the first ask."""
    central, seen = Central(), list[bool]()

    async def heard(method: str, path: str, body: bytes, token: str) -> HttpReply:
        if path == "/v1/ask":
            seen.append(pilot.bus is not None and pilot.bus.up)
            if len(seen) == 1:
                raise NoReply("cut off")
        return await central(method, path, body, token)

    pilot = FakePilot(heard, bus_sent=lambda topic, payload: None, idle_s=30.0)
    code = virtual.run(pilot.agent().run())

    assert (code, seen) == (0, [False, True])


def test_a_pilot_leaves_the_bus_before_its_goodbye_is_heard() -> None:
    central, bus_up = Central(), list[bool]()

    async def heard(method: str, path: str, body: bytes, token: str) -> HttpReply:
        if path == "/v1/beat" and decode(Beat, body).goodbye:
            assert pilot.bus is not None
            bus_up.append(pilot.bus.up)
        return await central(method, path, body, token)

    pilot = FakePilot(heard, bus_sent=lambda topic, payload: None, idle_s=10.0)
    code = virtual.run(pilot.agent().run())

    assert (code, bus_up) == (0, [False])


def test_live_output_flows_only_while_somebody_follows() -> None:
    script = Script(duration_s=100, stdout="zwölf\n".encode() * 10)

    async def story(central: Central, pilot: FakePilot) -> None:
        central.queue.append(assignment(1, "any"))
        await until(lambda: bool(pilot.guard.started))
        await asyncio.sleep(10)
        assert not central.chunks
        central.follow = (Attempt(1, 1),)
        await hear(pilot, Down(follow=Attempt(1, 1)))
        await until(lambda: bool(central.chunks), within_s=1)
        await until(lambda: bool(central.ended))

    central, _, _ = live(story, script=script)

    assert "".join(chunk.text for chunk in central.chunks) == "zwölf\n" * 10


def test_the_guards_death_is_said_and_the_pilot_ends() -> None:
    async def story(central: Central, pilot: FakePilot) -> None:
        central.queue.append(assignment(1, "sleep", "1000"))
        await until(lambda: bool(pilot.guard.started))
        pilot.guard.die()
        await until(lambda: bool(central.ended))

    central, _, code = live(story)

    assert central.ended[Attempt(1, 1)].how is How.LOST
    assert code == 13
