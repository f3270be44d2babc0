"""The tokens that running attempts may fetch: their jobs name them."""

from pilotage.proto.problems import Code

from ..errors import Refused
from ..identity.callers import AttemptCaller
from ..identity.payload_tokens.requested_tokens import RequestedToken
from ..store.engine import Store
from . import record as job_records
from .attempt_callers import AttemptCallers
from .definition.rendering import tokens_of


class RequestedTokensOfJobs:
    """Finds the requested tokens of live attempts."""

    def __init__(self, store: Store, attempts: AttemptCallers) -> None:
        self._store, self._attempts = store, attempts

    async def find(self, caller: AttemptCaller, name: str) -> RequestedToken:
        """Return the requested token of this name.

        Raises Refused: NOT_FOUND, or as `AttemptCallers.lease` does.
        """
        lease = self._attempts.live_lease(caller)
        owner = self._attempts.holder_of(lease)
        bodies = await self._store.read(job_records.bodies, [lease.job])
        body = bodies.get(lease.job)
        wanted = tokens_of(body.template, body.body) if body is not None else {}
        if name not in wanted:
            known = ", ".join(wanted) or "none"
            why = f"job {lease.job} requests no token {name!r}; its tokens: {known}"
            raise Refused(Code.NOT_FOUND, why, field="name")
        return RequestedToken(
            community=owner.community,
            issuer=owner.issuer,
            subject=owner.subject,
            audience=wanted[name].audience,
            scopes=wanted[name].scopes,
        )
