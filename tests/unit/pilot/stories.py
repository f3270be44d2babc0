"""Stories of a pilot's mind as tables: when, what happens, and what it then wants done.

    0     tick                  ask 1
    0.2   got A                 journal A; start A fence 96
    96    tick                  …

Two spaces stand before what is expected. Every line is checked: a story says all that the brain
does. `uniform` always gives its low end, so a back-off is 1 s, a re-ask 240 s after parking and
16 s while the bus is down. Leases are 120 s, the node has two cores. Jobs are letters:

    A to F   one core          X   three cores          I   one core, with input
    W        wants more wall time than is offered       S   a lease of 15 s
    G        one core and 80 GB of the disk, which has 100 GB free at first
"""

import dataclasses
from collections.abc import Iterable

from pilotage.pilot.mind import commands as c
from pilotage.pilot.mind.beats import SESSION_SHIFT
from pilotage.pilot.mind.brain import Brain
from pilotage.pilot.mind.pace import FailedRequest, PilotDeadlines, PilotSession
from pilotage.pilot.ports import Ended
from pilotage.proto.messages import (
    Answer,
    Ask,
    AskAnswer,
    Assignment,
    Attempt,
    Beat,
    BeatAnswer,
    Body,
    Down,
    Grant,
    How,
    InputFile,
    Offer,
    Report,
    ReportAnswer,
    Stop,
    Turn,
    TurnReply,
    Usage,
    Wake,
    What,
)

SESSION = 3
LEASE_S = 120.0
JOBS = "ABCDEFXIWSG"


def job_of(letter: str) -> int:
    return JOBS.index(letter) + 1


def attempt(letter: str) -> Attempt:
    return Attempt(job_of(letter), 1)


def letter(job: int) -> str:
    return JOBS[job - 1]


def assignment(name: str) -> Assignment:
    inputs = (InputFile("in", "0" * 64, 1),) if name == "I" else ()
    return Assignment(
        job=job_of(name),
        epoch=1,
        attempt_id=job_of(name),
        lease_s=15.0 if name == "S" else LEASE_S,
        token="t",
        grant=Grant(
            cores=3 if name == "X" else 1,
            memory_mb=500,
            wall_s=1e8 if name == "W" else 3_600,
            scratch_mb=80_000 if name == "G" else 0,
        ),
        body=Body(command=("true",), inputs=inputs),
    )


class Story:
    """A brain and the words for what happens to it."""

    def __init__(
        self,
        *,
        stop_at: float = float("inf"),
        end_at: float = float("inf"),
        idle_s: float = 0.0,
        cores: int = 2,
    ) -> None:
        self.brain = Brain(
            PilotSession("g", SESSION, 40.0),
            Offer(
                cores=cores,
                cores_free=cores,
                memory_mb=4_000,
                memory_free_mb=4_000,
                wall_left_s=1e6,
                scratch_free_mb=100_000,
            ),
            PilotDeadlines(stop_at, end_at, idle_s),
            lambda low, high: low,
            now=0.0,
        )
        self.idle_s = idle_s
        self.flying: Turn | Beat | None = None
        self.asked: Ask | None = None  # the last one

    def tell(self, text: str) -> None:
        """Play a story and compare each line with what it expects."""
        wanted: list[str] = []
        found: list[str] = []
        for line in text.strip().splitlines():
            if not line.strip():
                continue
            when, event, expected = _columns(line)
            commands = self.happen(event.split(), float(when))
            wanted.append(f"{when:>6} {event:32} {expected}".rstrip())
            found.append(f"{when:>6} {event:32} {self._say(commands)}".rstrip())
        assert found == wanted, "\n".join(["it did:", *found, "expected:", *wanted])

    def happen(self, words: list[str], now: float) -> list[c.Command]:
        """Tell the brain one thing."""
        brain, (word, *rest) = self.brain, words
        if word == "tick":
            return brain.tick(now)
        if word == "bus":
            return brain.bus_changed(rest[0] == "up", now)
        if word == "got":
            return self._got(rest, now)
        if word == "http":
            self.flying = None
            return brain.replied(FailedRequest(int(rest[0]), *rest[1:]), now)
        if word == "down":
            return brain.down(_down(rest), now)
        if word == "drain":
            return brain.drain("told to", now)
        if word == "disk":
            return brain.scratch_changed(int(rest[0]), now)
        if word == "limit":  # the batch system says another end
            end_at = float(rest[0])
            return brain.bounds_changed(PilotDeadlines(end_at - 60, end_at, self.idle_s), now)
        if word == "hurry":
            return brain.hurry("told to", now)
        if word == "restored":
            brain.restored(_ended_report(rest[0]), now)
            return []
        return self._payload(word, rest, now)

    def _payload(self, word: str, rest: list[str], now: float) -> list[c.Command]:
        brain, attempt_id = self.brain, job_of(rest[0])
        if word == "started":
            return brain.started(attempt_id, now)
        if word == "not-started":
            return brain.not_started(attempt_id, "no such program", now)
        if word == "staged":
            return brain.staged(attempt_id, now)
        if word == "staging-failed":
            return brain.staging_failed(attempt_id, "no such blob", now)
        if word == "staging-useless":
            return brain.staging_failed(attempt_id, "no archive", now, How.NO_START)
        if word == "gone":
            code = None if rest[1] == "signal" else int(rest[1])
            why = rest[2] if len(rest) > 2 else ""
            signal = 9 if code is None else None
            return brain.gone(Ended(attempt_id, code, signal, 0.0, Usage(), why), now)
        if word == "collected":
            return brain.collected(attempt_id, (), now)
        assert word == "uploaded", f"no word for {word}"
        return brain.uploaded(attempt_id, frozenset(), now)

    def _got(self, words: list[str], now: float) -> list[c.Command]:
        """The request on the way is answered."""
        flying, self.flying = self.flying, None
        if isinstance(flying, Beat):
            return self.brain.replied(_beat_answer(flying.n, words), now)
        assert flying is not None, "nothing is on the way"
        facts = _facts(words)
        answers = tuple(
            ReportAnswer(one.job, one.epoch, one.n, Answer(facts.get("answer", "ok")), ("h",))
            for one in flying.reports
            if facts.get("answer") != "none"
        )
        ask = None
        if flying.ask is not None and "unasked" not in words:
            ask = AskAnswer(
                int(facts.get("n", flying.ask.n)),
                tuple(assignment(word) for word in words if word in JOBS),
                parked="parked" in words,
                retry_in_s=float(facts.get("retry", 0)),
            )
        reply = TurnReply(
            term=int(facts.get("term", 1)),
            reports=answers,
            ask=ask,
            stop=tuple(Stop(job_of(one), 1) for one in facts.get("stop", "")),
            drain="drain" in words,
        )
        return self.brain.replied(reply, now)

    def _say(self, commands: Iterable[c.Command]) -> str:
        said = [self._word(command) for command in commands]
        return "; ".join(word for word in said if word)

    def _word(self, command: c.Command) -> str:
        if isinstance(command, c.SendTurn):
            self.flying = command.turn
            ask = command.turn.ask
            self.asked = ask or self.asked
            parts = [_report(one) for one in command.turn.reports]
            return " + ".join([*parts, f"ask {ask.n}"] if ask is not None else parts)
        if isinstance(command, c.SendBeat):
            self.flying = command.beat
            return f"https {_beat(command.beat)}"
        if isinstance(command, c.PublishBeat):
            return _beat(command.beat)
        if isinstance(command, c.KeepEnded):
            how = command.report.how
            return f"journal {letter(command.report.job)} {how.value if how else ''}"
        return _plain(command)


def _plain(command: c.Command) -> str:
    if isinstance(command, c.KeepAssignment):
        return f"journal {letter(command.assignment.job)}"
    if isinstance(command, c.StartPayload):
        return f"start {letter(command.assignment.job)} fence {command.fence:g}"
    if isinstance(command, c.MoveFence):
        return f"fence {letter(command.attempt_id)} {command.fence:g}"
    if isinstance(command, c.StopPayload):
        return f"stop {letter(command.attempt_id)} {command.grace_s:g}"
    if isinstance(command, c.Collect):
        return f"collect {letter(command.assignment.job)}" + (" outputs" if command.outputs else "")
    if isinstance(command, c.Stage):
        return f"stage {letter(command.assignment.job)}"
    if isinstance(command, c.Exit):
        return f"exit {command.code}"
    if isinstance(command, c.KillAll):
        return "kill all"
    if isinstance(command, c.UseFirstAddress):
        return "go home"
    if isinstance(command, c.LeaderIs):
        return f"leader is {command.url}"
    if isinstance(command, c.Follow):
        return f"follow {''.join(sorted(letter(one) for one in command.attempt_ids))}".strip()
    if isinstance(command, (c.Forget, c.Abandon, c.UploadAgain)):
        word = {c.Forget: "forget", c.Abandon: "abandon", c.UploadAgain: "upload"}[type(command)]
        return f"{word} {letter(command.attempt_id)}"
    return ""  # lines of the log


def _columns(line: str) -> tuple[str, str, str]:
    when, _, rest = line.strip().partition(" ")
    event, _, expected = rest.strip().partition("  ")
    return when, event.strip(), expected.strip()


def _facts(words: list[str]) -> dict[str, str]:
    return dict(word.split("=", 1) for word in words if "=" in word)


def _beat(beat: Beat) -> str:
    listed = "".join(letter(one.job) for one in beat.holding)
    parked = f" parked {beat.parked}" if beat.parked else ""
    goodbye = " goodbye" if beat.goodbye else ""
    number = beat.n - (SESSION << SESSION_SHIFT)
    return f"beat {number} [{listed}] closed {beat.closed}{parked}{goodbye}"


def _report(report: Report) -> str:
    how = f" {report.how.value}" if report.how is not None else ""
    return f"{letter(report.job)} {report.what.value}{how} {report.n}"


def _ended_report(name: str) -> Report:
    return Report(job_of(name), 1, job_of(name), 4, What.ENDED)


def _beat_answer(n: int, words: list[str]) -> BeatAnswer:
    facts = _facts(words)
    return BeatAnswer(
        n,
        int(facts.get("term", 1)),
        stale=tuple(attempt(one) for one in facts.get("stale", "")),
        stop=tuple(Stop(job_of(one), 1) for one in facts.get("stop", "")),
        follow=tuple(attempt(one) for one in facts.get("follow", "")),
        ask_again="again" in words,
        drain="drain" in words,
        hurry="hurry" in words,
        old_session="old_session" in words,
        other_store="other_store" in words,
    )


def _down(words: list[str]) -> Down:
    kind, *rest = words
    term = int(_facts(rest).get("term", 1))
    if kind == "beat":
        session = int(_facts(rest).get("session", SESSION))
        return Down(beat=_beat_answer((session << SESSION_SHIFT) + int(rest[0]), rest[1:]))
    if kind == "wake":
        return Down(wake=Wake(int(rest[0]), term))
    if kind == "stop":
        return Down(stop=Stop(job_of(rest[0]), 1))
    if kind == "follow":
        return Down(follow=attempt(rest[0]))
    assert kind == "drain"
    return dataclasses.replace(Down(), drain=True)
