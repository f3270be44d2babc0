"""Logins that answer something fixed, and sessions of browsers."""

from typing import Any

from pilotage.central.identity.logins import session_rows
from pilotage.central.identity.logins.service import (
    Arrival,
    BrowserAnswer,
    BrowserStart,
    Departure,
)
from pilotage.central.identity.logins.session_rows import LoginSession, SessionKind
from pilotage.central.identity.secret_hashes import hashed
from pilotage.proto.api.logins import (
    CodeClaim,
    DeviceStart,
    DeviceStarted,
    LoginClaim,
    LoginPoll,
    LoginState,
    LoginTokens,
    Providers,
    Sessions,
)
from pilotage.proto.claims import Role
from tests.memory_store import MemoryStore

TOKENS = LoginTokens(
    token="t",
    expires_in_s=1_800.0,
    renewal="r",
    session="s1",
    session_ends_at="",
    provider="iam",
    subject="ada",
    name="Ada",
    community="ctao",
    groups=(),
    role=Role.USER,
)


class StubLogins:
    """The login service; it hears through the stub of all services."""

    is_secure = True

    def __init__(self, stub: Any) -> None:
        self._stub, self.sessions = stub, self

    def _hear(self, name: str, caller: Any, what: Any) -> None:
        self._stub.asked.append((name, caller, what))

    async def providers(self) -> Providers:
        self._hear("providers", None, None)
        return Providers(providers=[])

    async def start_device(self, body: DeviceStart, address: str) -> DeviceStarted:
        self._hear("start_device", None, (body, address))
        return DeviceStarted(
            login="l",
            provider="iam",
            user_code="A",
            verification_uri="https://iam.test",
            verification_uri_complete="",
            expires_in_s=600,
            interval_s=5,
        )

    async def poll(self, body: LoginClaim) -> LoginPoll:
        self._hear("poll", None, body)
        return LoginPoll(state=LoginState.DONE, tokens=TOKENS)

    async def claim(self, body: CodeClaim) -> LoginTokens:
        self._hear("claim", None, body)
        return TOKENS

    async def start_browser(self, wanted: BrowserStart, address: str) -> Departure:
        self._hear("start_browser", None, wanted)
        return Departure("https://iam.test/auth", "bound")

    async def arrive(self, answer: BrowserAnswer, cookie: str) -> Arrival:
        self._hear("arrive", None, (answer, cookie))
        return Arrival("/portal", "session")

    # -- sessions --------------------------------------------------------------------------------

    async def renew(self, renewal: str, nonce: str) -> LoginTokens:
        self._hear("renew", None, (renewal, nonce))
        return TOKENS

    async def log_out(self, renewal: str) -> None:
        self._hear("log_out", None, renewal)

    async def list(self, caller: Any, *, after: str = "", limit: int = 1) -> Sessions:
        self._hear("list", caller, (after, limit))
        return Sessions(sessions=[])

    async def end(self, caller: Any, name: str) -> None:
        self._hear("end", caller, name)


async def add_browser(
    store: MemoryStore, cookie: str, now: float, *, role: Role = Role.USER, **changed: Any
) -> LoginSession:
    """Store the session of a browser that has this cookie."""
    fields: dict[str, Any] = {
        "session": f"session of {cookie}",
        "kind": SessionKind.BROWSER,
        "provider": "iam",
        "issuer": "https://iam.test/",
        "subject": "ada",
        "name": "Ada",
        "email": "",
        "community": "ctao",
        "groups": ("prod",),
        "role": role.value,
        "host": "",
        "address": "",
        "created_at": now,
        "ends_at": now + 86_400,
        "used_at": now,
        "checked_at": now,
        "cookie": hashed(cookie),
    }
    row = LoginSession(**fields | changed)
    await store.write(session_rows.add_session, row)
    return row
