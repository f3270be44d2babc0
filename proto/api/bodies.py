"""What all bodies of the HTTP API have in common."""

from collections.abc import Collection, Mapping

import msgspec


class RequestStruct(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """From a submitter: unknown fields are refused."""


class ReplyStruct(msgspec.Struct, frozen=True, kw_only=True):
    """From the central: clients ignore what they do not know."""


def check_fields(
    body: msgspec.Struct,
    action: str,
    fields: Mapping[str, Collection[str]],
    common: Collection[str],
) -> None:
    """Raise ValueError where `body` has a field that its action does not have, named first.

    `fields` are those of each action, besides the `common` ones. What has the value that it would
    have anyway says nothing, and is taken.
    """
    for one in msgspec.structs.fields(body):
        if one.name in common or one.name in fields.get(action, ()):
            continue
        if getattr(body, one.name) != one.default:
            able = [name for name, its in fields.items() if one.name in its]
            raise ValueError(
                f"{one.name}: {action} has no such field, only {', '.join(able)}: nothing was done"
            )
