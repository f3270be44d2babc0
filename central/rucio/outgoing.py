"""Which published files go out to Rucio, and whether Rucio can hold their names. Pure."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

from pilotage.proto.documents.job import DataOutput, JobData
from pilotage.proto.problems import Code
from pilotage.proto.storages import Published

from ..catalogue.placeholders import finished, later
from ..catalogue.record_types import NewFile
from ..errors import Refused
from .files import RucioEntry
from .names import wrong_key, wrong_name
from .outbox_record import Outgoing

PATTERN: Final = frozenset("*?[{")  # such a pattern leaves the name of the file open

RucioEntries = Callable[[], Mapping[str, RucioEntry]]  # the servers in force, by name


def no_servers() -> Mapping[str, RucioEntry]:
    """Return no servers: nothing goes out."""
    return {}


def going_out(
    servers: Mapping[str, RucioEntry],
    community: str,
    data: JobData,
    published: Sequence[Published],
    files: Sequence[NewFile],
) -> tuple[Outgoing, ...]:
    """Return the entries of the outbox for the files of a result.

    A name that Rucio cannot hold, and that only the payload decided, is an entry too: it tells why.
    """
    found: list[Outgoing] = []
    for name, server in _taking(servers, community):
        for place, (one, file) in enumerate(zip(published, files, strict=True)):
            if file.did.scope not in server.outputs.scopes:
                continue
            datasets = [did for did in file.datasets if _has_dataset(server, did.scope)]
            dids = map(str, (file.did, *datasets))
            found.append(
                Outgoing(
                    file=place,
                    rucio=name,
                    storage=file.replicas[0].storage,
                    datasets=tuple(map(str, datasets)),
                    confirm=data.outputs[one.rule].confirm,
                    clash=next(filter(None, (wrong_name(did, server.strip) for did in dids)), ""),
                )
            )
    return tuple(found)


def check_going_out(
    servers: Mapping[str, RucioEntry], community: str, data: JobData, group: str, where: str
) -> None:
    """Refuse outputs that go out with names that Rucio cannot hold. Raises Refused.

    The data may be those of a template. Names that depend on values of its tasks, or that the
    payload decides, are checked again when the result comes.
    """
    mine = [server for _, server in _taking(servers, community)]
    for i, out in enumerate(data.outputs):
        _check_output(mine, out, group, f"{where}.outputs[{i}]")


class _Sample(dict[str, str]):
    """Values of placeholders; a good one for each that is not known yet."""

    def __missing__(self, key: str) -> str:
        return "1"


def _check_output(servers: Sequence[RucioEntry], out: DataOutput, group: str, where: str) -> None:
    sample = _Sample(later(1, 1, "x.x" if PATTERN & set(out.pattern) else out.pattern))
    scope = out.did.partition(":")[0] or out.scope or group
    if "{" in scope:
        return  # each task has a scope of its own
    taking = [server for server in servers if scope in server.outputs.scopes]
    if out.confirm and not taking:
        right = f"false: no file in rucio/ publishes the scope {scope!r}"
        why = f"{where}.confirm: found true, expected {right}"
        raise Refused(Code.INVALID, why, field=f"{where}.confirm")
    if out.did:
        return  # the file exists, so its name is not chosen here
    if taking and (wrong := wrong_key(out.metadata)):
        field = f"{where}.{wrong.partition(':')[0]}"
        raise Refused(Code.INVALID, f"{where}.{wrong}", field=field)
    name, dataset = f"{scope}:{finished(out.name, sample)}", finished(out.dataset, sample)
    for server in taking:
        theirs = _has_dataset(server, dataset.partition(":")[0])
        for field, did in (("name", name), *([("dataset", dataset)] if theirs else ())):
            if wrong := wrong_name(did, server.strip):
                raise Refused(Code.INVALID, f"{where}.{field}: {wrong}", field=f"{where}.{field}")


def _has_dataset(server: RucioEntry, scope: str) -> bool:
    return server.outputs.datasets and scope in server.outputs.scopes


def _taking(servers: Mapping[str, RucioEntry], community: str) -> Iterator[tuple[str, RucioEntry]]:
    for name, server in servers.items():
        if server.community == community and server.outputs.scopes:
            yield name, server
