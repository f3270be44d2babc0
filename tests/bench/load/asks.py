"""What simulated pilots say of their work: asks, starts and ends, put together from bytes."""

import re
from collections.abc import Iterable, Sequence
from itertools import cycle, islice

import msgspec

from pilotage.proto.messages import Offer

from .fleet import Member
from .wire import head, request

FIRST_N = 1_000_000  # so that all numbers of asks have the same length
GIVEN = re.compile(rb'"job":(\d+),"epoch":(\d+),"attempt_id":(\d+)')
ANSWERED_OK = b'"answer":"ok"'

Given = tuple[bytes, bytes, bytes]  # job, epoch and attempt id of an assignment


class Voice:
    """One pilot's words."""

    def __init__(self, member: Member, *, cores: int) -> None:
        offer = Offer(
            cores=cores,
            cores_free=cores,
            memory_mb=4_000 * cores,
            memory_free_mb=4_000 * cores,
            wall_left_s=172_800.5,
            scratch_free_mb=20_000 * cores,
            scratch_mb=20_000 * cores,
            tags=("cvmfs", "cvmfs:ctao", "cvmfs:sw", "el9"),
        )
        before, after = msgspec.json.encode(offer).split(b"172800.5")
        self._offer = before.replace(b"%", b"%%") + b"%.1f" + after.replace(b"%", b"%%")
        self._offer = self._offer.replace(b'"cores_free":%d' % cores, b'"cores_free":%d')
        self._begin = b'{"gen":"%b","session":%d' % (member.gen.encode(), member.session)
        self._ask, self._report, self._turn, self._beat = (
            head(path, member.token) for path in ("/v1/ask", "/v1/report", "/v1/turn", "/v1/beat")
        )
        self._cores, self._n, self._beats = cores, FIRST_N, 0

    def ask(self, jobs_max: int, *, holding: Sequence[Given] = ()) -> bytes:
        """Return an ask, its numbers other than those of the one before."""
        return request(self._ask, self._begin + self._asked(jobs_max, holding) + b"}")

    def started(self, given: Iterable[Given]) -> bytes:
        """Return the report that these have begun."""
        said = b",".join(
            b'{"job":%b,"epoch":%b,"attempt_id":%b,"n":1,"what":"started","isolation":"bwrap",'
            b'"ago_s":0.004}' % one
            for one in given
        )
        return request(self._report, b'%b,"reports":[%b]}' % (self._begin, said))

    def ended(
        self,
        given: Iterable[Given],
        output: bytes,
        jobs_max: int,
        *,
        holding: Sequence[Given] = (),
    ) -> bytes:
        """Return the turn that says that these have ended, and asks for others (0: for none)."""
        said = b",".join(
            b'{"job":%b,"epoch":%b,"attempt_id":%b,"n":2,"what":"ended","how":"exited",'
            b'"exit_code":0,"isolation":"bwrap","usage":{"wall_s":1.25,"cpu_s":1.125,'
            b'"memory_peak_mb":1730.0,"scratch_peak_mb":812.0,"bytes_in":0,"bytes_out":80431},'
            b'"outputs":[%b],"ago_s":0.01}' % (*one, output)
            for one in given
        )
        ask = self._asked(jobs_max, holding) if jobs_max else b""
        return request(self._turn, b'%b,"reports":[%b]%b}' % (self._begin, said, ask))

    def beat(self, holding: Sequence[Given]) -> bytes:
        """Return a sign of life."""
        self._beats += 1
        held = b",".join(b'{"job":%b,"epoch":%b}' % one[:2] for one in holding)
        said = b',"n":%d,"closed":%d,"holding":[%b]}' % (self._beats, self._n, held)
        return request(self._beat, self._begin + said)

    def goodbye(self) -> bytes:
        """Return the last beat."""
        self._beats += 1
        said = b',"n":%d,"closed":%d,"holding":[],"goodbye":true}' % (self._beats, self._n)
        return request(self._beat, self._begin + said)

    def _asked(self, jobs_max: int, holding: Sequence[Given]) -> bytes:
        self._n += 1
        offer = self._offer % (self._cores - len(holding), 172_800.5 - self._n % 100_000)
        held = b",".join(b'{"job":%b,"epoch":%b}' % one[:2] for one in holding)
        return b',"ask":{"n":%d,"offer":%b,"holding":[%b],"jobs_max":%d}' % (
            self._n,
            offer,
            held,
            jobs_max,
        )


class Asking:
    """A talk of many pilots in turn: each asks, and asks again while it holds what it got."""

    def __init__(self, voices: Sequence[Voice], *, jobs_max: int, rounds: int) -> None:
        self._jobs_max = jobs_max
        self._holding: list[list[Given]] = [[] for _ in voices]
        self._order = islice(cycle(range(len(voices))), rounds * len(voices))
        self.voices, self._at = voices, 0
        self.given: list[Given] = []

    def first(self) -> bytes | None:
        at = next(self._order, None)
        if at is None:
            return None
        self._at = at
        return self.voices[at].ask(self._jobs_max, holding=self._holding[at])

    def after(self, body: bytes) -> bytes | None:
        found = GIVEN.findall(body)
        self.given += found
        self._holding[self._at] += found
        return self.first() if found else None


class Living:
    """A talk of one pilot that runs nothing: its jobs start, end, and others take their place."""

    def __init__(self, voice: Voice, *, jobs_max: int, lives: int, output: bytes) -> None:
        self._voice, self._jobs_max, self._output = voice, jobs_max, output
        self._left = lives  # how often it asks
        self._given: list[Given] = []
        self._is_running = False
        self.ended: list[Given] = []

    def first(self) -> bytes | None:
        self._left -= 1
        return self._voice.ask(self._jobs_max)

    def after(self, body: bytes) -> bytes | None:
        assert body.count(ANSWERED_OK) == len(self._given), body[:600]  # started, or ended
        if self._is_running:
            self._is_running = False
            more = self._jobs_max if self._left > 0 else 0
            self._left -= 1
            self.ended += self._given
            return self._voice.ended(self._given, self._output, more)
        if self._left < 0:
            return None
        self._given = GIVEN.findall(body)
        if not self._given:
            return None
        self._is_running = True
        return self._voice.started(self._given)
