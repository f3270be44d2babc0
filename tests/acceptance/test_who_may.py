"""Tokens of different people: what each may see and do, and when a token is worth nothing."""

import hashlib
import time
from collections.abc import Generator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest
from joserfc import jws
from joserfc.jwk import ECKey

from pilotage.central.client import Client, errors
from pilotage.proto.api.jobs import SEALED_SHA256, JobFilter, SummaryBy
from pilotage.proto.api.tokens import TokenIssue
from pilotage.proto.claims import Role
from pilotage.proto.documents.job import Job, Need
from pilotage.proto.job_states import JobState

from .running import RunningCentral, running_central

NOWHERE = Job(command=("true",), needs=(Need(sites=("NOWHERE",)),))


@dataclass
class Town:
    """A central and people with tokens."""

    central: RunningCentral
    stack: ExitStack

    def person(
        self, subject: str, role: Role = Role.USER, groups: tuple[str, ...] = ("users",)
    ) -> Client:
        """Return the client of somebody with a fresh token."""
        wanted = TokenIssue(subject=subject, role=role, groups=groups)
        return self.with_token(self.central.client.issue_token(wanted).token)

    def with_token(self, token: str) -> Client:
        return self.stack.enter_context(Client(self.central.url, token, patience_s=5.0))

    def signed(self, **claims: Any) -> str:
        """Return a token that the central itself might have signed."""
        kept = msgspec.json.decode((self.central.data / "signing-keys.json").read_bytes())
        key = kept["keys"][0]
        now = int(time.time())
        good = {
            "iss": "pilotage:local",
            "sub": "ada",
            "aud": "pilotage",
            "iat": now - 7_200,
            "exp": now + 600,
            "jti": "made-by-hand",
            "kind": "user",
            "role": "user",
            "community": "local",
            "groups": ["users"],
            "wlcg.ver": "1.0",
        }
        private = ECKey.import_key({name: key[name] for name in ("kty", "crv", "x", "y", "d")})
        head = {"alg": "ES256", "kid": key["kid"]}
        payload = msgspec.json.encode(good | claims)
        return jws.serialize_compact(head, payload, private, algorithms=["ES256"])


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Generator[Town]:
    with running_central(tmp_path_factory.mktemp("town")) as central, ExitStack() as stack:
        yield Town(central, stack)


def test_people_neither_see_nor_touch_the_jobs_of_others(town: Town) -> None:
    ada, bob = town.person("ada"), town.person("bob")
    hers = ada.submit([NOWHERE] * 2, key="same key")
    his = bob.submit([NOWHERE] * 3, key="same key")
    (job, _) = hers.ids()

    assert not his.repeated, "keys belong to their owner"
    assert [view.owner for view in bob.search()] == ["bob"] * 3
    assert list(bob.search(JobFilter(owner="ada"))) == []
    assert list(bob.search(JobFilter(ids=(job,)))) == []
    assert bob.summary(SummaryBy.OWNER).total == 3
    for look in (bob.detail, bob.history, bob.outputs, bob.explain):
        with pytest.raises(errors.NotFound):
            look(job)
    with pytest.raises(errors.NotFound):
        list(bob.log(job))
    with pytest.raises(errors.CountChanged):
        bob.kill(filter=JobFilter(submission=hers.id), expected=2)
    for act in (bob.kill, bob.hold, bob.reschedule, bob.delete):
        reply = act([job])
        assert (reply.done, reply.refused[0].code) == (0, "not_found")
    assert hers.states() == {JobState.WAITING: 2}


def test_a_role_reaches_as_far_as_it_says(town: Town) -> None:
    eve = town.person("eve")
    reader = town.person("rita", role=Role.READER)
    (job,) = eve.submit(NOWHERE).ids()

    assert reader.detail(job).view.owner == "eve"
    with pytest.raises(errors.Forbidden, match="may not control jobs .job_control."):
        reader.kill([job])
    with pytest.raises(errors.Forbidden):
        reader.submit(NOWHERE)
    with pytest.raises(errors.Forbidden, match="may not make a token with the role admin"):
        eve.issue_token(TokenIssue(subject="eve", role=Role.ADMIN))
    with pytest.raises(errors.Forbidden, match="group"):
        eve.submit(NOWHERE, group="others")


def test_a_manager_gains_nothing_by_the_name_in_a_token(town: Town) -> None:
    zoe = town.person("zoe", groups=("beta",))
    manager = town.person("max", role=Role.MANAGER, groups=("alpha",))
    boss = TokenIssue(subject="boss", role=Role.OPERATOR, groups=("alpha",))
    operator = town.central.client.issue_token(boss)
    (job,) = zoe.submit(msgspec.structs.replace(NOWHERE, environment={"PASSWORD": "x"})).ids()

    as_zoe = town.with_token(manager.issue_token(TokenIssue(subject="zoe")).token)
    as_boss = town.with_token(manager.issue_token(TokenIssue(subject="boss")).token)

    for look in (as_zoe.detail, as_zoe.history, as_zoe.outputs, as_zoe.explain):
        with pytest.raises(errors.NotFound):
            look(job)
    assert list(as_zoe.search()) == []
    assert list(as_zoe.search(JobFilter(group="beta"))) == []
    assert as_zoe.summary(SummaryBy.GROUP).total == 0
    assert as_zoe.kill([job]).refused[0].code == "not_found"
    assert [view.role for view in as_boss.tokens().tokens] == [Role.USER]
    with pytest.raises(errors.NotFound):
        as_boss.revoke_token(operator.view.jti)
    assert town.with_token(operator.token).whoami().role is Role.OPERATOR
    own = zoe.detail(job).job
    assert own is not None and own.environment == {"PASSWORD": "x"}


def test_a_token_that_names_no_group_reaches_no_job(town: Town) -> None:
    (job,) = town.person("uma").submit(NOWHERE).ids()
    bare = town.with_token(town.signed(sub="uma", groups=[]))

    assert list(bare.search()) == []
    assert bare.summary(SummaryBy.GROUP).total == 0
    with pytest.raises(errors.NotFound):
        bare.detail(job)


def test_a_reader_sees_a_job_without_what_opens_its_files_and_secrets(
    town: Town, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"not for everybody")
    ida, reader = town.person("ida"), town.person("rita", role=Role.READER)
    wanted = msgspec.structs.replace(NOWHERE, environment={"PASSWORD": "x"})
    (job,) = ida.submit(msgspec.structs.replace(wanted, inputs=tuple(ida.upload([secret])))).ids()

    hers, shown = ida.detail(job), reader.detail(job)

    assert (hers.sealed, shown.sealed) == (False, True)
    assert hers.job is not None and shown.job is not None
    assert hers.job.environment == {"PASSWORD": "x"}
    assert shown.job.environment == {"PASSWORD": ""}
    assert hers.job.inputs[0].sha256 == hashlib.sha256(b"not for everybody").hexdigest()
    assert [(one.name, one.sha256) for one in shown.job.inputs] == [("secret", SEALED_SHA256)]
    assert shown.job.command == hers.job.command


def test_another_community_is_another_world(town: Town) -> None:
    home, foreign = town.person("kim"), town.with_token(town.signed(community="foreign", sub="kim"))
    (job,) = home.submit(NOWHERE).ids()

    with pytest.raises(errors.NotFound):
        foreign.detail(job)
    assert list(foreign.search()) == []
    assert list(foreign.pilots()) == []
    assert foreign.kill([job]).refused[0].code == "not_found"
    (own,) = foreign.submit(NOWHERE).ids()
    assert [view.id for view in foreign.search()] == [own]
    with pytest.raises(errors.NotFound):
        home.detail(own)
    with pytest.raises(errors.Forbidden, match="community"):
        home.issue_token(TokenIssue(subject="kim", community="foreign"))


def test_a_revoked_token_is_refused_at_once_and_after_a_restart(town: Town) -> None:
    issued = town.central.client.issue_token(TokenIssue(subject="mallory"))
    mallory = town.with_token(issued.token)
    assert mallory.whoami().subject == "mallory"
    town.central.type("token", "revoke", issued.view.jti)

    with pytest.raises(errors.NotAuthenticated, match="not valid here"):
        mallory.whoami()
    town.central.kill9()
    town.central.restart()
    with pytest.raises(errors.NotAuthenticated, match="not valid here"):
        mallory.submit(NOWHERE)


def test_tokens_that_are_expired_forged_or_missing_are_refused_in_words(
    town: Town, tmp_path: Path
) -> None:
    now = int(time.time())
    good = town.signed()
    assert town.with_token(good).whoami().subject == "ada"
    head, payload, _ = good.split(".")
    for token, code in (
        (town.signed(exp=now - 3_600), "expired_token"),
        (town.signed(aud="others"), "bad_token"),
        (town.signed(iss="https://elsewhere"), "bad_token"),
        (f"{head}.{payload}.{'A' * 86}", "bad_token"),
        ("not-a-token", "bad_token"),
    ):
        with pytest.raises(errors.NotAuthenticated) as refused:
            town.with_token(token).submit(NOWHERE)
        assert refused.value.code == code
    kept = tmp_path / "token"
    kept.touch(mode=0o600)
    kept.write_text(town.signed(exp=now - 3_600))
    assert "expired" in town.central.type("status", code=3, token_file=kept)
    kept.chmod(0o644)
    assert "0600" in town.central.type("status", code=2, token_file=kept)
