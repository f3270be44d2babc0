"""Options that several commands share."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, fields
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeVar, get_origin, get_type_hints

import msgspec
from cyclopts import Parameter

from ..client.errors import NoneRuns
from ..client.pace import RealPace, pauses
from .presentation import note
from .units import with_units

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    from ..client.client import AsyncClient

T = TypeVar("T")
STARTING = "the central is still starting"
READING_S = 5.0  # patience of a command that only reads
CHANGING_S = 30.0
UNSEEN_S = 1.0  # `pilotage serve &` needs up to this time until it shows that it starts
SOON_S = 20.0  # patience with a starting central; an old leader's claim ends within 5 s


def option(default: T, help: str) -> T:
    """Return a field of a dataclass of options."""
    found: T = field(default=default, metadata={"help": help})
    return found


@Parameter(name="*")
@dataclass(frozen=True)
@with_units
class CommonOptions:
    """Options of every command that speaks to a central."""

    json: bool = option(False, "Print JSON, for programs: one value on each line.")
    url: str | None = option(
        None,
        "URL of the central (default, in this order: PILOTAGE_URL, PILOTAGE_DATA, the last login,"
        " credentials.json, the local central).",
    )
    data: Path | None = option(
        None, "Data directory of the local central to use, before PILOTAGE_URL and other defaults."
    )
    patience_s: float | None = option(None, "Time to retry while no central answers.")


COMMON = CommonOptions()


def data_folder(given: Path | None) -> Path:
    """Return the given data directory, or the default one of this machine."""
    from ..operate.datadir import default_data

    return given or default_data()


def fills(kind: type[msgspec.Struct], name: str, help: str) -> Any:
    """Return an option that fills a field of a struct, with the default of that field."""
    default = _defaults(kind)[name]
    return field(default=default, metadata={"help": help, "fills": (kind, name)})


def filling(
    kind: type[msgspec.Struct],
    helps: Mapping[str, str],
    *,
    before: str,
    names: Mapping[str, str] = MappingProxyType({}),
) -> Callable[[type[T]], type[T]]:
    """Add an option to a class of options for each field of `kind` that has a help.

    The new options come before the option `before`. An option has the name of its field, unless
    `names` gives another name.
    """

    def fill(options: type[T]) -> type[T]:
        hints = get_type_hints(kind)
        kinds = {names.get(name, name): _typed(hints[name]) for name in helps}
        for name, help in helps.items():
            setattr(options, names.get(name, name), fills(kind, name, help))
        own = list(options.__annotations__.items())
        at = list(options.__annotations__).index(before)
        options.__annotations__ = dict([*own[:at], *kinds.items(), *own[at:]])
        return options

    return fill


def _typed(kind: Any) -> Any:
    """Return the type of an option for a field. Its value is checked when it fills the field."""
    if get_origin(kind) is tuple:
        return tuple[str, ...]
    return kind if kind in (int, bool) else str


@cache
def _defaults(kind: type[msgspec.Struct]) -> dict[str, Any]:
    return {one.name: one.default for one in msgspec.structs.fields(kind)}


def filled_by(options: "type[DataclassInstance]") -> dict[str, tuple[type[msgspec.Struct], str]]:
    """Return the struct and the field that each option fills."""
    return {one.name: one.metadata["fills"] for one in fields(options) if "fills" in one.metadata}


def filled(options: "DataclassInstance", kind: type[msgspec.Struct]) -> dict[str, Any]:
    """Return the fields of `kind` with the values of their options."""
    found = filled_by(type(options)).items()
    return {name: getattr(options, option) for option, (its, name) in found if its is kind}


def run_with(
    common: CommonOptions, work: "Callable[[AsyncClient], Awaitable[T]]", *, patience_s: float
) -> T:
    """Run `work` with a client of the central that the options name, and return its result."""
    import asyncio

    async def within() -> T:
        async with client_of(common, patience_s) as client:
            return await work(client)

    return asyncio.run(within())


class Repeats:
    """Tells the user why a request is repeated, each reason once."""

    def __init__(self) -> None:
        self._said: set[str] = set()

    def __call__(self, why: str, pause_s: float) -> None:
        if why not in self._said:
            self._said.add(why)
            is_starting = why == STARTING
            note(f"{why if is_starting else f'no answer yet ({why})'}: trying again")


@asynccontextmanager
async def client_of(common: CommonOptions, patience_s: float) -> "AsyncGenerator[AsyncClient]":
    """Open a client of the central that the options name, and close it at the end.

    It retries for the seconds in the options, or for `patience_s` seconds by default.
    """
    from ..client.client import AsyncClient

    on_retry = Repeats()

    def opened() -> AsyncClient:
        return AsyncClient(
            common.url,
            data=common.data,
            patience_s=patience_s if common.patience_s is None else common.patience_s,
            on_retry=on_retry,
        )

    async with await once_it_runs(opened, common.patience_s, on_retry) as client:
        yield client


async def once_it_runs(
    opened: Callable[[], T], patience_s: float | None, on_retry: Callable[[str, float], None]
) -> T:
    """Return the result of `opened` once the local central runs. The central may be starting.

    Without an explicit patience it retries for `SOON_S` seconds if a central shows that it starts.
    Else it looks for `UNSEEN_S` seconds, silently. Raises the errors of `opened`.
    """
    pace = RealPace()
    began, is_starting = pace.monotonic(), False
    for pause_s in pauses(pace, longest_s=1.0):
        try:
            return opened()
        except NoneRuns as none:
            is_starting = is_starting or none.soon  # it lets go of its lock for a moment
            unasked_s, why = (SOON_S, STARTING) if is_starting else (UNSEEN_S, "no central runs")
            within_s = unasked_s if patience_s is None else patience_s
            if pace.monotonic() + pause_s > began + within_s:
                raise
        if is_starting or patience_s is not None:
            on_retry(why, pause_s)
        await pace.sleep(pause_s)
    raise AssertionError  # the pauses never end
