"""A central on fakes and others on its store: whoever is new at one is known to all."""

import asyncio
import dataclasses
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest

from pilotage.central.app.api import ApiCentral, build_api
from pilotage.central.app.process_parts import World
from pilotage.central.app.route_assembly import ROUTES, ApiServices, face
from pilotage.central.bus.no_bus import SilentBus
from pilotage.central.http.forwarding import LeaderLink
from pilotage.central.identity import record as identity_records
from pilotage.central.identity.callers import User
from pilotage.central.identity.policy import CallerKind
from pilotage.central.identity.record_types import Owner
from pilotage.central.identity.tokens import open_tokens
from pilotage.central.jobs import record_submissions as submission_records
from pilotage.central.observe.events import no_log
from pilotage.proto.api.accounts import AccountsBy
from pilotage.proto.api.data import DatasetRequest, FileItem, FindRequest, RegisterRequest
from pilotage.proto.api.jobs import Submission
from pilotage.proto.api.tokens import TokenIssue
from pilotage.proto.catalogue import FileState
from pilotage.proto.claims import Role
from pilotage.proto.documents.job import Job
from pilotage.proto.job_states import JobState
from pilotage.proto.messages import Usage
from tests.contract.store.rows import a_class, a_submission, some_jobs
from tests.fakes import DATA
from tests.integration.http.asgi import Client
from tests.integration.http.requests import Holder, good

from .test_protocol import Scene, ended, scene

KEPT_S = 11.0  # counts are kept every ten seconds


async def beside(one: Scene) -> ApiCentral:
    """Return a central without the queue, that knows who is there now."""
    there = one.world
    world = World(
        store=there.store,
        blobs=there.blobs,
        bus=SilentBus(),
        clock=there.clock,
        randomness=there.randomness,
        log=no_log,
        identity=there.identity,
    )
    tokens = await open_tokens(
        DATA,
        store=there.store,
        disk=there.disk,
        clock=there.clock,
        randomness=there.randomness,
        issuer=there.settings.token.issuer,
        audience=there.settings.token.audience,
        outside=there.identity.outside,
        writes=False,
    )

    async def leader() -> str | None:
        return None

    central = build_api(world, tokens, there.settings, leader)
    await central.begin()
    return central


def bob(one: Scene) -> User:
    return msgspec.structs.replace(one.world.user(), subject="bob", role=Role.USER)


async def submit_as_bob(one: Scene, services: ApiServices) -> int:
    jobs = [msgspec.Raw(msgspec.json.encode(Job(command=("run",))))]
    made = await services.submissions.submit(
        bob(one), Submission(key="bob's", jobs=jobs), body_hash="x"
    )
    return made.ids[0].first


async def found(services: ApiServices, caller: User) -> list[str]:
    asked = FindRequest(query={"dataset": "dpps:set"}, states=tuple(FileState))
    return [file.owner for file in (await services.data.find(caller, asked)).files]


async def file(services: ApiServices, caller: User) -> list[str]:
    return [(await services.data.file(caller, "dpps:a")).file.owner]


async def changes(services: ApiServices, caller: User) -> list[str]:
    page = await services.data.changes(caller, since=0, limit=10)
    return [file.owner for file in page.files]


async def datasets(services: ApiServices, caller: User) -> list[str]:
    page = await services.data.datasets(caller, after="", limit=10)
    return [dataset.owner for dataset in page.datasets]


async def dataset_made_again(services: ApiServices, caller: User) -> list[str]:
    return [(await services.data.make_dataset(caller, DatasetRequest(did="dpps:set"))).owner]


async def accounts(services: ApiServices, caller: User) -> list[str]:
    found = await services.series.accounts(caller, by=AccountsBy.OWNER, since=None, until=None)
    return [line.key for line in found.lines]


async def failures(services: ApiServices, caller: User) -> list[str]:
    found = await services.series.failures(
        caller, site="", group="", owner="bob", transformation=None, since=None
    )
    return ["bob"] * len(found.lines)


Read = Callable[[ApiServices, User], Awaitable[list[str]]]


READS = [found, file, changes, datasets, dataset_made_again, accounts, failures]


@pytest.mark.parametrize("read", READS)
def test_what_names_an_owner_is_shown_where_nobody_has_met_them(read: Read) -> None:
    async def tell(one: Scene) -> None:
        api, leads = await beside(one), one.world.central.services
        await leads.data.make_dataset(bob(one), DatasetRequest(did="dpps:set"))
        item = FileItem(did="dpps:a", bytes=1, adler32="00000001", datasets=("dpps:set",))
        await leads.data.register(bob(one), RegisterRequest(files=(item,)))
        await submit_as_bob(one, leads)
        report = ended(await one.ask(), exit_code=3)
        await one.turn(dataclasses.replace(report, usage=Usage(wall_s=1.0)))
        await asyncio.sleep(KEPT_S)

        assert await read(api.services, one.world.user()) == ["bob"]

    scene(tell)


def test_jobs_of_one_name_in_two_communities_are_all_found_where_one_of_them_is_new() -> None:
    async def tell(one: Scene) -> None:
        issuer = one.world.settings.token.issuer
        await one.world.store.write(
            identity_records.owner, Owner(community="lhcb", issuer=issuer, subject="bob")
        )
        api, leads = await beside(one), one.world.central.services
        await submit_as_bob(one, leads)
        await one.turn(ended(await one.ask(), exit_code=3))
        await asyncio.sleep(KEPT_S)

        assert await failures(api.services, one.world.user()) == ["bob"]

    scene(tell)


def test_a_job_that_another_process_has_just_taken_in_of_somebody_new_is_killed() -> None:
    async def tell(one: Scene) -> None:
        job = await submit_as_bob(one, (await beside(one)).services)
        await one.kill(job)

        assert await one.state(job) is JobState.KILLED

    scene(tell)


def test_whoever_comes_while_a_start_reads_is_known_with_their_jobs() -> None:
    async def tell(one: Scene) -> None:
        async def owners(plain: Any) -> list[Owner]:
            """Return who is there; then another process takes a job of somebody else in."""
            known: list[Owner] = await plain()
            if not known:
                store = one.world.store
                kind = await a_class(store, subject="bob")
                await store.write(submission_records.submit, a_submission(kind), some_jobs(kind, 1))
            return known

        await one.world.kill()
        one.world.store.ways[identity_records.owners] = owners
        await one.world.start()
        (kind,) = [info.kind for info in one.world.central.memory.queue.classes.values()]

        assert kind.owner == "bob@local"

    scene(tell)


def test_what_it_answers_by_itself_needs_nothing_that_it_has_not() -> None:
    bad: list[tuple[str, str, int, bytes]] = []

    async def tell(one: Scene) -> None:
        central = await beside(one)
        admin = msgspec.structs.replace(one.world.user(), role=Role.ADMIN)
        asked = TokenIssue(subject="root", community=admin.community, role=Role.ADMIN)
        issued = await central.services.tokens.issue(admin, asked)
        holder = Holder(CallerKind.ADMIN, issued.token, "root", issued.view.jti, admin.community)
        elsewhere = LeaderLink(lambda: None, no_log)
        client = Client(face(central.services, leader_link=elsewhere))
        here = [(one.method, one.path) for one in ROUTES if one.needs_leader is not True]
        last = ("DELETE", "/v1/tokens/{jti}")  # of the very token
        for method, route in sorted(here, key=lambda one: (one == last, one)):
            path, body, media = good(method, route, holder)
            reply = await client.ask(method, path, token=issued.token, body=body, media=media)
            if reply.status >= 500 or reply.status == 401:
                bad.append((method, route, reply.status, reply.body[:200]))
        await elsewhere.close()

    scene(tell)

    assert bad == []
