"""Error codes that cross the wire, with their HTTP status and what the peer should do."""

import enum


class Code(str, enum.Enum):
    """Stable words; a message for people comes beside them."""

    MALFORMED = "malformed"
    INVALID = "invalid"
    TOO_LARGE = "too_large"
    NO_TOKEN = "no_token"
    BAD_TOKEN = "bad_token"
    EXPIRED_TOKEN = "expired_token"
    FORBIDDEN = "forbidden"
    NOT_FOUND = "not_found"
    NOT_ALLOWED = "method_not_allowed"
    UNSUPPORTED = "unsupported_media_type"
    KEY_REUSED = "key_reused"
    COUNT_CHANGED = "count_changed"
    ILLEGAL_STATE = "illegal_state"
    OLD_SESSION = "old_session"
    OTHER_STORE = "other_store"
    OLD_PROTOCOL = "old_protocol"
    NOT_LEADER = "not_leader"
    TOO_MANY = "too_many_requests"
    STORE_FULL = "store_full"
    UNAVAILABLE = "unavailable"
    INTERNAL = "internal"


STATUS: dict[Code, int] = {
    Code.MALFORMED: 400,
    Code.INVALID: 422,
    Code.TOO_LARGE: 413,
    Code.NO_TOKEN: 401,
    Code.BAD_TOKEN: 401,
    Code.EXPIRED_TOKEN: 401,
    Code.FORBIDDEN: 403,
    Code.NOT_FOUND: 404,
    Code.NOT_ALLOWED: 405,
    Code.UNSUPPORTED: 415,
    Code.KEY_REUSED: 409,
    Code.COUNT_CHANGED: 409,
    Code.ILLEGAL_STATE: 409,
    Code.OLD_SESSION: 409,
    Code.OTHER_STORE: 410,
    Code.OLD_PROTOCOL: 426,
    Code.NOT_LEADER: 421,
    Code.TOO_MANY: 429,
    Code.STORE_FULL: 507,
    Code.UNAVAILABLE: 503,
    Code.INTERNAL: 500,
}
