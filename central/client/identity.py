"""The methods of `AsyncClient` for tokens, sessions and identities."""

from urllib.parse import quote

from pilotage.proto.api.jobs import PAGE_MAX
from pilotage.proto.api.logins import Sessions, SessionView
from pilotage.proto.api.tokens import TokenIssue, TokenIssued, Tokens, TokenView, WhoAmI

from .transport import Transport


class IdentityCalls:
    """The methods of the client for tokens, sessions and identities."""

    _transport: Transport

    async def issue_token(self, request: TokenIssue) -> TokenIssued:
        """Issue a token. It cannot have more rights than the token of the caller."""
        return await self._transport.ask(
            TokenIssued, "POST", "/v1/tokens", body=request, again=False
        )

    async def tokens(self) -> Tokens:
        """Return the issued tokens, without the secrets."""
        found: list[TokenView] = []
        after: str | None = ""
        while after is not None:
            query = [("limit", str(PAGE_MAX)), *([("after", after)] if after else [])]
            page = await self._transport.ask(Tokens, "GET", "/v1/tokens", query=query)
            found += page.tokens
            after = page.after
        return Tokens(tokens=found)

    async def revoke_token(self, jti: str) -> None:
        """Revoke a token. The central refuses it from now on."""
        await self._transport.ask(object, "DELETE", f"/v1/tokens/{quote(jti, safe='')}")

    async def whoami(self) -> WhoAmI:
        """Return the identity of the caller."""
        return await self._transport.ask(WhoAmI, "GET", "/v1/whoami")

    async def sessions(self) -> Sessions:
        """Return the sessions of people who logged in, newest first."""
        found: list[SessionView] = []
        after: str | None = ""
        while after is not None:
            query = [("limit", str(PAGE_MAX)), *([("after", after)] if after else [])]
            page = await self._transport.ask(Sessions, "GET", "/v1/sessions", query=query)
            found += page.sessions
            after = page.after
        return Sessions(sessions=found)

    async def end_session(self, session: str) -> None:
        """End a session. The central refuses its tokens from now on."""
        await self._transport.ask(object, "DELETE", f"/v1/sessions/{quote(session, safe='')}")
