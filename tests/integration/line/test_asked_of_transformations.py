"""What people are told of transformations that cannot be, or that make nothing."""

import re
from collections.abc import Sequence
from typing import Any, cast

import pytest

from pilotage.central.catalogue import record_files as file_records
from pilotage.central.cli.productions.transformations import print_preview
from pilotage.central.errors import Refused
from pilotage.central.transformations import service
from pilotage.central.transformations.grouping import (
    Group,
    GroupingRule,
    GroupingSpec,
    WaitingInput,
)
from pilotage.central.transformations.groupings.rule_names import BUILT_IN
from pilotage.proto.api.transformations import NewTransformation, Preview
from pilotage.proto.catalogue import KeyType
from pilotage.proto.transformation_states import TransformationState as S
from tests.fakes import FakeInstallation

from .test_data_transformations import (
    EVENTS,
    a_document,
    registered,
    story,
)
from .test_on_fakes import lasts
from .test_transformations import added, is_in, said, until

UNKNOWN_KEYS: dict[str, dict[str, Any]] = {
    "grouping.keys.rn": {**EVENTS, "grouping": {"rule": "key", "keys": ["rn"]}},
    "inputs[0].on.rn": {
        "inputs": [{"name": "events", "query": {"level": 0}, "on": ["rn"]}],
        "grouping": {"rule": "join"},
    },
}


def test_a_key_that_no_file_has_is_refused_with_the_nearest_also_in_groups() -> None:
    async def tell(world: FakeInstallation) -> None:
        await registered(world, [1])
        for field, fields in UNKNOWN_KEYS.items():
            with pytest.raises(Refused, match="expected run") as refused:
                await added(world, **fields)
            assert refused.value.field == f"document.{field}"

    story(tell, script=lasts(5.0))


async def preview(world: FakeInstallation, **fields: Any) -> Preview:
    body = NewTransformation(document=a_document(**fields), dry_run=True)
    found = await world.central.services.transformations.add(world.user(), body)
    assert isinstance(found, Preview)
    return found


def test_a_dry_run_tells_of_all_groups_and_of_why_there_is_none() -> None:
    async def tell(world: FakeInstallation) -> None:
        await registered(world, range(1, 6))
        job = {"command": ["run"], "data": {"outputs": [{"pattern": "*"}]}}
        found = await preview(world, **EVENTS, job=job)
        by_night = {"rule": "key", "keys": ["night"]}
        await world.store.write(file_records.add_keys, "ctao", {"night": KeyType.NUMBER})
        none = await preview(world, **EVENTS, grouping=by_night)

        assert (len(found.groups), found.groups_more, found.why) == (3, 2, "")
        assert (found.inputs, found.more) == ({"events": 5}, [])
        assert found.first_job is not None
        assert found.first_job["data"]["outputs"][0]["dataset"].endswith(":transformation-ID")
        assert (none.groups, none.why) == ([], "events: 5 of 5 files have no 'night'")

    story(tell, script=lasts(5.0))


def test_a_dry_run_says_of_which_files_there_are_more_than_it_counted(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(service, "PREVIEW_FILES_MAX", 5)
    monkeypatch.setattr(service, "PAGE_MAX", 2)

    async def tell(world: FakeInstallation) -> None:
        for there, more in ((5, []), (6, ["events"]), (60, ["events"])):
            await registered(world, range(1, there + 1))
            found = await preview(world, **EVENTS)

            assert (found.inputs, found.more) == ({"events": 5}, more)
            assert len(found.groups) + found.groups_more == 5
            print_preview(found)
            least = "at least " if more else ""
            printed = capsys.readouterr().out
            assert f"events: {least}5 files" in printed and f"… {least}2 more" in printed

    story(tell, script=lasts(5.0))


def test_a_dry_run_tells_that_the_name_is_taken() -> None:
    async def tell(world: FakeInstallation) -> None:
        await registered(world, [1])
        await added(world, **EVENTS, job={"command": ["run", "{inputs}"]})
        await preview(world, **EVENTS)
        with pytest.raises(Refused, match="choose another name"):
            await preview(world, **EVENTS, title="another")

    story(tell, script=lasts(5.0))


def test_metadata_of_outputs_have_the_types_of_their_keys() -> None:
    async def tell(world: FakeInstallation) -> None:
        await registered(world, [1])
        right = [{"pattern": "*", "metadata": {"run": "{task}", "new": "high"}}]
        await added(world, tasks=1, job={"command": ["x"], "data": {"outputs": right}})
        wrong = [{"pattern": "*", "metadata": {"run": "high"}}]
        with pytest.raises(Refused, match="expected a number") as refused:
            await added(
                world, name="u", tasks=1, job={"command": ["x"], "data": {"outputs": wrong}}
            )
        assert refused.value.field == "document.job.data.outputs[0].metadata.run"
        with pytest.raises(Refused, match="document.metadata.level"):
            await added(world, name="v", **EVENTS, metadata={"level": "high"})

    story(tell, script=lasts(5.0))


def test_outputs_in_scopes_of_other_groups_are_refused_when_it_is_added() -> None:
    async def tell(world: FakeInstallation) -> None:
        await registered(world, [1])
        wrong: list[tuple[str, dict[str, Any]]] = [
            ("outputs_dataset", {"outputs_dataset": "far:away"})
        ]
        for name, text in (
            *(("scope", "far"), ("scope", "far{task}")),
            *(("dataset", "far:a{task}"), ("dataset", "far{run}:a")),
        ):
            outputs = [{"pattern": "*", name: text}]
            given = {"job": {"command": ["run"], "data": {"outputs": outputs}}}
            wrong.append((f"job.data.outputs[0].{name}", given))
        for field, fields in wrong:
            with pytest.raises(Refused, match="expected a scope of the job's group") as refused:
                await added(world, **EVENTS, **fields)
            assert refused.value.field == f"document.{field}"
        for text in ("dpps.{run}", "{run}", "dpps.x.{task}", "d{run}"):
            outputs = [{"pattern": "*", "scope": text}]
            job = {"command": ["run"], "data": {"outputs": outputs}}
            await added(world, name=text, inputs=EVENTS["inputs"], job=job)

    story(tell, script=lasts(5.0))


def test_a_wrong_name_is_answered_with_the_nearest_and_more_tasks_need_a_number() -> None:
    async def tell(world: FakeInstallation) -> None:
        one = await added(world, name="simulate", tasks=1)
        service = world.central.services.transformations
        with pytest.raises(Refused, match="did you mean 'simulate'"):
            await service.show(world.user(), "simlate")
        with pytest.raises(Refused, match="give the number of tasks to add"):
            await said(world, one, "extend")

    story(tell, script=lasts(5.0))


def test_show_tells_why_files_that_wait_make_no_group() -> None:
    async def tell(world: FakeInstallation) -> None:
        service = world.central.services.transformations
        await registered(world, [1, 2])
        await world.store.write(file_records.add_keys, "ctao", {"night": KeyType.NUMBER})
        for name, grouping, why in (
            ("few", {"size": 3}, "no group of 3 is full"),
            ("keys", {"rule": "key", "keys": ["night"]}, "events: 2 of 2 files have no 'night'"),
        ):
            one = await added(world, name=name, **EVENTS, grouping=grouping)
            await until(world, one, lambda view: not view.marks)
            assert (await service.show(world.user(), name)).waits == why

    story(tell, script=lasts(5.0))


def test_a_name_in_the_template_that_is_no_key_is_refused_with_the_nearest() -> None:
    async def tell(world: FakeInstallation) -> None:
        await registered(world, [1])
        job = {"command": ["run", "{runn}", "{inputs}"]}
        right = r"job\.runn: found 'runn', expected run"
        for fields in ({"job": job}, {"job": job, "grouping": {"size": 2}}):
            with pytest.raises(Refused, match=right) as refused:
                await added(world, **EVENTS, **fields)
            assert refused.value.field == "document.job"
        parent = await added(world, **EVENTS)
        inputs = [{"name": "made", "from": str(parent)}]
        await added(world, name="child", inputs=inputs, job=job)

    story(tell, script=lasts(5.0))


def test_input_is_taken_for_a_slip_of_inputs_until_it_is_a_key() -> None:
    async def tell(world: FakeInstallation) -> None:
        await registered(world, [1])
        job = {"command": ["run", "{input}"]}
        with pytest.raises(Refused, match="did you mean {inputs}"):
            await added(world, **EVENTS, job=job)
        await world.store.write(file_records.add_keys, "ctao", {"input": KeyType.STRING})
        await added(world, **EVENTS, job=job)

    story(tell, script=lasts(5.0))


@pytest.mark.parametrize("full_ones", [False, True])
def test_a_rule_of_others_that_fails_is_named_and_not_the_central(
    monkeypatch: pytest.MonkeyPatch, full_ones: bool
) -> None:
    def odd(files: Sequence[WaitingInput], plan: GroupingSpec, *, partial: bool) -> list[Group]:
        if partial or full_ones:
            raise ValueError("of no use")
        return []

    monkeypatch.setitem(cast("dict[str, GroupingRule]", BUILT_IN), "odd", odd)
    why = r"the grouping rule odd has failed: ValueError\('of no use'\)"

    async def tell(world: FakeInstallation) -> None:
        await registered(world, [1])
        with pytest.raises(Refused, match=why) as refused:
            await preview(world, **EVENTS, grouping={"rule": "odd"})
        assert refused.value.field == "document.grouping.rule"
        one = await added(world, **EVENTS, grouping={"rule": "odd"})
        if not full_ones:
            await said(world, one, "flush")
        view = await until(world, one, is_in(S.PAUSED))
        assert re.fullmatch(why, view.reason)

    story(tell, script=lasts(5.0))
