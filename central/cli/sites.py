"""`pilotage site …`."""

from typing import TYPE_CHECKING, Annotated, Final

from cyclopts import App, Parameter
from cyclopts.validators import Number

from pilotage.proto.api.sites import CheckState, ElementCheck, SiteActionName, SiteCheck, SiteDetail

from .command_frame import CentralConnection, Client, CommandResult, changes, reads
from .exit_codes import ExitCode
from .presentation import aligned, note, print_line, print_table
from .units import with_unit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from pilotage.proto.api.sites import Elements, ElementView, HostView, Sites, SiteView


app = App(name="site", help="Show, check, ban, drain and enable sites.")

ReasonOption = Annotated[str, Parameter(help="Reason, shown with the site.")]
ElementOption = Annotated[str, Parameter(help="Only this compute element of the site.")]


@app.command(name="list")
@reads
async def list_sites(client: Client) -> CommandResult:
    """List sites with their pilots, cores and jobs.

    For sites with files, `wanted %` is the share of all pilot time that the pledge gives the site,
    and `had %` the share since the central started. `error %` is the difference.
    """
    return CommandResult(await client.sites(), _print_sites)


def _print_sites(found: "Sites") -> None:
    columns: tuple[str, ...] = _FIGURES
    rows: list[tuple[object, ...]] = [_figures(one) for one in found.sites]
    if any(one.pledge is not None or one.trouble for one in found.sites):
        columns = (columns[0], *_SHARES, *columns[1:])
        rows = [
            (row[0], *_shares(one), *row[1:]) for row, one in zip(rows, found.sites, strict=True)
        ]
    print_table(columns, rows, empty="there are no sites")
    print_communities(found.sites)
    for line in (*bans(found.sites), *_troubles(found.sites)):
        print_line(line)


@app.command
@reads
async def show(client: Client, site: str, /) -> CommandResult:
    """Show everything about a site."""
    return CommandResult(await client.site(site), _print_site)


def _limiting(action: SiteActionName, help: str) -> "Callable[..., int]":
    async def act(
        client: Client,
        site: str,
        /,
        *,
        element: ElementOption = "",
        reason: ReasonOption = "",
    ) -> CommandResult:
        found = await client.act_on_site(site, action, element=element, reason=reason)
        return CommandResult(found, _print_done)

    act.__doc__ = help
    return changes(act)


for _action, _help in {
    SiteActionName.BAN: (
        "Start only jobs of type Test at a site. Running jobs continue, even after a restart."
    ),
    SiteActionName.DRAIN: "Send a site no new pilots. Its pilots finish their jobs, and end."
    "\n\nThe central cancels its queued pilots, a few at a time.",
}.items():
    app.command(_limiting(_action, _help), name=_action.value)


@app.command
@changes
async def enable(
    client: Client,
    site: str,
    /,
    *,
    element: ElementOption = "",
    host: Annotated[str, Parameter(help="Lift only the suspension of this host.")] = "",
    reason: ReasonOption = "",
) -> CommandResult:
    """Lift a ban or a drain of a site, its elements included.

    It also lifts suspensions of hosts and elements that fail many jobs; with --host, only that of
    one host. Bans in the setting matcher.banned stay. Pilots that are draining still end.
    """
    action = SiteActionName.ENABLE
    found = await client.act_on_site(site, action, element=element, host=host, reason=reason)
    if host:
        return CommandResult(found, f"host {host} of {site} gets jobs again")
    return CommandResult(found, lambda found: _print_done(found, still_disabled(found, element)))


def _print_done(found: SiteDetail, more: "Sequence[str]" = ()) -> None:
    said = (*bans([found.view]), *_troubles([found.view]), *more)
    for line in said or [f"{found.view.site} is enabled"]:
        print_line(line)
    if found.told:
        note(f"{found.told} {'pilot' if found.told == 1 else 'pilots'} will end")


@app.command
@changes
async def check(
    central: CentralConnection,
    site: str,
    /,
    *,
    element: ElementOption = "",
    timeout_s: Annotated[
        float,
        with_unit(
            "timeout_s", help="Time to wait for all steps.", validator=Number(gte=5, lte=86_400)
        ),
    ] = 600.0,
) -> CommandResult:
    """Submit a probe pilot to each element of a site, and report each step.

    The steps are reach, credential, authorise, submit, start, register, ask and end. The check
    ignores pauses and bans, and uses one pilot beyond the limits. It cancels a pilot that comes too
    late. The exit code is 1 if a step failed. With --json, it prints one line at the end.
    """
    client = await central.client()
    told: set[tuple[str, str]] = set()
    found: SiteCheck | None = None
    async for found in client.check_site(site, element=element, timeout_s=timeout_s):
        for one in found.elements if not central.json else ():
            print_check(one, told)
    assert found is not None
    return CommandResult(found, _print_ends, ExitCode.OK if found.ok else ExitCode.FAILED)


def print_check(check: ElementCheck, told: set[tuple[str, str]]) -> None:
    """Print the steps that have ended since the last look."""
    if check.held and (check.element, "") not in told:
        told.add((check.element, ""))
        note(f"{check.element} is {check.held}: it gets no pilots for jobs, only this probe")
    for step in check.steps:
        key = (check.element, step.step)
        if step.state not in (CheckState.OK, CheckState.FAILED) or key in told:
            continue
        told.add(key)
        took = "" if step.took_s is None else f"{step.took_s:.1f} s"
        print_line(f"{check.element:<12} {step.step:<11} {step.state.value:<6} {took:>8}")
        if step.why:
            print_line(f"{'':<12} {step.why}")
        if step.do:
            print_line(f"{'':<12} → {step.do}")


def _print_ends(found: SiteCheck) -> None:
    for one in found.elements:
        _print_end(one)


def _print_end(check: ElementCheck) -> None:
    failed = [one.step for one in check.steps if one.state is CheckState.FAILED]
    if not failed:
        print_line(f"{check.element:<12} works: pilots start, ask for jobs and end")
        return
    pilot = f", pilot {check.pilot}" if check.pilot else ""
    print_line(f"{check.element:<12} failed at {failed[0]}{pilot}")
    if check.said:
        print_line(f"{'':<12} last lines of its script:")
        for line in check.said.splitlines()[-_LINES_MAX:]:
            print_line(f"{'':<12} | {line}")


def _print_site(found: SiteDetail) -> None:
    view = found.view
    facts: list[tuple[str, object]] = [
        ("site", view.site),
        ("state", _state(view)),
        ("contact", found.contact or "-"),
        ("pledge", "in no file" if view.pledge is None else pledge_in_words(view.pledge)),
        ("share wanted", _percent(view.share_wanted)),
        ("share had", _percent(view.share_had)),
        ("pilots", ", ".join(f"{count} {state}" for state, count in found.states.items()) or "-"),
        ("cores", f"{view.cores}, {view.cores_free} free"),
        ("jobs", f"{view.running} running, {view.done} done, {view.failed} failed"),
    ]
    print_line(aligned(facts, 14))
    for mark in found.marks:
        why = f": {mark.reason}" if mark.reason else ""
        at = f" at {mark.at}" if mark.at else ""
        print_line(f"{mark.place} is {mark.mark}, set by {mark.who}{at}{why}")
    for line in (*_troubles([view]), *map(hole, found.hosts)):
        print_line(line)
    print_communities([view])
    if found.elements:
        print_elements(found.elements)


@app.command(name="elements")
@reads
async def list_elements(client: Client) -> CommandResult:
    """List the compute elements to which the central submits, with their problems."""
    return CommandResult(await client.elements(), _print_elements)


def _print_elements(found: "Elements") -> None:
    print_elements(found.elements)
    if found.unmet_jobs:
        jobs = "1 waiting job" if found.unmet_jobs == 1 else f"{found.unmet_jobs} waiting jobs"
        why = "`pilotage explain JOB` says why"
        print_line(f"in its last round the factory found no element for {jobs}: {why}")


def print_elements(elements: "list[ElementView]") -> None:
    """Print a table of elements, and their problems below it."""
    rows = (
        (
            *(one.site, one.element, one.kind or "not in force"),
            *(_known(one.pilots), _known(one.queued)),
            *(one.pilots_max, pledge_in_words(one.pledge), round(one.paused_s)),
            "fault" if one.credential_fault else _left(one.credential_left_s),
        )
        for one in elements
    )
    columns = (
        *("site", "element", "kind", "pilots#", "queued#", "most#", "pledge#"),
        *("paused s#", "credential#"),
    )
    print_table(
        columns,
        rows,
        empty="the central has read no site files: see docs/operations/sites.md",
    )
    for one in elements:
        if one.held:
            print_line(f"{one.site}/{one.element}: {_HELD.get(one.held, one.held)}")
        if one.trouble:
            print_line(f"{one.site}/{one.element}: {one.trouble}".replace("/: ", ": "))


def print_communities(sites: "list[SiteView]") -> None:
    """Print the pilots of each community at the sites, if a site has several communities."""
    if all(len(one.communities) < 2 for one in sites):
        return
    rows = (
        (one.site, its.community, its.pilots, *_errors(its.share_wanted, its.share_had))
        for one in sites
        for its in one.communities
    )
    print_table(("site", "community", "pilots#", *_SHARES[2:]), rows, empty="")


def hole(one: "HostView") -> str:
    """Describe the suspension of a host or an element at which jobs fail at once."""
    what = f"host {one.host}" if one.host else f"element {one.element}"
    left = f", until a trial in {one.left_s:.0f} s" if one.left_s else ""
    return (
        f"{what} is {_HOLES.get(one.state, one.state)}{left}: {one.jobs} jobs of {one.owners} "
        f"owners failed at once; the last failure: {one.reason}"
    )


def _known(count: int | None) -> str:
    return "?" if count is None else str(count)


def pledge_in_words(pledge: float) -> str:
    """Return a pledge with at most three decimal places: 0.333."""
    return f"{pledge:.3f}".rstrip("0").rstrip(".")


def _left(seconds: float | None) -> str:
    """Return for how long a credential is valid."""
    if seconds is None:
        return "-"
    if seconds <= 0:
        return "expired"
    for unit, name in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= 2 * unit:
            return f"{int(seconds // unit)} {name}"
    return f"{int(seconds)} s"


def bans(sites: "Iterable[SiteView]") -> list[str]:
    """Return lines about the banned and the draining sites and elements."""
    said: list[str] = []
    for one in sites:
        for whole, elements, mark in (
            (one.banned, one.banned_elements, "banned"),
            (one.draining, one.draining_elements, "draining"),
        ):
            places = [one.site] if whole else [f"{one.site}/{name}" for name in elements]
            said += [f"{place} is {_HELD[mark]}" for place in places]
    return said


def still_disabled(found: SiteDetail, element: str) -> list[str]:
    """Return lines about elements that stay disabled, because their file disables them."""
    return [
        f"{one.site}/{one.element} is {_HELD[one.held]}"
        for one in found.elements
        if one.held == "disabled" and element in ("", one.element)
    ]


_HELD: Final = {
    "banned": "banned: only jobs of type Test run there",
    "draining": "draining: it gets no new pilots, and its pilots end after their jobs",
    "disabled": "disabled in its file: it gets no pilots",
}
_HOLES: Final = {
    "suspended": "suspended: it gets no jobs",
    "canary": "on trial: it gets one job at a time",
    "reported": "reported: it still gets jobs, because too few others are left",
}
_FIGURES: Final = ("site", "pilots#", "cores#", "free#", "running#", "done#", "failed#")
_SHARES: Final = ("state", "pledge#", "wanted %#", "had %#", "error %#")
_LINES_MAX: Final = 20


def _figures(one: "SiteView") -> tuple[object, ...]:
    return (one.site, one.pilots, one.cores, one.cores_free, one.running, one.done, one.failed)


def _shares(one: "SiteView") -> tuple[object, ...]:
    pledge = "-" if one.pledge is None else pledge_in_words(one.pledge)
    return (_state(one), pledge, *_errors(one.share_wanted, one.share_had))


def _errors(wanted: float | None, had: float | None) -> tuple[str, ...]:
    error = None if wanted is None or had is None else had - wanted
    return tuple(map(_percent_number, (wanted, had, error)))


def _state(one: "SiteView") -> str:
    if not one.enabled:
        return "disabled" if one.pledge is not None else "not read"
    if one.draining:
        return "draining"
    if one.banned:
        return "banned"
    return "partly" if one.draining_elements or one.banned_elements else "enabled"


def _percent_number(part: float | None) -> str:
    return "-" if part is None else f"{100 * part:.1f}"


def _percent(part: float | None) -> str:
    return "-" if part is None else f"{100 * part:.1f} %"


def _troubles(sites: "Iterable[SiteView]") -> list[str]:
    return [f"{one.site}: {one.trouble}" for one in sites if one.trouble]
