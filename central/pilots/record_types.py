"""The records of pilots in the store."""

from typing import Final

from pilotage.proto.pilot_states import PilotState

from ..store.records import Record

MARK: Final = 16  # characters of a nonce's hash that identify the nonce


MARKS_MAX: Final = 32  # nonces that are stored of a pilot


class NewSecret(Record, frozen=True):
    secret_hash: str
    pilot: str
    community: str
    site: str
    element: str
    expires_at: float
    made_by: str
    at: float


class PilotRow(Record, frozen=True):
    pilot: str
    community: str
    site: str
    element: str
    state: PilotState
    session: int
    nonce: str  # of the registration or the last hello
    renewal_hash: str
    host: str
    node: bytes  # JSON of messages.Node
    made_at: float
    registered_at: float | None
    ended_at: float | None
    reason: str
    drain: bool = False  # it was ordered to drain, or has reported that it drains
    told: str = ""  # author and reason of the order to end without waiting for its attempts
    renewals: int = 0  # the number of its renewal secret; 0: the one secret of protocol 1.0
    used: tuple[str, ...] = ()  # marks of the last used nonces, the newest first


class Registration(Record, frozen=True):
    """The use of a secret. The same (secret, nonce) again gives the same pilot."""

    secret_hash: str
    nonce: str
    renewal_hash: str
    host: str
    node: bytes
    at: float
    renewals: int = 0  # the number of its first renewal secret
