"""Which published files go out to Rucio, and whether Rucio can hold their names. Pure."""

from collections.abc import Iterator, Mapping, Sequence

from pilotage.proto.documents.job import DataOutput, JobData
from pilotage.proto.problems import Code
from pilotage.proto.storages import Published

from ..catalogue.placeholders import finished, later
from ..catalogue.record_types import NewFile
from ..errors import Refused
from .outbox_ports import OutputPlan, WrongName
from .outbox_record import Outgoing


def going_out(
    plans: Mapping[str, OutputPlan],
    community: str,
    data: JobData,
    published: Sequence[Published],
    files: Sequence[NewFile],
    *,
    wrong_name: WrongName,
) -> tuple[Outgoing, ...]:
    """Return the entries of the outbox for the files of a result.

    A name that Rucio cannot hold, and that only the payload decided, is an entry too: it tells why.
    """
    found: list[Outgoing] = []
    for name, plan in _publishing(plans, community):
        for place, (one, file) in enumerate(zip(published, files, strict=True)):
            if file.did.scope not in plan.scopes:
                continue
            datasets = [did for did in file.datasets if did.scope in plan.scopes]
            if not plan.datasets:
                datasets = []
            wrong = [why for did in (file.did, *datasets) if (why := wrong_name(str(did)))]
            found.append(
                Outgoing(
                    file=place,
                    rucio=name,
                    storage=file.replicas[0].storage,
                    datasets=tuple(map(str, datasets)),
                    confirm=data.outputs[one.rule].confirm,
                    clash=wrong[0] if wrong else "",
                )
            )
    return tuple(found)


def check_going_out(
    plans: Mapping[str, OutputPlan],
    community: str,
    data: JobData,
    group: str,
    where: str,
    *,
    wrong_name: WrongName,
) -> None:
    """Refuse outputs that go out with names that Rucio cannot hold. Raises Refused.

    What a payload decides itself is checked when the result comes.
    """
    for i, out in enumerate(data.outputs):
        mine = dict(_publishing(plans, community))
        _check_output(mine, out, group, f"{where}.outputs[{i}]", wrong_name)


def _check_output(
    mine: Mapping[str, OutputPlan], out: DataOutput, group: str, where: str, wrong_name: WrongName
) -> None:
    scope = out.did.partition(":")[0] or out.scope or group
    taking = [plan for plan in mine.values() if scope in plan.scopes]
    if not taking:
        if out.confirm:
            right = f"false: no file in rucio/ publishes the scope {scope!r}"
            why = f"{where}.confirm: found true, expected {right}"
            raise Refused(Code.INVALID, why, field=f"{where}.confirm")
        return
    sample = later(1, 1, "x.x" if set(out.pattern) & set("*?[") else out.pattern)
    names = [("did", out.did)] if out.did else [("name", f"{scope}:{finished(out.name, sample)}")]
    dataset = finished(out.dataset, sample)
    for plan in taking:
        if plan.datasets and dataset.partition(":")[0] in plan.scopes:
            names.append(("dataset", dataset))
    for field, name in names:
        if wrong := wrong_name(name):
            raise Refused(Code.INVALID, f"{where}.{field}: {wrong}", field=f"{where}.{field}")


def _publishing(
    plans: Mapping[str, OutputPlan], community: str
) -> Iterator[tuple[str, OutputPlan]]:
    for name, plan in plans.items():
        if plan.community == community and plan.scopes:
            yield name, plan
