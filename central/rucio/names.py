"""Names of files and datasets here and in Rucio: which both can hold, and how they translate.

A name here is Rucio's name without a prefix that the operator chose (`strip`), so that both ways
are exact. The forms are those of Rucio's schema `generic` (`lib/rucio/common/schema/generic.py`).
"""

import re
from collections.abc import Iterable
from typing import Final

from pilotage.proto.catalogue import BadCatalogueField, Did

_SCOPE: Final = re.compile(r"[a-zA-Z_\-.0-9]{1,25}")
_NAME: Final = re.compile(r"[/A-Za-z0-9][/A-Za-z0-9.\-_]{0,249}")
_FORM: Final = (
    "a name that Rucio can hold: SCOPE:NAME with at most 25 letters, digits, '_', '-', '.' in the "
    "scope, and at most 250 of these and '/' in the name, the first no '_', '-' or '.'"
)
# Keys of Rucio 41 itself (`RESERVED_KEYS` in `lib/rucio/common/constants.py`, and columns in
# `lib/rucio/core/did_meta_plugins/did_column_meta.py`): it refuses them, or acts on them. So
# `lifetime` would make it delete the file.
_ITS_OWN: Final = re.compile(
    "access_cnt|accessed_at|account|adler32|availability|closed_at|complete|constituent|"
    "created_(after|at|before)|deleted_at|did_type|eol_at|expired_at|hidden|is_(archive|new|open)|"
    "length|lifetime|md5|monotonic|obsolete|purge_replicas|rule_evaluation_(action|required)|"
    "suppressed|transient|type|updated_at"
)


def wrong_key(keys: Iterable[str]) -> str:
    """Return why Rucio cannot hold one of these metadata keys, or an empty text."""
    for key in keys:
        if _ITS_OWN.fullmatch(key) or "." in key:
            right = "a key without '.' that Rucio does not use itself"
            return f"metadata.{key}: found {key!r}, expected {right}"
    return ""


def wrong_name(did: str, strip: str = "") -> str:
    """Return why Rucio cannot hold a name of ours, as found and expected, or an empty text."""
    scope, _, name = did.partition(":")
    if _SCOPE.fullmatch(scope) and _NAME.fullmatch(strip + name):
        return ""
    return f"found {did!r}, expected {_FORM}"


def outside(did: Did, strip: str) -> Did:
    """Return the name in Rucio of a file or dataset of ours."""
    return Did(did.scope, strip + did.name)


def inside(scope: str, name: str, strip: str) -> Did:
    """Return our name of a file or dataset in Rucio. Raises BadCatalogueField."""
    if not name.startswith(strip):
        raise BadCatalogueField("did", f"{scope}:{name}", f"a name that begins with {strip!r}")
    return Did.parse(f"{scope}:{name.removeprefix(strip)}")
