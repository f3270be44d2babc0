"""The device flow of logins, for terminals (RFC 8628).

The person opens an address on any device and confirms there, while the command polls.
"""

from functools import partial
from typing import Final

from pilotage.proto.api.logins import DeviceStart, DeviceStarted, LoginClaim, LoginPoll, LoginState
from pilotage.proto.problems import Code

from ...errors import Refused
from ...ports import Clock
from ..providers.oauth import INTERVAL_S, SLOWER_S, GrantEnded, LoginDenied, OAuth, Waiting
from ..providers.provider_files import ProviderEntry
from ..providers.provider_http import BadProvider, ProviderAway
from ..sessions.rows import SessionKind
from .openings import SessionOpenings
from .pending import NoSuchLogin, PendingLogin
from .start_limits import Simultaneous

WAIT_MIN_S: Final = 0.5  # between two polls of a command


class DeviceLogins:
    """Begins device logins, and completes them."""

    def __init__(self, openings: SessionOpenings, oauth: OAuth, clock: Clock) -> None:
        self._openings, self._oauth, self._clock = openings, oauth, clock
        self._starts, self._polls = Simultaneous(), Simultaneous()

    async def start(self, body: DeviceStart, address: str) -> DeviceStarted:
        """Begin a device login. Raises Refused."""
        name, entry = self._openings.provider(body.provider)
        self._check_device_flow(name, entry)
        self._openings.limits.begin(address)
        login = self._openings.pending.add(
            name, SessionKind.COMMAND, address=address, is_device=True, host=body.host
        )
        try:
            with self._starts.one(name):
                codes = await self._oauth.start_device(entry)
        except (ProviderAway, BadProvider) as why:
            self._openings.pending.drop(login)
            self._check_device_flow(name, entry)  # its metadata may have come only now
            self._openings.unable(name, why)
        except BaseException:  # too many at once, or the client went away
            self._openings.pending.drop(login)
            raise
        now = self._clock.monotonic()
        login.device_code = codes.device_code
        login.interval_s = codes.interval or INTERVAL_S
        login.poll_at, login.ends_at = now, min(login.ends_at, now + codes.expires_in)
        return DeviceStarted(
            login=login.handle,
            provider=name,
            user_code=codes.user_code,
            verification_uri=codes.verification_uri,
            verification_uri_complete=codes.verification_uri_complete,
            expires_in_s=login.ends_at - now,
            interval_s=login.interval_s,
        )

    async def poll(self, body: LoginClaim) -> LoginPoll:
        """Return the state of a device login, and its tokens after the confirmation.

        A repeated claim gets the same tokens until they are renewed. Raises Refused, also if the
        person has no rights here, or must choose a community.
        """
        login = self._openings.pending.find(body.login)
        if not login.is_device:  # the code of a browser login needs its verifier
            raise NoSuchLogin
        work = self._openings.work
        if work.is_busy(login.handle):  # anybody may repeat a poll: nobody waits for one
            return self._still_pending(login)
        return await work.alone(login.handle, partial(self._poll, login, body))

    async def _poll(self, login: PendingLogin, body: LoginClaim) -> LoginPoll:
        if login.failed is not None:
            raise login.failed
        if login.person is None and not await self._is_confirmed(login):
            return self._still_pending(login)
        tokens = await self._openings.claimed(login, body.community, body.role)
        return LoginPoll(state=LoginState.DONE, tokens=tokens)

    def _still_pending(self, login: PendingLogin) -> LoginPoll:
        wait_s = max(login.poll_at - self._clock.monotonic(), WAIT_MIN_S)
        return LoginPoll(state=LoginState.PENDING, interval_s=wait_s)

    async def _is_confirmed(self, login: PendingLogin) -> bool:
        """Ask the provider whether the person has confirmed, if it is time to. Raises Refused."""
        now = self._clock.monotonic()
        if now < login.poll_at or not login.device_code:
            return False
        if self._polls.is_full(login.provider):
            return False  # it stays due, so that it has a turn among those that hang
        login.poll_at = now + login.interval_s
        name, entry = self._openings.provider(login.provider)
        try:
            with self._polls.one(login.provider):
                answer = await self._oauth.poll_device(entry, login.device_code)
        except Waiting as why:
            login.interval_s += SLOWER_S if why.slower else 0.0
            return False
        except ProviderAway:
            return False  # the code stays valid: ask again
        except (LoginDenied, GrantEnded, BadProvider) as why:
            login.device_code = ""
            login.failed = self._openings.not_confirmed(name, why)
            raise login.failed from None
        login.device_code = ""  # never used again: a second use would end the whole grant
        await self._openings.person_of(login, entry, answer)
        return True

    def _check_device_flow(self, name: str, entry: ProviderEntry) -> None:
        if not self._oauth.has_device_flow(entry):
            why = f"{name} has no device flow: log in with `pilotage login --browser`"
            raise Refused(Code.ILLEGAL_STATE, why, field="provider")
