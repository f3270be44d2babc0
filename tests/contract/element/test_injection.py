"""Nasty words, in each place where an operator or an element can put one.

Either a word is refused by the name of its field, or it arrives as it is, where a plain one would
have arrived, and nothing else is another for it. No real batch system takes part.
"""

import copy
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, cast

import httpx
import msgspec
import pytest
import pytest_asyncio

from pilotage.central.factory.commands import Commands
from pilotage.central.factory.drivers import Tools, driver, element
from pilotage.central.factory.element import ComputeElement, PilotRequest
from pilotage.central.factory.errors import BadOptions, ElementTrouble
from pilotage.central.factory.spawned_commands import spawned
from pilotage.central.operate.clocks import SystemClock

from .recorders import Programs, Requests, Words
from .rig import Token

pytestmark = pytest.mark.asyncio(loop_scope="package")
PLAIN = "inj7word"
HOLDS = "inj7"  # each of them
NASTY = (
    *("inj7; touch x", "inj7$(id)", "inj7`id`", "inj7|id", "inj7&id", "inj7>x", "inj7 *", "inj7 x"),
    *("inj7\nqueue 100", "inj7\n", "\ninj7", "inj7\r", "inj7\tx", "inj7\0", "inj7\x7f"),
    *("inj7'", 'inj7"', "inj7\\", "inj7\\ ", "inj7${HOME}", "inj7$(Cluster)", "inj7$ENV(HOME)"),
    *("-oProxyCommand=inj7", "--wrap=inj7", "-inj7", "~inj7", "../inj7", "inj7/../../x"),
    *("inj7%j", "inj7%h", "inj7</Name><x>", "inj7&lt;", 'inj7)(executable="/bin/id")'),
    *('inj7","suspend":true,"x":"', "inj7: &a [*a]", "inj7#x", "inj7?x=y", "inj7@other"),
    *("inj7ü", "inj7\u202ex", "inj7\ud800", "inj７", f"inj7{'x' * 5_000}"),
)
FEW = ("inj7; touch x", "inj7\nqueue 100", "--wrap=inj7", 'inj7","suspend":true,"x":"')
SCRIPT = b"#!/bin/sh\n"
STAMP = "t-benign-stamp"


class Recorder(Protocol):
    """What stands in place of the batch system."""

    def say(self, answers: Mapping[str, Any]) -> None: ...
    def taken(self) -> list[Words]: ...


@dataclass(frozen=True)
class Case:
    """A driver: what it needs, and where a word can be put; PLAIN marks the place."""

    kind: str
    needs: dict[str, Any]
    fields: dict[str, Any]
    good: dict[str, Any] = field(default_factory=dict[str, Any])  # what its element says
    # What a hostile one says instead; PLAIN marks the place.
    hostile: tuple[dict[str, Any], ...] = ()
    slot: str = "7"
    # What whoever reads a field reads in a way of its own: there it must be refused.
    special: dict[str, str] = field(default_factory=dict[str, str])


def a_row(job: str, name: str) -> str:
    return f"{job:<24}{name:<80}{'RUNNING':<24}{'0:0':<24}{'None':<200}\n"


def an_ad(stamp: str) -> dict[str, Any]:
    return {"ClusterId": 7, "ProcId": 0, "JobStatus": 4, "PilotageStamp": stamp}


SLURM_FIELDS = {
    "folder": f"{{tmp}}/{PLAIN}",
    "partition": PLAIN,
    "account": PLAIN,
    "qos": PLAIN,
    "extra": [f"--comment={PLAIN}"],
    "config": f"/{PLAIN}",
}
SSH_READS = "%~$ \"'\\"
SLURM_SAYS = {"sbatch": "7"}
LOGIN = {"host": "h", "user": "u", "key_file": "/k", "known_hosts": "/n"}
OPTIONS_OF_KUBERNETES = {"url": "https://k8s.test", "namespace": "pilots", "image": "pilot:1"}
JOB = {"kind": "Job", "metadata": {"name": STAMP, "uid": "u"}}
CASES = {
    "slurm": Case(
        "slurm",
        {"folder": "{tmp}/out"},
        SLURM_FIELDS,
        SLURM_SAYS,
        ({"sbatch": PLAIN}, {"squeue": a_row(PLAIN, STAMP)}, {"squeue": a_row("7", PLAIN)}),
        special={"folder": "%\\"},
    ),
    "slurm behind ssh": Case(
        "ssh",
        {**LOGIN, "batch": "slurm", "batch_options": {"folder": "{tmp}/out"}},
        {
            f"batch_options.{name}": {"batch_options": {"folder": "{tmp}/out", name: value}}
            for name, value in SLURM_FIELDS.items()
            if name in ("folder", "partition", "extra")
        },
        SLURM_SAYS,
        ({"sbatch": PLAIN}, {"squeue": a_row(PLAIN, STAMP)}),
    ),
    "ssh": Case(
        "ssh",
        LOGIN,
        {
            "host": PLAIN,
            "user": PLAIN,
            "key_file": f"/{PLAIN}",
            "known_hosts": f"/{PLAIN}",
            "folder": PLAIN,
        },
        slot=STAMP,
        special={"key_file": SSH_READS, "known_hosts": SSH_READS},
    ),
    "local": Case("local", {}, {}, slot=STAMP),
    "htcondor": Case(
        "htcondor",
        {"folder": "{tmp}/out"},
        {
            "schedd": PLAIN,
            "pool": PLAIN,
            "folder": f"{{tmp}}/{PLAIN}",
            "config": f"/{PLAIN}",
            "ca_file": f"/{PLAIN}",
            "lines": [f"+Project = {PLAIN}"],
        },
        {"condor_submit": "7.0 - 7.0", "condor_q": "[]"},
        (
            {"condor_submit": PLAIN},
            {"condor_submit": f"7.0 - {PLAIN}"},
            {"condor_q": json.dumps([an_ad(PLAIN)])},
        ),
        slot="7.0",
        special={"lines": "$", "ca_file": "$", "config": "$"},
    ),
    "arc": Case(
        "arc",
        {"url": "https://arc.test/arex"},
        {
            "url": f"https://arc.test/{PLAIN}",
            "queue": PLAIN,
            "runtime_environments": [PLAIN],
        },
        {"POST /jobs": {"job": {"id": "abc"}}},
        (
            {"POST /jobs": {"job": {"id": PLAIN}}},
            {"GET /jobs": {"job": [{"id": PLAIN}, {"id": "abc"}]}},
        ),
        slot="abc",
    ),
    "kubernetes": Case(
        "kubernetes",
        OPTIONS_OF_KUBERNETES,
        {
            "url": f"https://k8s.test/{PLAIN}",
            "namespace": PLAIN,
            "image": PLAIN,
            "service_account": PLAIN,
            "image_pull_secrets": [PLAIN],
            "node_selector": {"zone": PLAIN},
            "labels": {PLAIN: "x"},
            "tolerations": [{"key": "batch", "operator": "Equal", "value": PLAIN}],
            "priority_class": PLAIN,
            "queue": PLAIN,
            "gpu_resource": f"{PLAIN}/gpu",
            "mounts": [{"path": f"/{PLAIN}", "claim": "c"}],
        },
        {"POST /jobs": JOB},
        (
            {"POST /jobs": {**JOB, "metadata": {"name": PLAIN, "uid": "u"}}},
            {"GET /jobs": {"kind": "JobList", "items": [{"metadata": {"name": PLAIN}}]}},
            {
                "GET /pods": {
                    "kind": "PodList",
                    "items": [
                        {
                            "metadata": {"name": PLAIN, "labels": {"pilotage/stamp": STAMP}},
                            "status": {"phase": "Running"},
                        }
                    ],
                }
            },
        ),
        slot=STAMP,
    ),
}


@pytest_asyncio.fixture(scope="module", loop_scope="package")
async def programs(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Programs]:
    yield Programs(tmp_path_factory.mktemp("programs"))


@pytest_asyncio.fixture(scope="module", loop_scope="package")
async def commands(programs: Programs) -> AsyncIterator[Commands]:
    """Run programs where ours come first."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", f"{programs.path}:/usr/bin:/bin")
        async with spawned() as found:
            yield found


@dataclass
class Stage:
    """A driver over what writes down what it does."""

    case: Case
    tools: Tools
    recorder: Recorder
    folder: Path

    def driver(self, options: Mapping[str, Any]) -> ComputeElement:
        """Return one with these options beside what it needs. Raises BadOptions."""
        needs = replaced(self.case.needs, "{tmp}", str(self.folder))
        given = replaced(dict(options), "{tmp}", str(self.folder))
        return element(self.case.kind, {**needs, **given}, self.tools)

    def reads(self, options: Mapping[str, Any]) -> bool:
        """Return whether the driver's own options read; those of one behind it are its affair."""
        try:
            msgspec.convert({**self.case.needs, **options}, type=driver(self.case.kind).options)
        except msgspec.ValidationError:
            return False
        return True

    async def submitted(self, options: Mapping[str, Any]) -> list[Words]:
        """Return all words that come of a submission. Raises BadOptions."""
        made = self.driver(options)
        self.recorder.say(self.case.good)
        self.recorder.taken()
        request = PilotRequest(STAMP, SCRIPT, cores=2, memory_mb=2_000, wall_s=600, gpus=1)
        await made.submit([request])
        return self.recorder.taken()

    def reached(self, nasty: str) -> list[str]:
        """Return what is wrong with calls since the last time: none may have a word of these."""
        return [
            f"{nasty[:40]!r} reached {call}"
            for call in self.recorder.taken()
            if any(HOLDS in word for word in call)
        ]


@pytest.fixture(params=CASES)
def stage(
    request: pytest.FixtureRequest, programs: Programs, commands: Commands, tmp_path: Path
) -> Stage:
    case = CASES[request.param]
    folder = tmp_path / "e"
    folder.mkdir()
    recorder: Programs | Requests = programs
    transport: httpx.AsyncBaseTransport | None = None
    if case.kind in ("arc", "kubernetes"):
        recorder = Requests()
        transport = recorder.transport
    token = Token("t") if transport is not None else None
    tools = Tools(commands, SystemClock(), folder, token, transport)
    return Stage(case, tools, recorder, tmp_path)


@pytest.fixture(params=[FEW, pytest.param(NASTY, marks=pytest.mark.long)], ids=["few", "all"])
def words(request: pytest.FixtureRequest) -> Sequence[str]:
    """Return the words that are tried on a stage: the gate reads them all and tries a few."""
    found: Sequence[str] = request.param
    return found


def replaced(value: Any, old: str, new: str) -> Any:
    """Return the same with each `old` in it replaced, in keys too."""
    if isinstance(value, str):
        return value.replace(old, new)
    if isinstance(value, list):
        return [replaced(one, old, new) for one in cast(list[object], value)]
    if isinstance(value, dict):
        given = cast(dict[str, Any], value)
        return {replaced(key, old, new): replaced(one, old, new) for key, one in given.items()}
    return value


async def test_what_an_operator_writes_arrives_as_one_word_or_is_refused_by_name(
    stage: Stage, words: Sequence[str]
) -> None:
    wrong: list[str] = []
    for name, place in stage.case.fields.items():
        options = place if "." in name else {name: place}
        plain = await stage.submitted(options)
        assert any(PLAIN in word for call in plain for word in call), name
        for nasty in NASTY:
            given = replaced(options, PLAIN, nasty)
            if nasty not in words and not stage.reads(given):
                continue  # to say what is wrong takes more time
            try:
                stage.driver(given)
                found = await stage.submitted(given) if nasty in words else None
            except BadOptions as why:
                if name.rpartition(".")[2] not in str(why):
                    wrong.append(f"{name}: {nasty[:40]!r} is refused without its name: {why}")
            except Exception as why:
                wrong.append(f"{name}: {nasty[:40]!r}: {why!r}")
            else:
                special = set(stage.case.special.get(name, "")) & set(nasty)
                if special:
                    wrong.append(f"{name}: {nasty[:40]!r} is taken with {special}")
                if found is not None and found != sorted(replaced(plain, PLAIN, nasty)):
                    wrong.append(f"{name}: {nasty[:40]!r} gives {found}")

    assert not wrong, "\n".join(wrong)


async def test_a_slot_that_is_none_reaches_nobody(stage: Stage, words: Sequence[str]) -> None:
    made = stage.driver({})
    stage.recorder.say(stage.case.good)
    stage.recorder.taken()
    wrong: list[str] = []
    for nasty in words:
        await asked(made, [nasty], nasty)
        wrong += stage.reached(nasty)

    assert not wrong, "\n".join(wrong)


async def test_what_a_hostile_element_says_comes_back_in_no_command(
    stage: Stage, words: Sequence[str]
) -> None:
    made = stage.driver({})
    wrong: list[str] = []
    for said in stage.case.hostile:
        for nasty in words:
            if "\ud800" in nasty:
                continue  # no bytes say that
            stage.recorder.say(hostile(stage.case.good, said, nasty))
            stage.recorder.taken()
            slots = [stage.case.slot]
            with suppress(ElementTrouble):
                slots += (await made.submit([PilotRequest(STAMP, SCRIPT)])).slots.values()
            await asked(made, slots, STAMP)
            wrong += stage.reached(nasty)

    assert not wrong, "\n".join(wrong)


async def asked(made: ComputeElement, slots: Sequence[str], stamp: str) -> None:
    """Ask for all that can be asked of slots, whatever the element is told to be in."""
    with suppress(ElementTrouble):
        await made.find([stamp])
    with suppress(ElementTrouble):
        await made.states(slots)
    with suppress(ElementTrouble):
        await made.cancel(slots)
    for slot in slots:
        with suppress(ElementTrouble):
            await made.output(slot)
    with suppress(ElementTrouble):
        await made.forget(slots)


def hostile(good: Mapping[str, Any], said: Mapping[str, Any], nasty: str) -> dict[str, Any]:
    """Return what an element says whose words are these."""
    found = {**copy.deepcopy(dict(good)), **said}
    if "condor_q" in said:  # it is JSON by itself
        ads = json.loads(said["condor_q"])
        return {**found, "condor_q": json.dumps(replaced(ads, PLAIN, nasty))}
    return dict(replaced(found, PLAIN, nasty))


async def test_a_shared_connection_lies_where_ssh_reads_the_path_as_it_is(
    programs: Programs, commands: Commands, tmp_path: Path
) -> None:
    folder = tmp_path.parent / "%h a"
    folder.mkdir()
    made = element("ssh", LOGIN, Tools(commands, SystemClock(), folder))
    programs.taken()

    await made.reach()

    (call,) = (one for one in programs.taken() if one[0] == "ssh")
    (word,) = (one for one in call if one.startswith("ControlPath="))
    place = Path(word.removeprefix("ControlPath=")).parent
    assert not set(SSH_READS) & set(str(place))
    place.rmdir()


@pytest.mark.parametrize("nasty", NASTY, ids=lambda nasty: repr(nasty)[:30])
async def test_a_stamp_that_is_none_is_refused_by_name(nasty: str) -> None:
    with pytest.raises(ValueError, match="stamp: "):
        PilotRequest(nasty, SCRIPT)
