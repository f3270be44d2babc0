"""The common base of all bodies of the HTTP API."""

from collections.abc import Collection, Mapping

import msgspec


class RequestStruct(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """From a submitter: unknown fields are refused."""


class ReplyStruct(msgspec.Struct, frozen=True, kw_only=True):
    """From the central: clients ignore unknown fields."""


def check_fields(
    body: msgspec.Struct,
    action: str,
    fields: Mapping[str, Collection[str]],
    common: Collection[str],
) -> None:
    """Raise ValueError if `body` sets a field that its action does not have.

    `fields` maps each action to its fields, besides the `common` ones. A field that holds its
    default counts as not set.
    """
    for one in msgspec.structs.fields(body):
        if one.name in common or one.name in fields.get(action, ()):
            continue
        if getattr(body, one.name) != one.default:
            able = [name for name, its in fields.items() if one.name in its]
            raise ValueError(
                f"{one.name}: {action} has no such field, only {', '.join(able)}: nothing was done"
            )
