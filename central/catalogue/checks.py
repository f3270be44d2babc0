"""Checks of a job's data that need no look at the catalogue. Pure.

A text with braces is checked only after its parameters are filled in.
"""

import re
from typing import Final

from pilotage.proto.catalogue import (
    BadCatalogueField,
    Did,
    check_name,
    check_scope,
    checked_metadata,
    parse_query,
)
from pilotage.proto.documents.job import DataInput, DataOutput, JobData
from pilotage.proto.problems import Code

from ..errors import Refused
from .placeholders import finished, later, wrong_braces
from .rights import WriteScope, of_group

INPUTS_MAX: Final = 10_000  # files of one job


def check_data(data: JobData, where: str, *, filled: bool = False) -> None:
    """Refuse data with invalid names, queries or paths. Raises Refused with the field.

    `filled` says that the parameters are filled in; then the remaining braces are literal.
    """
    try:
        for i, one in enumerate(data.inputs):
            _check_input(one, f"{where}.inputs[{i}]", filled)
        for i, out in enumerate(data.outputs):
            _check_output(out, f"{where}.outputs[{i}]", filled)
    except BadCatalogueField as why:
        raise refused(why) from None


def check_filled(data: JobData, where: str) -> None:
    """Check data whose parameters are filled in. Only later placeholders may still have braces."""
    check_data(data, where, filled=True)
    for i, out in enumerate(data.outputs):
        at = f"{where}.outputs[{i}]"
        later = [("name", out.name), ("dataset", out.dataset)]
        later += [
            (f"metadata.{key}", value)
            for key, value in out.metadata.items()
            if isinstance(value, str)
        ]
        for name, text in later:
            wrong = wrong_braces(text)
            if wrong:
                raise _wrong(f"{at}.{name}", text, wrong)
        if not out.did:
            _check_named(out, f"{at}.name")


def check_scope_of(out: DataOutput, group: str, where: str) -> None:
    """Refuse a scope or a dataset of another group, if the scope is already known."""
    for field, scope in (("scope", out.scope), ("dataset", out.dataset.partition(":")[0])):
        if scope and not _may_become_of(scope, group):
            right = f"found {scope!r}, expected a scope of the job's group: {group}, or {group}.…"
            text = f"{where}.{field}: {right}"
            raise Refused(Code.INVALID, text, field=f"{where}.{field}")


def _may_become_of(scope: str, group: str) -> bool:
    """Return whether a scope belongs to the group, or can after its braces are filled in."""
    if _is_plain(scope):
        return of_group(scope, group)
    begins = re.split("[{}]", scope, maxsplit=1)[0]
    return begins.startswith(f"{group}.") or f"{group}.".startswith(begins)


def check_scopes(data: JobData, group: str, writing: WriteScope, where: str) -> None:
    """Refuse outputs in a scope in which the job's owner may not write. Raises Refused."""
    for i, out in enumerate(data.outputs):
        if out.did:  # one more copy of an existing file, which must have the same bytes
            continue
        scopes = [("scope", out.scope or group)]
        if out.dataset:
            scopes.append(("dataset", out.dataset.partition(":")[0]))
        for name, scope in scopes:
            if not writing.takes(scope):
                field = f"{where}.outputs[{i}].{name}"
                why = f"{field}: expected {writing.refusal(scope)}"
                raise Refused(Code.FORBIDDEN, why, field=field)


def refused(why: BadCatalogueField) -> Refused:
    """Return the refusal for an invalid field of the catalogue."""
    return Refused(Code.INVALID, str(why), field=why.field)


def _check_input(one: DataInput, where: str, filled: bool) -> None:
    if bool(one.did) == bool(one.query):
        raise Refused(Code.INVALID, f"{where}: give either did or query", field=where)
    if one.did and (filled or _is_plain(one.did)):
        Did.parse(one.did, f"{where}.did")
    if one.query:
        parse_query(one.query, f"{where}.query")
    if filled or _is_plain(one.to):
        parts = [part for part in one.to.split("/") if part not in ("", ".")]
        if one.to.startswith("/") or ".." in parts or parts[:1] == [".pilotage"]:
            why = "must be a folder inside the job's folder, without '..', and not .pilotage"
            raise _wrong(f"{where}.to", one.to, why)


def _check_output(out: DataOutput, where: str, filled: bool) -> None:
    if not {"", ".", ".."}.isdisjoint(out.pattern.split("/")):
        why = (
            "must be a path inside the job's folder, whose parts are neither empty nor '.' nor '..'"
        )
        raise _wrong(f"{where}.pattern", out.pattern, why)
    if out.did:
        if out.scope or out.dataset or out.metadata:
            text = f"{where}.did: a copy of an existing file takes no scope, dataset or metadata"
            raise Refused(Code.INVALID, text, field=f"{where}.did")
        if filled or _is_plain(out.did):
            Did.parse(out.did, f"{where}.did")
    if out.scope and (filled or _is_plain(out.scope)):
        check_scope(out.scope, f"{where}.scope")
    if out.dataset and _is_plain(out.dataset):
        Did.parse(out.dataset, f"{where}.dataset")
    checked_metadata(out.metadata, f"{where}.metadata")


def _check_named(out: DataOutput, where: str) -> None:
    """Refuse an output name that is invalid for every file that the pattern can match."""
    file = "x.x" if set(out.pattern) & set("*?[") else out.pattern
    try:
        check_name(finished(out.name, later(1, 1, file)), where)
    except BadCatalogueField as why:
        raise refused(why) from None


def _is_plain(text: str) -> bool:
    return "{" not in text and "}" not in text


def _wrong(field: str, value: str, why: str) -> Refused:
    return Refused(Code.INVALID, f"{field}: {value[:200]!r}: {why}", field=field)
