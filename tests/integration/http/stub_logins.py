"""Logins that answer something fixed, and sessions of browsers."""

from typing import Any

from pilotage.central.identity.callers import AttemptCaller, User
from pilotage.central.identity.logins.browser_flow import (
    Arrival,
    BrowserAnswer,
    BrowserLogins,
    BrowserStart,
    Departure,
)
from pilotage.central.identity.logins.device_flow import DeviceLogins
from pilotage.central.identity.logins.service import LoginService
from pilotage.central.identity.payload_tokens.service import PayloadTokens
from pilotage.central.identity.secret_hashes import hashed
from pilotage.central.identity.sessions import rows as session_rows
from pilotage.central.identity.sessions.life import LoginSessions
from pilotage.central.identity.sessions.rows import LoginSession, SessionKind
from pilotage.central.jobs.storage_credentials import StorageCredentials
from pilotage.proto.api.logins import (
    CodeClaim,
    DeviceStart,
    DeviceStarted,
    LoginClaim,
    LoginPoll,
    LoginState,
    LoginTokens,
    Providers,
    Renewal,
    Sessions,
)
from pilotage.proto.claims import Role
from pilotage.proto.messages import PayloadTokenReply, PayloadTokenRequest
from pilotage.proto.storages import StorageTokenReply, StorageTokenRequest
from tests.memory_store import MemoryStore

from .stub_calls import Calls, Hearing, override

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


class StubSessions(Hearing, LoginSessions):
    """Renews every session."""

    @override
    async def renew(self, renewal: str, nonce: str, *, address: str = "") -> LoginTokens:
        self.hear("renew", None, (renewal, nonce))
        return TOKENS

    @override
    async def log_out(self, renewal: str, new: str = "") -> None:
        self.hear("log_out", None, (renewal, new))

    @override
    async def list(self, caller: User, *, after: str = "", limit: int = 1) -> Sessions:
        self.hear("list", caller, (after, limit))
        return Sessions(sessions=[])

    @override
    async def end(self, caller: User, name: str) -> None:
        self.hear("end", caller, name)


class StubDeviceLogins(Hearing, DeviceLogins):
    """Lets everybody in."""

    @override
    async def start(self, body: DeviceStart, address: str) -> DeviceStarted:
        self.hear("start_device", None, (body, address))
        return DeviceStarted(
            login="l",
            provider="iam",
            user_code="A",
            verification_uri="https://iam.test",
            verification_uri_complete="",
            expires_in_s=600,
            interval_s=5,
        )

    @override
    async def poll(self, body: LoginClaim) -> LoginPoll:
        self.hear("poll", None, body)
        return LoginPoll(state=LoginState.DONE, tokens=TOKENS)


class StubBrowserLogins(Hearing, BrowserLogins):
    """Lets everybody in."""

    @property
    def is_secure(self) -> bool:
        return True

    @override
    async def claim(self, body: CodeClaim) -> LoginTokens:
        self.hear("claim", None, body)
        return TOKENS

    @override
    async def start(self, wanted: BrowserStart, address: str) -> Departure:
        self.hear("start_browser", None, wanted)
        return Departure("https://iam.test/auth", "bound")

    @override
    async def arrive(
        self, provider: str, answer: BrowserAnswer, cookie: str, held: str = ""
    ) -> Arrival:
        self.hear("arrive", None, (provider, answer, cookie, held))
        return Arrival("/portal", "session")


class StubLogins(Hearing, LoginService):
    """Lets everybody in."""

    def __init__(self, calls: Calls) -> None:
        super().__init__(calls)
        self.sessions = StubSessions(calls)
        self.device, self.browser = StubDeviceLogins(calls), StubBrowserLogins(calls)

    @override
    def providers(self) -> Providers:
        self.hear("providers", None, None)
        return Providers(providers=[])

    @override
    async def renew(self, body: Renewal, address: str = "") -> LoginTokens:
        return await self.sessions.renew(body.renewal, body.nonce, address=address)


class StubPayloadTokens(Hearing, PayloadTokens):
    """Gives every attempt a token."""

    @override
    async def give(self, caller: AttemptCaller, request: PayloadTokenRequest) -> PayloadTokenReply:
        self.hear("give", caller, request)
        return PayloadTokenReply("t", 3_600.0)


class StubStorageCredentials(Hearing, StorageCredentials):
    """Gives every caller a token for a storage."""

    @override
    async def give(
        self, caller: User | AttemptCaller, request: StorageTokenRequest
    ) -> StorageTokenReply:
        self.hear("storage token", caller, request)
        return StorageTokenReply(3_600.0, token="t")


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
