"""Error codes of the protocol, with their HTTP status and the reaction of the peer."""

import enum


class Code(str, enum.Enum):
    """Stable error codes. A message for people comes beside each."""

    MALFORMED = "malformed"  # not JSON, or not the expected kind of value: correct it
    INVALID = "invalid"  # a field is missing, unknown or out of range: correct it
    TOO_LARGE = "too_large"  # the request is larger than this central accepts
    NO_TOKEN = "no_token"  # the request needs a token
    BAD_TOKEN = "bad_token"  # the token or secret is forged, revoked or from another central
    EXPIRED_TOKEN = "expired_token"  # the token has expired: fetch a new one, then repeat
    FORBIDDEN = "forbidden"  # the token is valid, but lacks the right
    BANNED = "banned"  # an operator has banned the person: ask the one that the message names
    OVER_QUOTA = "over_quota"  # an owner, group or community has used its quota: free some first
    NOT_FOUND = "not_found"  # it does not exist, or this token may not see it
    NOT_ALLOWED = "method_not_allowed"  # this path has other methods
    UNSUPPORTED = "unsupported_media_type"  # this path takes another content type
    KEY_REUSED = "key_reused"  # the idempotency key belongs to a different request
    COUNT_CHANGED = "count_changed"  # the number of matching jobs has changed: count again
    ILLEGAL_STATE = "illegal_state"  # the current state does not allow this
    OLD_SESSION = "old_session"  # a newer session of this pilot exists: end at once
    USED_SECRET = "used_secret"  # a later use of the renewal secret was answered
    OTHER_STORE = "other_store"  # the store was restored: this pilot's attempts no longer count
    OLD_PROTOCOL = "old_protocol"  # this version of the protocol is no longer supported
    NOT_LEADER = "not_leader"  # another process leads: repeat the request there
    TOO_MANY = "too_many_requests"  # slow down, then repeat
    STORE_FULL = "store_full"  # the disk is full and nothing is lost: repeat later
    UNAVAILABLE = "unavailable"  # not available now: repeat later
    INTERNAL = "internal"  # a bug; the central's log has the traceback


STATUS: dict[Code, int] = {
    Code.MALFORMED: 400,
    Code.INVALID: 422,
    Code.TOO_LARGE: 413,
    Code.NO_TOKEN: 401,
    Code.BAD_TOKEN: 401,
    Code.EXPIRED_TOKEN: 401,
    Code.FORBIDDEN: 403,
    Code.BANNED: 403,
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
