"""A story that brings jobs, pilots, transformations and files into every state that they have."""

import hashlib
import time
import zlib
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import httpx
import msgspec

from pilotage import __version__
from pilotage.central.client import Client
from pilotage.central.workflows.builders import Workflow, files, files_like
from pilotage.proto.api.accounts import AccountsBy
from pilotage.proto.api.data import DatasetActionName, FileItem, ReplicaItem
from pilotage.proto.api.jobs import JobFilter, JobView
from pilotage.proto.api.pilots import SecretRequest
from pilotage.proto.api.tokens import TokenIssue
from pilotage.proto.catalogue import ReplicaState
from pilotage.proto.claims import Role
from pilotage.proto.documents.job import Job, Need, OutputPattern, Preference
from pilotage.proto.job_states import FINAL, JobState
from pilotage.proto.messages import (
    PROTOCOL,
    Ask,
    Assignment,
    Attempt,
    Beat,
    BeatAnswer,
    How,
    Node,
    Offer,
    Register,
    Registered,
    Report,
    Turn,
    TurnReply,
    Usage,
    What,
)
from pilotage.proto.pilot_states import PilotState
from pilotage.proto.production_states import ProductionState
from pilotage.proto.transformation_states import TaskState
from tests.acceptance.running import RunningCentral, eventually, running_central

from .release import DISK, PLACE, SETTINGS, Facts, Held, HeldPilot

FIRST: Final = {  # settings with which attempts and pilots are lost soon
    "lease.lease_s": "3",
    "lease.silent_pilot_s": "3",
    "lease.lost_max": "1",
    "retention.round_s": "1",
}
NEVER_CAME_S: Final = 120.0  # a pilot's secret lives 60 s or more
NODE: Final = Node(host="wn1", os="el9", glibc="2.34", cpu_model="Story 1000")
OFFER: Final = Offer(
    cores=8,
    cores_free=8,
    memory_mb=64_000,
    memory_free_mb=64_000,
    wall_left_s=360_000.0,
    scratch_free_mb=100_000,
    scratch_mb=100_000,
    node=NODE,
)


class SaidPilot:
    """A pilot that says what the story lets it say, and runs nothing. It alone is at its site."""

    def __init__(self, central: RunningCentral, operator: Client, site: str) -> None:
        self._central, self.site, self.asks, self._beats = central, site, 0, 0
        self.held: dict[int, Held] = {}
        made = operator.secrets(SecretRequest(site=site, element="ce1")).secrets[0]
        self._token = ""
        said = Register(made.secret, f"nonce-{made.pilot}", PROTOCOL, NODE)
        self.me: Registered = self._say("/v1/pilots/register", said, Registered)
        self._token = self.me.token

    def take(self) -> Assignment:
        """Ask for one job."""
        self.asks += 1
        holding = tuple(Attempt(one.job, one.epoch) for one in self.held.values())
        left = OFFER.cores - len(holding)
        ask = Ask(self.asks, replace(OFFER, cores_free=left), holding)
        reply = self._turn(ask=ask)
        assert reply.ask is not None and len(reply.ask.assignments) == 1, (self.site, reply)
        (one,) = reply.ask.assignments
        self.held[one.job] = Held(
            job=one.job, epoch=one.epoch, attempt_id=one.attempt_id, started=False
        )
        return one

    def start(self) -> int:
        """Take a job and say that it runs; return it."""
        one = self.take()
        self._turn(Report(one.job, one.epoch, one.attempt_id, 1, What.STARTED))
        self.held[one.job] = msgspec.structs.replace(self.held[one.job], started=True)
        return one.job

    def end(self, job: int, *, how: How = How.EXITED, exit_code: int | None = 0) -> None:
        """Say that a job has ended."""
        one = self.held.pop(job)
        used = Usage(wall_s=12.0, cpu_s=9.0, memory_peak_mb=300.0)
        said = Report(
            *(one.job, one.epoch, one.attempt_id, 2, What.ENDED),
            how=how,
            exit_code=exit_code,
            usage=used,
        )
        self._turn(said)

    def beat(self, *, goodbye: bool = False, draining: bool = False) -> None:
        self._beats += 1
        holding = tuple(Attempt(one.job, one.epoch) for one in self.held.values())
        said = Beat(
            *(self.me.gen, self.me.session, self._beats),
            closed=self.asks,
            holding=holding,
            goodbye=goodbye,
            draining=draining,
        )
        self._say("/v1/beat", said, BeatAnswer)

    def kept(self, wanted: dict[int, str]) -> HeldPilot:
        return HeldPilot(
            pilot=self.me.pilot,
            gen=self.me.gen,
            session=self.me.session,
            token=self.me.token,
            renewal_secret=self.me.renewal_secret,
            asks=self.asks,
            held=tuple(
                msgspec.structs.replace(one, wanted=wanted.get(job, ""))
                for job, one in self.held.items()
            ),
        )

    def _turn(self, *reports: Report, ask: Ask | None = None) -> TurnReply:
        said = Turn(self.me.gen, self.me.session, reports, ask)
        reply: TurnReply = self._say("/v1/turn", said, TurnReply)
        return reply

    def _say(self, path: str, message: Any, kind: type[Any]) -> Any:
        headers = {"content-type": "application/json"}
        headers |= {"authorization": f"Bearer {self._token}"} if self._token else {}
        body = msgspec.json.encode(message)
        with httpx.Client(trust_env=False, timeout=30) as http:
            reply = http.post(f"{self._central.url}{path}", content=body, headers=headers)
        assert reply.status_code == 200, reply.text
        return msgspec.json.decode(reply.content, type=kind)


class Story:
    """What happens, part by part; at the end `facts` says what is there."""

    def __init__(self, folder: Path, central: RunningCentral, stack: ExitStack) -> None:
        self.folder, self.central, self.stack = folder, central, stack
        self.admin = central.client
        self.tokens: dict[str, str] = {}
        self.revoked = ""
        self.wanted: dict[int, str] = {}
        self.keys: dict[str, list[int]] = {}
        self.holders: list[SaidPilot] = []
        self.maria = self._person("maria", "ctao", "dpps")
        self.paul = self._person("paul", "ctao", "users")
        self.nadia = self._person("nadia", "lst", "lst")
        self.olga = self._person("olga", "ctao", "dpps", Role.OPERATOR)
        self.omar = self._person("omar", "lst", "lst", Role.OPERATOR)
        self.rosa = self._person("rosa", "ctao", "dpps", Role.MANAGER)

    def _person(self, who: str, community: str, group: str, role: Role = Role.USER) -> Client:
        asked = TokenIssue(
            subject=who, community=community, groups=(group,), role=role, valid_s=31_536_000
        )
        token = self.admin.issue_token(asked).token
        self.tokens[who] = token
        return self.stack.enter_context(self.central.client_of(token))

    def submit(self, who: Client, key: str, jobs: Iterable[Job]) -> list[int]:
        made = who.submit(list(jobs), key=key, name=key)
        if who is self.maria:
            self.keys[key] = [made.ranges[0].first, made.count]
        return list(made.ids())

    def pilot(self, site: str, operator: Client | None = None) -> SaidPilot:
        return SaidPilot(self.central, operator or self.olga, site)

    # -- the parts ------------------------------------------------------------------------------

    def lose(self) -> None:
        """Pilots and attempts that are lost, and pilots that never come. Takes a minute."""
        never = SecretRequest(site="NEVER", element="ce1", valid_s=60)
        failed = self.olga.secrets(never).secrets[0].pilot
        aborted = self.olga.secrets(SecretRequest(site="NEVER", element="ce1")).secrets[0].pilot
        self.olga.kill_pilot(aborted, reason="not needed")
        (lost,) = self.submit(self.maria, "lost", [at("LOSES")])
        (late,) = self.submit(self.maria, "too late", [at("NOWHERE", queue_s=1)])
        silent = self.pilot("LOSES")
        assert silent.start() == lost
        eventually(lambda: self.state(lost) is JobState.HELD, what="a job lost too often")
        eventually(lambda: self.state(late) is JobState.FAILED, what="the end of its queue time")
        wanted = {
            silent.me.pilot: PilotState.LOST,
            failed: PilotState.FAILED,
            aborted: PilotState.ABORTED,
        }
        eventually(
            lambda: all(self.olga.pilot(id).state is state for id, state in wanted.items()),
            what="pilots that are lost and that never came",
            within_s=NEVER_CAME_S,
        )

    def run(self) -> None:
        """Jobs, a transformation and a production that real pilots bring to their ends."""
        client, text = self.maria, b"photons\n"
        data = self.folder / DISK
        (data / "raw").mkdir(parents=True, exist_ok=True)
        items: list[FileItem] = []
        for run in range(6):
            content = text * (run + 1)
            (data / "raw" / f"run{run}.txt").write_bytes(content)
            item = FileItem(
                did=f"dpps:raw/run{run}.txt",
                bytes=len(content),
                adler32=f"{zlib.adler32(content):08x}",
                sha256=hashlib.sha256(content).hexdigest(),
                metadata={"run": run, "zenith": 20.5, "kind": "raw", "good": run != 3},
                replicas=(ReplicaItem(storage="disk", path=f"raw/run{run}.txt"),),
            )
            items.append(item)
        assert not client.register_files(items).refused
        client.make_dataset("dpps:all-raw", {"campaign": "prod6"})
        client.act_on_dataset("dpps:all-raw", DatasetActionName.ATTACH, [one.did for one in items])
        client.act_on_dataset("dpps:all-raw", DatasetActionName.CLOSE)
        self.olga.declare_replicas(["dpps:raw/run5.txt"], "disk", state=ReplicaState.BAD)
        client.remove_files(["dpps:raw/run4.txt"])
        client.add_transformation(TRANSFORMATION)
        client.add_transformation(TRANSFORMATION | {"name": "stopped"}, start=False)
        client.submit_production(workflow("chain"))
        client.submit_production(workflow("new"), start=False)
        self.submit(self.maria, "done", [DONE] * 5)
        self.submit(self.paul, "failed", [FAILED, RETRIED])
        self.central.client = self.olga  # who makes the secrets of pilots
        self.central.pilot("PIC", cores=4, memory_mb=32_000)
        eventually(self._has_run, what="the production's end", within_s=240)
        (again,) = self.submit(self.paul, "again", [FAILED])
        self.paul.job(again).wait(60)
        self.paul.reschedule([again], reason="a second round")
        eventually(lambda: self.paul.job(again).view().round == 2, what="a second round")
        self.paul.job(again).wait(60)
        gone = self.submit(self.maria, "deleted", [DONE, at("NOWHERE")])
        self.maria.job(gone[0]).wait(60)
        self.maria.kill([gone[1]])
        self.maria.delete(gone)
        for pilot in self.central.pilots:
            self.olga.drain(pilot.id)
            pilot.process.wait(60)

    def _has_run(self) -> bool:
        counted = self.maria.transformation("count").view
        return (
            self.maria.production("chain").view.state is ProductionState.COMPLETED
            and counted.tasks.get(TaskState.DONE, 0) == 2
            and all(one.state in FINAL for one in self.everybody() if one.site == "PIC")
        )

    def stop_at(self) -> None:
        """Jobs and pilots that are left where they are."""
        submit, maria = self.submit, self.maria
        submit(maria, "waits here", [at("HERE", cores_min=cores) for cores in (1, 2, 8)] * 3)
        submit(maria, "important", [at("HERE", priority=9)] * 2)
        submit(maria, "anywhere", [Job(command=("true",), needs=ALTERNATIVES, preference=CLOSE)])
        submit(self.paul, "waits", [at("HERE"), at("NOWHERE")] * 2)
        submit(self.nadia, "waits", [at("HERE")] * 3)
        parameters = [{"seed": seed} for seed in range(4)]
        template = Job(command=("echo", "{seed}"), name="seed {seed}", needs=at("HERE").needs)
        made = maria.submit(template=template, parameters=parameters, key="parametric")
        self.keys["parametric"] = [made.ranges[0].first, made.count]

        held, killed = submit(maria, "by hand", [at("NOWHERE")] * 2)
        maria.hold([held], reason="wait for the new calibration")
        maria.kill([killed], reason="wrong seed")
        submit(maria, "matched", [at("MATCHED")])
        matched = self.pilot("MATCHED")
        matched.take()
        runs = submit(maria, "runs", [at("RUNS", retries=1)] * 4)
        runner = self.pilot("RUNS")
        for _ in runs:
            runner.start()
        maria.kill([runs[1]])
        maria.hold([runs[2]])
        maria.reschedule([runs[3]], reason="other parameters")
        self.wanted = {runs[1]: "kill", runs[2]: "hold", runs[3]: "reschedule"}
        submit(self.nadia, "runs", [at("LAPALMA")])
        other = self.pilot("LAPALMA", self.omar)
        other.start()
        submit(maria, "drains", [at("DRAINS")])
        drains = self.pilot("DRAINS")
        drains.start()
        self.olga.drain(drains.me.pilot)
        self._ended_otherwise()
        self.holders = [matched, runner, other, drains]
        for one in self.holders:
            one.beat()
        self.olga.secrets(SecretRequest(site="LATER", element="ce1"))
        self.olga.add_rule(["disk"], did="dpps:raw/run0.txt")
        revoked = self.admin.issue_token(TokenIssue(subject="eve", community="ctao"))
        self.admin.revoke_token(revoked.view.jti)
        self.revoked = revoked.token

    def _ended_otherwise(self) -> None:
        """Payloads that a pilot reports as killed, declined and over their limits."""
        jobs = self.submit(self.maria, "ends", [at("ENDS")] * 4)
        pilot = self.pilot("ENDS")
        for _ in jobs:
            pilot.start()
        self.maria.kill([jobs[0]])
        pilot.end(jobs[0], how=How.KILLED, exit_code=None)
        pilot.end(jobs[1], how=How.WALL, exit_code=None)
        pilot.end(jobs[2], how=How.DRAINED, exit_code=None)
        pilot.end(jobs[3], exit_code=7)
        pilot.beat(goodbye=True)

    # -- what is there --------------------------------------------------------------------------

    def state(self, job: int) -> JobState:
        return self.maria.job(job).state()

    def everybody(self) -> list[JobView]:
        """Return all jobs, deleted ones too."""
        every = JobFilter(include_deleted=True)
        found = {one.id: one for who in (self.olga, self.omar) for one in who.search(every)}
        return [found[job] for job in sorted(found)]

    def facts(self) -> Facts:
        olga, maria = self.olga, self.maria
        views = self.everybody()
        of = {"lst": self.omar, "ctao": olga}
        details = {one.id: of[one.community].detail(one.id) for one in views}
        return Facts(
            version=__version__,
            jobs={str(one.id): plain(one) for one in views},
            deleted=[one.id for one in views if "deleted" in one.marks],
            outputs={
                str(job): {each.name: each.sha256 for each in maria.outputs(job).outputs}
                for job, detail in details.items()
                if detail.view.owner == "maria" and detail.outputs
            },
            histories={
                str(one.id): [each.event for each in of[one.community].history(one.id).occurrences]
                for one in views
            },
            pilots={one.id: one.state.value for who in (olga, self.omar) for one in who.pilots()},
            transformations={one.name: plain(one) for one in maria.transformations()},
            productions={one.name: plain(one) for one in maria.productions()},
            files={one.did: plain(one) for one in maria.find_files({})},
            datasets=[one.did for one in maria.datasets()],
            rules=[plain(one) for one in olga.rules()],
            storages=[one.name for one in olga.storages().storages],
            tokens=self.tokens,
            revoked=self.revoked,
            accounts=[plain(one) for one in olga.accounts(by=AccountsBy.SITE).lines],
            keys=self.keys,
            holders=[one.kept(self.wanted) for one in self.holders],
        )


def plain(value: Any) -> Any:
    """Return a message as JSON has it."""
    return msgspec.json.decode(msgspec.json.encode(value))


def at(site: str, *, cores_min: int = 1, **of_job: Any) -> Job:
    """Return a job for one site."""
    need = Need(sites=(site,), wall_s=600, cores_min=cores_min)
    return Job(command=("true",), needs=(need,), **of_job)


SHORT: Final = (Need(wall_s=600, sites=("PIC",)),)
ALTERNATIVES: Final = (Need(wall_s=600, sites=("HERE",)), Need(wall_s=60, gpus_min=1))
CLOSE: Final = Preference(sites=("PIC",))
DONE: Final = Job(
    command=("sh", "-c", "echo $PILOTAGE_JOB > number.txt; echo said"),
    outputs=(OutputPattern(pattern="*.txt"),),
    needs=SHORT,
)
FAILED: Final = Job(command=("sh", "-c", "echo broken >&2; exit 3"), needs=SHORT)
RETRIED: Final = Job(command=("false",), needs=SHORT, retries=1)
TRANSFORMATION: Final[dict[str, Any]] = {
    "name": "count",
    "inputs": [{"name": "raw", "query": {"kind": "raw", "run": {"<": 4}}}],
    "grouping": {"size": 2},
    "job": {
        "command": ["sh", "-c", 'cat "$@" | wc -l > lines.txt', "count", "{inputs}"],
        "needs": [{"wall_s": 300, "sites": ["PIC"]}],
        "data": {"outputs": [{"pattern": "lines.txt", "name": "lines-{task}.txt"}]},
    },
    "metadata": {"kind": "lines"},
}


def workflow(name: str) -> Workflow:
    """Return two steps: one makes files, the other gathers them."""
    made = Workflow(name, metadata={"campaign": name})
    raw = made.step(
        "make",
        ["sh", "-c", "echo {task} > {task}.raw"],
        tasks=3,
        outputs={"raw": files_like("*.raw", sets={})},
        metadata={"level": 0},
    )
    made.step(
        "gather",
        ["sh", "-c", 'cat "$@" > all', "sh", "{raw}"],
        inputs={"raw": files(raw["raw"])},
        grouping="all",
        outputs={"all": "all"},
        metadata={"level": 1},
    )
    return made


def tell(folder: Path, options: dict[str, str]) -> Facts:
    """Play the story on a central in `folder`; it is stopped when this returns."""
    storages = folder / "central" / "storages"
    storages.mkdir(parents=True)
    storages.parent.chmod(0o700)
    (folder / DISK).mkdir()
    text = f"type: file\nurl: file://{PLACE}/{DISK}\ndefault: true\nany_path: true\n"
    (storages / "disk.yaml").write_text(text.replace(PLACE, str(folder)))
    with ExitStack() as stack:
        began = stack.enter_context(running_central(folder, {**SETTINGS, **FIRST, **options}))
        story = Story(folder, began, stack)
        story.lose()
        began.options = {**SETTINGS, **options}
        began.restart()
        story.run()
        story.stop_at()
        time.sleep(11)  # the series keep ten seconds at once
        facts = story.facts()
    (storages / "disk.yaml").write_text(text)
    return facts
