"""A central that is a script: it hands out a queue and keeps what it hears. One pilot, no store."""

from collections import deque

from pilotage.pilot.ports import HttpReply
from pilotage.proto.messages import (
    Answer,
    AskAnswer,
    Assignment,
    Attempt,
    Beat,
    BeatAnswer,
    Body,
    BrokerLogin,
    Grant,
    Hello,
    LogChunk,
    PayloadTokenReply,
    PayloadTokenRequest,
    PilotLine,
    PilotLog,
    PilotLogKept,
    Problem,
    Register,
    Registered,
    Report,
    ReportAnswer,
    TokenReply,
    Turn,
    TurnReply,
    What,
)
from pilotage.proto.wire import decode, encode

LEASE_S = 120.0
ABC = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # SHA-256 of abc


class Central:
    """Hands out `queue`, keeps what it hears. One pilot, no store: a script with manners."""

    def __init__(self) -> None:
        self.queue: deque[Assignment] = deque()
        self.given: dict[int, tuple[Assignment, ...]] = {}  # by ask
        self.reports: list[Report] = []
        self.ended: dict[Attempt, Report] = {}
        self.beats: list[Beat] = []
        self.asks: list[int] = []
        self.turns: list[Turn] = []
        self.blobs: dict[str, bytes] = {}
        self.forgets: set[str] = set()  # blobs that it has lost by the time of the report
        self.hellos: list[Hello] = []
        self.registers: list[Register] = []
        self.tokens = 0
        self.valid_tokens = {""}
        self.chunks: list[LogChunk] = []
        self.parcels: list[PilotLog] = []
        self.lines: list[PilotLine] = []  # of the pilot's own log
        self.session = 0
        self.parked = 0
        self.drain = False
        self.lavish = False  # gives all that it has, however little is asked for
        self.follow: tuple[Attempt, ...] = ()
        self.token_requests: list[PayloadTokenRequest] = []
        self.no_token: HttpReply | None = None  # the answer to them, instead of a token
        self.token_s = 3_600.0

    async def __call__(self, method: str, path: str, body: bytes, token: str) -> HttpReply:
        if path.startswith("/v1/blobs/"):
            return self._blob(method, path.rpartition("/")[2], body)
        if path == "/v1/pilots/register":
            self.registers.append(decode(Register, body))
            return self._registered()
        if path == "/v1/pilots/hello":
            self.hellos.append(decode(Hello, body))
            return self._registered()
        if path == "/v1/pilots/token":
            return HttpReply(200, encode(TokenReply(self._token(), 900.0)))
        if path == "/v1/attempts/token":
            return self._payload_token(decode(PayloadTokenRequest, body), token)
        if token not in self.valid_tokens:
            return HttpReply(401, encode(Problem("expired_token", "too old")))
        if path == "/v1/beat":
            return HttpReply(200, encode(self.beat(decode(Beat, body))))
        if path == "/v1/pilots/log":
            return HttpReply(200, encode(self._log(decode(PilotLog, body))))
        if path == "/v1/log":
            self.chunks.append(decode(LogChunk, body))
            return HttpReply(202, b"{}")
        return HttpReply(200, encode(self._turn(decode(Turn, body))))

    def _payload_token(self, asked: PayloadTokenRequest, token: str) -> HttpReply:
        assert token == f"attempt-{asked.job}", "the attempt's own token authenticates it"
        self.token_requests.append(asked)
        if self.no_token is not None:
            return self.no_token
        reply = PayloadTokenReply(f"{asked.name}-{len(self.token_requests)}", self.token_s)
        return HttpReply(200, encode(reply))

    def _log(self, parcel: PilotLog) -> PilotLogKept:
        self.parcels.append(parcel)
        known = self.lines[-1].n if self.lines else 0
        self.lines += [line for line in parcel.lines if line.n > known]
        return PilotLogKept(self.lines[-1].n)

    def _token(self) -> str:
        self.tokens += 1
        self.valid_tokens = {f"token-{self.tokens}"}
        return f"token-{self.tokens}"

    def _registered(self) -> HttpReply:
        self.session += 1
        self.given = {}
        reply = Registered(
            pilot="p1",
            community="ctao",
            site="PIC",
            element="ce1",
            gen="g1",
            session=self.session,
            token=self._token(),
            expires_in_s=900.0,
            renewal_secret="renew",
            broker=BrokerLogin("mqtt://broker:1883", "p1", "word"),
        )
        return HttpReply(200, encode(reply))

    def _blob(self, method: str, sha256: str, body: bytes) -> HttpReply:
        if method == "PUT":
            self.blobs[sha256] = body
            return HttpReply(201, b"{}")
        if sha256 not in self.blobs:
            return HttpReply(404, encode(Problem("not_found", "no such blob")))
        return HttpReply(200, self.blobs[sha256])

    def _turn(self, turn: Turn) -> TurnReply:
        self.turns.append(turn)
        answers = tuple(self._report(report) for report in turn.reports)
        ask = None
        if turn.ask is not None:
            self.asks.append(turn.ask.n)
            known = self.given.get(turn.ask.n)
            if known is None:
                most = len(self.queue) if self.lavish else turn.ask.jobs_max
                count = min(len(self.queue), most)
                known = self.given[turn.ask.n] = tuple(self.queue.popleft() for _ in range(count))
                self.parked = 0 if known else turn.ask.n
            ask = AskAnswer(turn.ask.n, known, parked=not known)
        return TurnReply(term=1, reports=answers, ask=ask, drain=self.drain)

    def _report(self, report: Report) -> ReportAnswer:
        self.reports.append(report)
        lost = tuple(one.sha256 for one in report.outputs if one.sha256 in self.forgets)
        if lost:
            self.forgets.clear()
            return ReportAnswer(report.job, report.epoch, report.n, Answer.MISSING, lost)
        answer = Answer.OK
        if report.what is What.ENDED:
            attempt = Attempt(report.job, report.epoch)
            answer = Answer.ALREADY if attempt in self.ended else Answer.OK
            self.ended.setdefault(attempt, report)
        return ReportAnswer(report.job, report.epoch, report.n, answer)

    def beat(self, beat: Beat) -> BeatAnswer:
        self.beats.append(beat)
        again = bool(beat.parked and self.queue)
        return BeatAnswer(beat.n, 1, ask_again=again, follow=self.follow)


def assignment(job: int, *command: str, **body: object) -> Assignment:
    return Assignment(
        job=job,
        epoch=1,
        attempt_id=1_000 + job,
        lease_s=LEASE_S,
        token=f"attempt-{job}",
        grant=Grant(cores=1, memory_mb=1_000, wall_s=3_600),
        body=Body(command=command, **body),  # type: ignore[arg-type]
    )
