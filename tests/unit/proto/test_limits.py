"""Ranges of pilots' messages: honest ones pass, and each wrong field is named."""

import dataclasses
import typing
from dataclasses import replace
from typing import Any, cast

import pytest

from pilotage.proto import limits, wire
from pilotage.proto.ids import ID_MAX
from pilotage.proto.limits import OutOfRange, check
from pilotage.proto.messages import (
    Ask,
    Attempt,
    Beat,
    Hello,
    How,
    LogChunk,
    Node,
    Offer,
    Output,
    PayloadTokenRequest,
    PilotLine,
    PilotLog,
    Register,
    Report,
    Stream,
    TokenRequest,
    Turn,
    Undelivered,
    Usage,
    What,
)
from pilotage.proto.storages import Leftover, StorageOperation, StorageTokenRequest

NODE = Node(host="wn1.site", cpu_model="Some CPU @ 2 GHz", cvmfs=("ctao.example.org",))
OFFER = Offer(
    cores=8, cores_free=8, memory_mb=16_000, memory_free_mb=16_000, wall_left_s=3e5, node=NODE
)
ASK = Ask(n=1, offer=OFFER, holding=(Attempt(1, 1),))
OUTPUT = Output(name="out/a.txt", sha256="ab" * 32, size_bytes=10)
REPORT = Report(
    job=1,
    epoch=1,
    attempt_id=1,
    n=1,
    what=What.ENDED,
    how=How.EXITED,
    exit_code=1,
    detail="two\nlines",
    usage=Usage(wall_s=1.5),
    outputs=(OUTPUT,),
    leftovers=(Leftover("pic", "ctao/g/1/1/~2/a"),),
)
TURN = Turn(gen="g", session=1, reports=(REPORT,), ask=ASK)
LATE = Undelivered(1, 1, 40.0, "503 unavailable")
BEAT = Beat(gen="g", session=1, n=1, holding=(Attempt(1, 1),), undelivered=(LATE,))
HELLO = Hello(pilot="p1", renewal_secret="r", nonce="n", unanswered=(Attempt(1, 1),))
CHUNK = LogChunk(job=1, epoch=1, stream=Stream.OUT, offset=0, text="a\tb\x1b[0m\r\n")
REGISTER = Register(secret="s", nonce="n", node=NODE)
REQUEST = TokenRequest(pilot="p1", renewal_secret="r")
FOR_PAYLOAD = PayloadTokenRequest(job=1, epoch=1, name="default")
LINE = PilotLine(n=1, ago_s=0.5, event="work_failed", text="two\nlines", attempt_id=1, warning=True)
LOG = PilotLog(gen="g", session=1, lines=(LINE,))
FOR_STORAGE = StorageTokenRequest(7, 1, "pic", StorageOperation.READ, ("a/b",), "0" * 64)
HONEST: list[Any] = [TURN, ASK, REPORT, BEAT, HELLO, CHUNK, REGISTER, REQUEST, FOR_PAYLOAD]
HONEST += [FOR_STORAGE, LOG]

#     message                                              field that is named
WRONG: list[tuple[Any, str]] = [
    (replace(TURN, session=-1), "session"),
    (replace(TURN, session=ID_MAX + 1), "session"),
    (replace(TURN, gen=""), "gen"),
    (replace(TURN, gen="g\n"), "gen"),
    (replace(TURN, reports=(REPORT,) * (limits.REPORTS_MAX + 1)), "reports"),
    (replace(TURN, reports=(REPORT, replace(REPORT, job=-1))), "reports[1].job"),
    (replace(TURN, ask=replace(ASK, jobs_max=0)), "ask.jobs_max"),
    (replace(TURN, ask=replace(ASK, offer=replace(OFFER, cores=-1))), "ask.offer.cores"),
    (replace(ASK, offer=replace(OFFER, wall_left_s=float("nan"))), "offer.wall_left_s"),
    (replace(ASK, offer=replace(OFFER, wall_left_s=float("inf"))), "offer.wall_left_s"),
    (replace(ASK, offer=replace(OFFER, tags=("a", "b\0"))), "offer.tags[1]"),
    (replace(ASK, offer=replace(OFFER, types=("",))), "offer.types[0]"),
    (replace(ASK, offer=replace(OFFER, gpus=-1)), "offer.gpus"),
    (replace(ASK, offer=replace(OFFER, gpus_free=1_025)), "offer.gpus_free"),
    (replace(ASK, offer=replace(OFFER, gpu_vendor="a\n")), "offer.gpu_vendor"),
    (replace(ASK, offer=replace(OFFER, gpu_driver="9" * 200)), "offer.gpu_driver"),
    (replace(ASK, offer=replace(OFFER, tags=("a",) * 2_000)), "offer.tags"),
    (replace(ASK, offer=replace(OFFER, amounts={"net": -1})), "offer.amounts"),
    (replace(ASK, offer=replace(OFFER, amounts={"Net": 1})), "offer.amounts"),
    (replace(ASK, offer=replace(OFFER, amounts={"gpus": 1})), "offer.amounts"),
    (replace(ASK, offer=replace(OFFER, amounts={"licence.x": 1})), "offer.amounts"),
    (replace(ASK, offer=replace(OFFER, amounts_free={"net": 2**53})), "offer.amounts_free"),
    (replace(ASK, offer=replace(OFFER, amounts={f"a{i}": 1 for i in range(17)})), "offer.amounts"),
    (replace(ASK, offer=replace(OFFER, node=replace(NODE, host="a" * 300))), "offer.node.host"),
    (replace(ASK, holding=(Attempt(1, -1),)), "holding[0].epoch"),
    (replace(REPORT, exit_code=2**40), "exit_code"),
    (replace(REPORT, detail="a" * 5_000), "detail"),
    (replace(REPORT, detail="nul\0"), "detail"),
    (replace(REPORT, ago_s=-0.1), "ago_s"),
    (replace(REPORT, usage=Usage(cpu_s=-1.0)), "usage.cpu_s"),
    (replace(REPORT, outputs=(replace(OUTPUT, sha256="AB" * 32),)), "outputs[0].sha256"),
    (replace(REPORT, outputs=(replace(OUTPUT, name="../x"),)), "outputs[0].name"),
    (replace(REPORT, outputs=(replace(OUTPUT, name="a/../x"),)), "outputs[0].name"),
    (replace(REPORT, outputs=(replace(OUTPUT, name="/etc/x"),)), "outputs[0].name"),
    (replace(REPORT, outputs=(replace(OUTPUT, name=""),)), "outputs[0].name"),
    (replace(BEAT, parked=-1), "parked"),
    (replace(BEAT, holding=(Attempt(1, 1),) * 5_000), "holding"),
    (replace(BEAT, undelivered=(LATE,) * 5_000), "undelivered"),
    (replace(BEAT, undelivered=(replace(LATE, for_s=-1.0),)), "undelivered[0].for_s"),
    (replace(BEAT, undelivered=(replace(LATE, why="nul\0"),)), "undelivered[0].why"),
    (replace(HELLO, nonce="n" * 600), "nonce"),
    (replace(HELLO, unanswered=(Attempt(-1, 1),)), "unanswered[0].job"),
    (replace(CHUNK, offset=-1), "offset"),
    (replace(CHUNK, text="a" * 300_000), "text"),
    (replace(REGISTER, secret=""), "secret"),
    (replace(REGISTER, node=replace(NODE, architecture_level=0)), "node.architecture_level"),
    (replace(FOR_PAYLOAD, job=-1), "job"),
    (replace(FOR_PAYLOAD, epoch=ID_MAX + 1), "epoch"),
    (replace(FOR_PAYLOAD, name=""), "name"),
    (replace(FOR_PAYLOAD, name="x" * 33), "name"),
    (replace(REQUEST, pilot="p\x7f"), "pilot"),
    (replace(REQUEST, pilot="\ud800"), "pilot"),
]


@pytest.mark.parametrize("message", HONEST, ids=lambda m: type(m).__name__)
def test_what_an_honest_pilot_says_passes(message: Any) -> None:
    check(message)
    kind = cast(Any, type(message))
    check(wire.decode(kind, wire.encode(message)))


@pytest.mark.parametrize(("message", "field"), WRONG, ids=[field for _, field in WRONG])
def test_a_wrong_field_is_named(message: Any, field: str) -> None:
    with pytest.raises(OutOfRange) as wrong:
        check(message)

    assert wrong.value.field == field
    assert len(str(wrong.value)) < 300


def _inside(kind: Any) -> set[Any]:
    """Return the message classes that `kind` is made of, itself included."""
    found = {kind}
    for annotation in typing.get_type_hints(kind).values():
        for arm in (annotation, *typing.get_args(annotation)):
            if dataclasses.is_dataclass(arm):
                found |= _inside(arm)
    return found


def test_every_field_that_could_be_out_of_range_has_a_rule() -> None:
    sent = set[Any]().union(*(_inside(type(message)) for message in HONEST))
    needing = {
        (kind.__name__, name)
        for kind in sent
        for name, annotation in typing.get_type_hints(kind).items()
        if annotation is not bool and not _is_word(annotation)
    }

    assert needing == {
        (kind.__name__, name) for kind, rules in limits.TABLE.items() for name in rules
    }


def _is_word(annotation: Any) -> bool:
    return any(
        isinstance(arm, type) and issubclass(arm, (Stream, What, How, StorageOperation))
        for arm in (annotation, *typing.get_args(annotation))
    )
