"""`pilotage usage` and `pilotage quota`: what counts towards quotas, and the quotas."""

from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter
from cyclopts.validators import Number

from pilotage.proto.api_quotas import Kind, QuotaChange, UsageRow, UsageView

from .exit_codes import Exit
from .options import CHANGING_S, COMMON, READING_S, Common, run_with
from .present import note, number, on_terminal, print_json, print_table

if TYPE_CHECKING:
    from ..client.client import AsyncClient

NOTHING_USED = "nothing is used"
app = App(name="quota", help="Set what a community, a group or an owner may use.")


def usage(*, common: Common = COMMON) -> int:
    """Show the unended jobs and kept bytes that count towards quotas, with the limits."""

    async def work(client: "AsyncClient") -> int:
        _print(await client.usage(), common)
        return Exit.OK

    return run_with(common, work, patience_s=READING_S)


@app.command
def set(
    kind: Kind,
    community: str,
    name: str = "",
    /,
    *,
    jobs: Annotated[
        int | None,
        Parameter(help="Most unended jobs; 0: none (default: no limit).", validator=Number(gte=0)),
    ] = None,
    gb: Annotated[
        float | None,
        Parameter(
            help="Most 10^9 bytes that are kept; 0: none (default: no limit).",
            validator=Number(gte=0),
        ),
    ] = None,
    common: Common = COMMON,
) -> int:
    """Set a quota in place of the one before. NAME is the group or owner as `usage` shows it."""
    if jobs is None and gb is None:
        note("say what the quota is: --jobs, --gb or both; `pilotage quota remove` drops one")
        return Exit.USAGE
    size = None if gb is None else int(gb * 1e9)
    change = QuotaChange(kind=kind, community=community, name=name, jobs=jobs, bytes=size)
    return _change(change, common)


@app.command
def remove(kind: Kind, community: str, name: str = "", /, *, common: Common = COMMON) -> int:
    """Remove a quota. The default from the settings applies again."""
    return _change(QuotaChange(kind=kind, community=community, name=name, remove=True), common)


def _change(change: QuotaChange, common: Common) -> int:
    async def work(client: "AsyncClient") -> int:
        found = await client.set_quota(change)
        key = (change.kind, change.community, change.name)
        rows = [one for one in found.rows if (one.kind, one.community, one.name) == key]
        _print(UsageView(rows=rows), common)
        return Exit.OK

    return run_with(common, work, patience_s=CHANGING_S)


def _print(found: UsageView, common: Common) -> None:
    if common.json:
        print_json(found)
        return
    if not found.rows and not on_terminal():
        note(NOTHING_USED)
    columns = ("community", "kind", "name", "jobs#", "of#", "MB#", "of MB#")
    print_table(columns, [_cells(one) for one in found.rows], empty=NOTHING_USED)


def _cells(one: UsageRow) -> tuple[str, ...]:
    return (
        one.community,
        one.kind,
        one.name,
        number(one.jobs),
        _most(one.jobs_max),
        _mb(one.bytes),
        "no limit" if one.bytes_max is None else _mb(one.bytes_max),
    )


def _most(limit: int | None) -> str:
    return "no limit" if limit is None else number(limit)


def _mb(size: int) -> str:
    return f"{size / 1e6:,.1f}"
