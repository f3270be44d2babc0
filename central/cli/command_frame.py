"""The frame of commands that use a central: options, client, answers and exit code.

A command is an async function. Its first parameter is a client of the central, and the others are
its arguments and options. It returns a `CommandResult`, or yields several (`Answers`):

    @app.command
    @reads
    async def show(client: Client, storage: str, /) -> CommandResult:
        \"""Show one storage.\"""
        return CommandResult(await client.storage(storage), _print)

The frame adds the options of `CommonOptions`, opens the client, and prints each answer at once:
its value as JSON with `--json`, else its words. It returns the greatest exit code of the answers.
`main.run` turns an error into a line and an exit code.

A command that can refuse its command line without a central names its first parameter `central`
instead of `client`. It gets a `CentralConnection`, checks the command line, and then opens the
client.
"""

import functools
import inspect
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack, aclosing
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

from .exit_codes import ExitCode
from .options import CHANGING_S, COMMON, READING_S, CommonOptions, client_of
from .presentation import print_json, print_line

if TYPE_CHECKING:
    from ..client.client import AsyncClient

    Client = AsyncClient
else:
    Client = object  # the module of the client is loaded when a client is opened

P = ParamSpec("P")
T = TypeVar("T")


class CommandResult:
    """A result: `value` for programs, `words` for people, and an exit code.

    The words are a text, or a function that prints the value. Empty words print nothing for people,
    and the value None prints nothing for programs.
    """

    def __init__(
        self, value: T, words: str | Callable[[T], object] = "", code: int = ExitCode.OK
    ) -> None:
        self.value, self.words, self.code = value, words, code

    def print(self, *, json: bool) -> int:
        """Print the result, and return its exit code."""
        if json:
            if self.value is not None:
                print_json(self.value)
        elif callable(self.words):
            self.words(self.value)
        elif self.words:
            print_line(self.words)
        return self.code


Answers = AsyncGenerator[CommandResult]
Made = CommandResult | Answers
CommandWork = Callable[Concatenate[Any, P], Awaitable[Made] | Answers]


class CentralConnection:
    """The central that the options name. Its client is opened on first use."""

    def __init__(self, common: CommonOptions, patience_s: float, stack: AsyncExitStack) -> None:
        self.common, self._patience_s, self._stack = common, patience_s, stack
        self._client: Client | None = None

    @property
    def json(self) -> bool:
        """Whether the answers are printed as JSON."""
        return self.common.json

    async def client(self, *, patience_s: float | None = None) -> Client:
        """Return the client. If `patience_s` is given, it retries for that time."""
        if self._client is None:
            within_s = self._patience_s if patience_s is None else patience_s
            self._client = await self._stack.enter_async_context(client_of(self.common, within_s))
        return self._client


def reads(work: CommandWork[P]) -> Callable[..., int]:
    """Make a command from a function that only reads. Its client retries for a short time."""
    return _framed(work, READING_S)


def changes(work: CommandWork[P]) -> Callable[..., int]:
    """Make a command from a function that changes something, or waits for something."""
    return _framed(work, CHANGING_S)


def run_command(
    common: CommonOptions,
    work: Callable[[CentralConnection], Awaitable[Made] | Answers],
    *,
    patience_s: float,
) -> int:
    """Run `work`, print its answers, and return the greatest exit code."""
    import asyncio

    async def within() -> int:
        async with AsyncExitStack() as stack:
            made = await _made(work(CentralConnection(common, patience_s, stack)))
            return await _print_all(made, json=common.json)

    return asyncio.run(within())


async def _made(work: Awaitable[Made] | Answers) -> Made:
    return work if isinstance(work, AsyncGenerator) else await work


async def _print_all(made: Made, *, json: bool) -> int:
    if isinstance(made, CommandResult):
        return made.print(json=json)
    code = 0
    async with aclosing(made):
        async for answer in made:
            code = max(code, answer.print(json=json))
    return code


def _framed(work: CommandWork[P], patience_s: float) -> Callable[..., int]:
    first, *own = inspect.signature(work).parameters.values()
    is_opened = first.name == "client"

    @functools.wraps(work)
    def command(*arguments: Any, common: CommonOptions = COMMON, **options: Any) -> int:
        async def begin(central: CentralConnection) -> Made:
            given = await central.client() if is_opened else central
            return await _made(work(given, *arguments, **options))

        return run_command(common, begin, patience_s=patience_s)

    shared = inspect.Parameter(
        "common", inspect.Parameter.KEYWORD_ONLY, default=COMMON, annotation=CommonOptions
    )
    shown = [*own, shared]
    command.__annotations__ = {one.name: one.annotation for one in shown}
    vars(command)["__signature__"] = inspect.Signature(shown)
    return command
