"""Tokens of payloads at the pilot: fetched, renewed, told about, removed, on a virtual clock."""

import asyncio
import errno
import os
import stat
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from pilotage.pilot import agent
from pilotage.pilot.files.token_files import remove_tokens, tokens_folder, write_token
from pilotage.pilot.files.workspace import Workspaces
from pilotage.pilot.outfit.environment import payload_environment
from pilotage.pilot.ports import HttpReply
from pilotage.pilot.talk import logship
from pilotage.pilot.talk.payload_tokens import (
    AGAIN_MAX_S,
    LOOK_S,
    REFUSED_AGAIN_S,
    START_PATIENCE_S,
)
from pilotage.proto.messages import (
    Assignment,
    Attempt,
    Down,
    How,
    Problem,
    Report,
    Stop,
    What,
)
from pilotage.proto.wire import encode
from tests import virtual
from tests.fake_pilot import FakePilot
from tests.scripted_central import Central, assignment

from .test_agent import live, until

HOUR_S = 3_600.0
AWAY = HttpReply(503, encode(Problem("unavailable", "iam does not answer")))
REFUSED = HttpReply(403, encode(Problem("forbidden", "iam refuses it: invalid_scope")))
OLD = HttpReply(404, encode(Problem("not_found", "there is no such route")))


def with_tokens(*command: str, names: tuple[str, ...] = ("default",)) -> Assignment:
    plain = assignment(7, *command, tokens=names)
    return replace(plain, grant=replace(plain.grant, wall_s=100 * HOUR_S))


def token_files(pilot: FakePilot) -> dict[str, bytes]:
    return {p.name: c for p, c in pilot.workspace.files.items() if p.parent.name == "tokens"}


def progress(central: Central) -> list[str]:
    return [one.status for one in central.reports if one.what is What.PROGRESS]


def ended(central: Central) -> Report:
    return central.ended[Attempt(7, 1)]


async def until_ended(central: Central, within_s: float = 100 * HOUR_S) -> None:
    end = virtual.now() + within_s
    while not central.ended:
        assert virtual.now() < end, "it never ended"
        await asyncio.sleep(30)


def test_tokens_are_there_before_the_payload_starts_and_gone_after_its_end() -> None:
    async def story(central: Central, pilot: FakePilot) -> None:
        central.queue.append(with_tokens("sleep", "100", names=("default", "store")))
        await until(lambda: bool(pilot.guard.started))
        assert token_files(pilot) == {"default": b"default-1", "store": b"store-2"}
        await until(lambda: not pilot.guard._payloads)
        await asyncio.sleep(0.05)
        assert token_files(pilot) == {}
        await until(lambda: bool(central.ended))

    central, pilot, code = live(story)

    assert code == 0 and ended(central).how is How.EXITED
    assert progress(central) == [] and ended(central).detail == ""
    assert [name for name, _ in pilot.log].count("payload_token_kept") == 2


def test_a_job_without_tokens_asks_for_none() -> None:
    async def story(central: Central, pilot: FakePilot) -> None:
        central.queue.append(assignment(7, "sleep", "100"))
        await until(lambda: bool(central.ended))

    central, _, _ = live(story)

    assert central.token_requests == []


def test_a_token_is_renewed_at_half_of_its_life() -> None:
    asked: list[float] = []

    async def story(central: Central, pilot: FakePilot) -> None:
        central.queue.append(with_tokens("sleep", str(10 * HOUR_S)))
        while not central.ended:
            if len(central.token_requests) > len(asked):
                asked.append(virtual.now())
                newest = f"default-{len(asked)}".encode()
                assert token_files(pilot) == {"default": newest}
            await asyncio.sleep(10)

    live(story)

    gaps = [later - earlier for earlier, later in zip(asked, asked[1:], strict=False)]
    assert 18 <= len(gaps) <= 22
    assert all(0.45 * HOUR_S - 10 <= gap <= 0.55 * HOUR_S + 10 for gap in gaps)
    assert max(gaps) - min(gaps) > 60, "jobs that start together do not ask together"


def test_72_hours_with_tokens_of_an_hour_and_an_outage_of_5_hours_end_well(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """No token expires before the outage, or for long after it."""
    monkeypatch.setattr(agent, "CLOCK_LOOK_S", 600.0)  # this node is never suspended
    monkeypatch.setattr(agent, "SCRATCH_LOOK_S", 3_600.0)
    monkeypatch.setattr(logship, "LOOK_S", 300.0)
    without_s = {"before": 0.0, "during": 0.0, "after": 0.0}
    down, up = 30 * HOUR_S, 35 * HOUR_S

    async def story(central: Central, pilot: FakePilot) -> None:
        central.queue.append(replace(with_tokens("sleep", str(72 * HOUR_S)), lease_s=1_200.0))
        await until(lambda: bool(pilot.guard.started))
        began, renewed, seen = virtual.now(), virtual.now(), b""
        while not central.ended:
            past = virtual.now() - began
            central.no_token = AWAY if down <= past < up else None
            found = token_files(pilot).get("default", b"")
            if found != seen:
                renewed, seen = virtual.now(), found
            when = "before" if past < down else "during" if past < up else "after"
            if virtual.now() - renewed > HOUR_S and pilot.guard._payloads:
                without_s[when] += 30
            await asyncio.sleep(30)

    central, pilot, code = live(story, limit_s=80 * HOUR_S)

    assert code == 0
    assert (ended(central).how, ended(central).exit_code) == (How.EXITED, 0)
    assert without_s["before"] == 0 and without_s["during"] > 0
    assert without_s["after"] <= AGAIN_MAX_S + 30
    assert progress(central) == [], "an outage is no refusal"
    failures = [facts for name, facts in pilot.log if name == "payload_token_failed"]
    assert 60 <= len(failures) <= 200, "it tries about every five minutes, not more often"


def test_a_start_waits_for_a_provider_that_comes_back_soon() -> None:
    async def story(central: Central, pilot: FakePilot) -> None:
        central.no_token = AWAY
        central.queue.append(with_tokens("sleep", "10"))
        await asyncio.sleep(START_PATIENCE_S / 2)
        assert not pilot.guard.started
        central.no_token = None
        await until(lambda: bool(pilot.guard.started), within_s=START_PATIENCE_S / 2)
        assert token_files(pilot)
        await until(lambda: bool(central.ended))

    central, _, _ = live(story)

    assert progress(central) == []


def test_after_a_while_the_payload_starts_without_its_token_and_gets_it_later() -> None:
    async def story(central: Central, pilot: FakePilot) -> None:
        central.no_token = AWAY
        asked = virtual.now()
        central.queue.append(with_tokens("sleep", str(HOUR_S)))
        await until(lambda: bool(pilot.guard.started))
        assert START_PATIENCE_S <= virtual.now() - asked <= START_PATIENCE_S + 30
        assert token_files(pilot) == {}
        central.no_token = None
        await until(lambda: bool(token_files(pilot)), within_s=AGAIN_MAX_S)
        await until_ended(central)

    central, _, _ = live(story)

    assert progress(central) == ["token default is not there at the start: iam does not answer"]
    assert ended(central).how is How.EXITED


@pytest.mark.parametrize("answer", [REFUSED, OLD], ids=["refused", "older central"])
def test_a_refused_token_is_in_the_history_once_and_does_not_delay_the_start(
    answer: HttpReply,
) -> None:
    async def story(central: Central, pilot: FakePilot) -> None:
        central.no_token = answer
        central.queue.append(with_tokens("sleep", str(4 * HOUR_S), names=("default", "b")))
        await until(lambda: bool(pilot.guard.started), within_s=10)
        await until_ended(central)

    central, _, code = live(story)

    assert code == 0 and ended(central).how is How.EXITED
    (said,) = progress(central)
    assert said.count("is refused") == 2
    asked = len(central.token_requests)
    assert 2 * (4 * HOUR_S / (1.2 * REFUSED_AGAIN_S + LOOK_S)) <= asked <= 2 * 4 * HOUR_S / 400


def test_a_refusal_while_the_payload_runs_is_told_again_after_a_token_came() -> None:
    async def story(central: Central, pilot: FakePilot) -> None:
        central.queue.append(with_tokens("sleep", str(6 * HOUR_S)))
        await until(lambda: bool(pilot.guard.started))
        for answer in (REFUSED, None, REFUSED):
            central.no_token = answer
            await asyncio.sleep(1.5 * HOUR_S)
        await until_ended(central)

    central, _, _ = live(story)

    assert progress(central) == ["token default is refused: iam refuses it: invalid_scope"] * 2


def test_a_note_about_a_payload_that_ends_at_once_comes_with_its_end() -> None:
    async def story(central: Central, pilot: FakePilot) -> None:
        central.no_token = REFUSED
        central.queue.append(with_tokens("true"))
        await until(lambda: bool(central.ended))

    central, _, _ = live(story)

    assert progress(central) == []
    assert "token default is refused" in ended(central).detail


def test_a_full_disk_is_no_end_of_the_pilot() -> None:
    async def story(central: Central, pilot: FakePilot) -> None:
        pilot.workspace.breaks["keep_token"] = OSError(errno.ENOSPC, "No space left on device")
        central.queue.append(with_tokens("sleep", "100"))
        await until(lambda: bool(token_files(pilot)), within_s=60)
        await until(lambda: bool(central.ended))

    central, pilot, code = live(story)

    assert code == 0 and ended(central).how is How.EXITED
    (failure,) = [facts for name, facts in pilot.log if name == "payload_token_failed"]
    assert "No space left" in str(failure["why"])


def test_a_killed_job_that_waits_for_its_token_asks_no_more() -> None:
    async def story(central: Central, pilot: FakePilot) -> None:
        central.no_token = AWAY
        central.queue.append(with_tokens("sleep", "100"))
        await until(lambda: bool(central.token_requests))
        assert pilot.bus is not None
        await pilot.bus.hear(encode(Down(stop=Stop(7, 1))))
        await until(lambda: bool(central.ended))
        asked = len(central.token_requests)
        await asyncio.sleep(HOUR_S)
        assert len(central.token_requests) == asked

    central, _, _ = live(story)

    assert ended(central).how is How.KILLED


def test_no_token_is_in_the_journal_the_log_or_a_report() -> None:
    seen: list[str] = []

    async def story(central: Central, pilot: FakePilot) -> None:
        central.queue.append(with_tokens("sleep", str(2 * HOUR_S)))
        await until(lambda: bool(pilot.guard.started))
        while not central.ended:
            kept = (pilot.journal.assignments(), pilot.journal.ended(), pilot.journal.identity())
            seen.append(repr((kept, pilot.log, central.turns, central.parcels, central.beats)))
            await asyncio.sleep(300)

    central, _, _ = live(story)

    assert len(central.token_requests) > 3
    assert not any("default-1" in one or "default-2" in one for one in seen)


def test_the_log_for_the_central_blots_tokens_out() -> None:
    async def story(central: Central, pilot: FakePilot) -> None:
        life = pilot.lives[0]
        central.queue.append(with_tokens("sleep", str(HOUR_S)))
        await until(lambda: bool(pilot.guard.started))
        assert "default-1" in set(life._secrets())
        await until_ended(central)
        assert "default-1" not in set(life._secrets())

    live(story)


def test_the_log_for_the_central_blots_the_last_two_values_of_each_token_out() -> None:
    async def story(central: Central, pilot: FakePilot) -> None:
        life = pilot.lives[0]
        central.queue.append(with_tokens("sleep", str(4 * HOUR_S)))
        for hidden in (
            ["default-1"],
            ["default-1", "default-2"],
            ["default-2", "default-3"],
        ):
            while hidden[-1].encode() not in token_files(pilot).values():
                assert not central.ended
                await asyncio.sleep(10)
            assert [one for one in life._secrets() if "default-" in one] == hidden

    live(story)


# -- files -----------------------------------------------------------------------------------------


def test_a_token_file_is_private_and_replaced_as_a_whole(tmp_path: Path) -> None:
    """A reader sees either token, whole, and mode 0600, at every moment; also with a wide umask."""
    tokens = [f"{letter * 4_000}" for letter in "ab"]
    path, stop, seen = tmp_path / "tokens" / "default", threading.Event(), set[tuple[int, str]]()
    before = os.umask(0)
    try:
        write_token(tmp_path, "default", tokens[0])

        def read() -> None:
            while not stop.is_set():
                for one in path.parent.iterdir():
                    try:
                        mode = stat.S_IMODE(one.lstat().st_mode)
                    except FileNotFoundError:
                        continue  # it got its name just now
                    seen.add((mode, path.read_text()))

        reader = threading.Thread(target=read)
        reader.start()
        for number in range(100_000):
            write_token(tmp_path, "default", tokens[number % 2])
            if number >= 500 and len(seen) >= 2:  # on a busy machine the reader begins late
                break
        stop.set()
        reader.join()
    finally:
        os.umask(before)

    assert seen <= {(0o600, one) for one in tokens} and len(seen) == 2
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert [one.name for one in path.parent.iterdir()] == ["default"]


def test_what_an_earlier_process_left_is_replaced_and_links_are_not_followed(
    tmp_path: Path,
) -> None:
    folder, other = tokens_folder(tmp_path), tmp_path / "other"
    other.write_text("of somebody else")
    (folder / ".default").symlink_to(other)
    (folder / "default").symlink_to(other)
    write_token(tmp_path, "default", "token")

    assert other.read_text() == "of somebody else"
    assert (folder / "default").read_text() == "token"
    assert not (folder / "default").is_symlink()


def test_a_failed_write_leaves_the_earlier_token(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_token(tmp_path, "default", "first")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "rename", full)
    with pytest.raises(OSError, match="No space"):
        write_token(tmp_path, "default", "second")

    assert [(one.name, one.read_text()) for one in (tmp_path / "tokens").iterdir()] == [
        ("default", "first")
    ]


def test_tokens_of_an_earlier_process_are_removed_at_the_start(tmp_path: Path) -> None:
    first = Workspaces(tmp_path)
    folder = first.make(1)
    first.keep_token(folder, "default", "token")
    assert (folder / "tokens" / "default").exists()
    Workspaces(tmp_path)

    assert not (folder / "tokens").exists()


def test_removed_tokens_leave_nothing(tmp_path: Path) -> None:
    write_token(tmp_path, "default", "token")
    remove_tokens(tmp_path)
    remove_tokens(tmp_path)

    assert list(tmp_path.iterdir()) == []


# names of the tokens  →  file in BEARER_TOKEN_FILE
BEARER = """
    default         default
    storage         storage
    storage,default default
    storage,other   -
"""


@pytest.mark.parametrize("line", BEARER.strip().splitlines())
def test_bearer_token_file_names_the_default_token_or_the_only_one(line: str) -> None:
    names, wanted = line.split()
    one = with_tokens("true", names=tuple(names.split(",")))
    found = payload_environment(one, Path("/attempt"), {}, default_path="")

    expected = None if wanted == "-" else f"/attempt/tokens/{wanted}"
    assert found.get("BEARER_TOKEN_FILE") == expected
    assert found["PILOTAGE_TOKENS"] == "/attempt/tokens"


def test_a_job_may_set_bearer_token_file_itself() -> None:
    one = with_tokens("true")
    body = replace(one.body, environment={"BEARER_TOKEN_FILE": "mine", "PILOTAGE_TOKENS": "no"})
    found = payload_environment(replace(one, body=body), Path("/attempt"), {}, default_path="")

    assert found["BEARER_TOKEN_FILE"] == "mine"
    assert found["PILOTAGE_TOKENS"] == "/attempt/tokens"
