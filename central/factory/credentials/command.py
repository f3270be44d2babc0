"""A credential that a program prints: `oidc-token NAME`, `htgettoken`, a script of the site.

The program runs again after three quarters of a credential's life, but at most once a minute.
"""

from typing import Annotated

import msgspec
from msgspec import Meta

from ...ports import Clock
from ..commands import CommandNotStarted, CommandOutcomeUnknown, Commands
from ..credential import Credential
from ..errors import CredentialExpired
from ..redaction import struck
from .files import fresh

KEPT_PART = 0.75
KEPT_S = 300.0  # for a credential without a known end
AGAIN_S = 60.0


class CommandOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The options of the source `command`."""

    argv: Annotated[tuple[str, ...], Meta(min_length=1, max_length=64)]
    environment: dict[str, str] = {}
    timeout_s: Annotated[float, Meta(gt=0, le=600)] = 30.0


class CommandSource:
    """Gets the credential from one program."""

    def __init__(self, options: CommandOptions, commands: Commands, clock: Clock) -> None:
        self._options, self._commands, self._clock = options, commands, clock
        self._kept: Credential | None = None
        self._again_at = 0.0  # clock.wall()

    async def current(self) -> Credential:
        """Return the last output of the program, or run it again. Raises CredentialExpired."""
        now = self._clock.wall()
        if self._kept is None or now >= self._again_at:
            try:
                self._kept = await self._run()
            except CredentialExpired:
                if self._kept is None:
                    raise
                self._again_at = now + AGAIN_S
            else:
                until = self._kept.expires_at
                kept_s = KEPT_S if until is None else KEPT_PART * (until - now)
                self._again_at = now + max(AGAIN_S, kept_s)
        return fresh(self._kept.text, self._options.argv[0], self._clock)

    async def _run(self) -> Credential:
        options, name = self._options, self._options.argv[0]
        try:
            done = await self._commands.run(
                options.argv, environment=options.environment, timeout_s=options.timeout_s
            )
        except (CommandOutcomeUnknown, CommandNotStarted) as why:
            raise CredentialExpired(str(why)) from None
        text = done.text.strip()
        if done.code != 0 or not text:
            message = done.err.decode("utf-8", "replace")  # stdout may hold the credential
            words = " ".join(struck(message, text.split()).split())[-500:] or "without a message"
            raise CredentialExpired(f"{name}: exit code {done.code}: {words}")
        return fresh(text, name, self._clock)
