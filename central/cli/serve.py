"""`pilotage serve` and `demo`. The work is done in `operate`."""

from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from cyclopts.validators import Number

from .exit_codes import UsageError

_ROLES = ("api", "dispatch", "agents")


def serve(
    *,
    data: Annotated[Path | None, Parameter(help="Data directory (default: PILOTAGE_DATA).")] = None,
    config: Annotated[
        Path | None, Parameter(help="YAML file with settings (default: PILOTAGE_CONFIG).")
    ] = None,
    host: Annotated[
        str | None, Parameter(help="Address to listen on (default: loopback only).")
    ] = None,
    port: Annotated[
        int | None, Parameter(help="Port of the API.", validator=Number(gte=0, lte=65_535))
    ] = None,
    broker: Annotated[
        str | None, Parameter(help="Message bus: embedded, none, or mqtt://host:port.")
    ] = None,
    roles: Annotated[
        str | None, Parameter(help="Roles of this process: api, dispatch, agents (default: all).")
    ] = None,
    set: Annotated[
        tuple[str, ...], Parameter(help="Any other setting, as section.key=value. Repeatable.")
    ] = (),
) -> int:
    """Run the central until it is stopped. Without options everything is embedded.

    The log goes to standard error, with one JSON object on each line.
    """
    options = parse_settings(set)
    _check_roles(roles)
    named = {"http.host": host, "http.port": port, "bus.broker": broker, "process.roles": roles}
    options |= {key: str(value) for key, value in named.items() if value is not None}

    from ..operate.datadir import default_data

    folder = data or default_data()
    with ExitStack() as whole, ExitStack() as starting:
        if roles is None or "dispatch" in roles.split(","):
            _announce_start(folder, starting, whole)
        from ..operate.serve import ServeOptions, main  # takes a second

        starting.close()
        return main(ServeOptions(data=folder, config=config, options=options))


def _announce_start(folder: Path, starting: ExitStack, whole: ExitStack) -> None:
    """Show commands that a central starts on a data directory.

    A start that is refused before it uses a new directory leaves nothing behind.
    """
    from ..operate.datadir import leads_soon, new_folders

    with suppress(OSError):  # `main` says what is wrong with it
        whole.enter_context(new_folders(folder))
        starting.enter_context(leads_soon(folder))


def _check_roles(roles: str | None) -> None:
    """Raise UsageError if a word is not a role."""
    for word in roles.split(",") if roles is not None else ():
        if word not in _ROLES:
            right = f"expected some of {', '.join(_ROLES)}, separated by commas"
            raise UsageError(f"--roles {roles}: {word!r} is not a role; {right}")


def demo(
    *,
    keep: Annotated[bool, Parameter(help="Leave everything running at the end.")] = False,
    data: Annotated[Path | None, Parameter(help="Data directory (default: a new one).")] = None,
) -> int:
    """Run a demonstration: a central, pilots at four sites, a campaign with faults, its result."""
    from ..operate.demo.run import main

    return main(keep=keep, data=data)


def parse_settings(words: tuple[str, ...]) -> dict[str, str]:
    """Return `section.key=value` pairs. The values are checked when the settings are read."""
    found: dict[str, str] = {}
    for word in words:
        key, sign, value = word.partition("=")
        section, dot, name = key.partition(".")
        if not (sign and dot and section and name):
            raise UsageError(f"--set {word}: expected section.key=value")
        found[key] = value
    return found
