"""Error codes that cross the wire, with their HTTP status and what the peer should do."""

import enum


class Code(str, enum.Enum):
    """Stable words; a message for people comes beside them."""

    MALFORMED = "malformed"  # this is not JSON, or not the expected kind of value: correct it
    INVALID = "invalid"  # a field is missing, unknown or out of range: correct it
    TOO_LARGE = "too_large"  # the request is larger than this central takes
    NO_TOKEN = "no_token"  # this needs a token
    BAD_TOKEN = "bad_token"  # the token or secret is forged, revoked or of another central
    EXPIRED_TOKEN = "expired_token"  # the token's time is over: fetch a new one, then repeat
    FORBIDDEN = "forbidden"  # the token is good, but its role does not reach this far
    OVER_QUOTA = "over_quota"  # an owner, group or community has used its quota: make room first
    NOT_FOUND = "not_found"  # there is no such thing, or this token may not see it
    NOT_ALLOWED = "method_not_allowed"  # this path has other methods
    UNSUPPORTED = "unsupported_media_type"  # this path takes another kind of content
    KEY_REUSED = "key_reused"  # the idempotency key belongs to a request with another body
    COUNT_CHANGED = "count_changed"  # another number of jobs matches than was expected: count again
    ILLEGAL_STATE = "illegal_state"  # the state of the thing does not allow this
    OLD_SESSION = "old_session"  # a newer life of this pilot has begun: end at once
    USED_SECRET = "used_secret"  # a later use of the renewal secret has been answered
    OTHER_STORE = "other_store"  # the store was restored: what this pilot holds no longer counts
    OLD_PROTOCOL = "old_protocol"  # this pilot speaks a protocol that is no longer served
    NOT_LEADER = "not_leader"  # another process leads: repeat there
    TOO_MANY = "too_many_requests"  # slow down, then repeat
    STORE_FULL = "store_full"  # the disk is full: nothing new is accepted, nothing is lost; repeat
    UNAVAILABLE = "unavailable"  # not now: repeat
    INTERNAL = "internal"  # a bug: its traceback is in the central's log


STATUS: dict[Code, int] = {
    Code.MALFORMED: 400,
    Code.INVALID: 422,
    Code.TOO_LARGE: 413,
    Code.NO_TOKEN: 401,
    Code.BAD_TOKEN: 401,
    Code.EXPIRED_TOKEN: 401,
    Code.FORBIDDEN: 403,
    Code.OVER_QUOTA: 403,
    Code.NOT_FOUND: 404,
    Code.NOT_ALLOWED: 405,
    Code.UNSUPPORTED: 415,
    Code.KEY_REUSED: 409,
    Code.COUNT_CHANGED: 409,
    Code.ILLEGAL_STATE: 409,
    Code.OLD_SESSION: 409,
    Code.USED_SECRET: 409,
    Code.OTHER_STORE: 410,
    Code.OLD_PROTOCOL: 426,
    Code.NOT_LEADER: 421,
    Code.TOO_MANY: 429,
    Code.STORE_FULL: 507,
    Code.UNAVAILABLE: 503,
    Code.INTERNAL: 500,
}
