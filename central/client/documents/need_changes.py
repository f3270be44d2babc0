"""Changes of the needs of jobs, as people write them: {"memory": "x2", "sites": ["PIC"]}."""

import re
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from pilotage.proto.decoding.complaints import as_json, complaint
from pilotage.proto.decoding.nearest_words import unknown
from pilotage.proto.decoding.typed_quantities import convert, short_keys_of, with_numbers
from pilotage.proto.documents.job import Need

from ..errors import Invalid

# The names of fields: those of job files, and those of options.
NAMES: Final = {
    **{name: name for name in Need.__struct_fields__},
    **short_keys_of(Need),
    "site": "sites",
    "banned_site": "banned_sites",
    "cores": "cores_min",
    "gpus": "gpus_min",
}
_FACTOR: Final = re.compile(r"x([0-9]{1,4}(?:[.][0-9]{1,4})?)")


def need_changes(given: Mapping[str, object]) -> tuple[dict[str, Any], dict[str, float]]:
    """Return the new values and the factors by field of a need. Raises Invalid."""
    values: dict[str, Any] = {}
    factors: dict[str, float] = {}
    for name, value in given.items():
        if name not in NAMES:
            raise Invalid("invalid", unknown(name, NAMES, what="need"), name)
        field = NAMES[name]
        factor = _FACTOR.fullmatch(value) if isinstance(value, str) else None
        if factor is not None:
            factors[field] = float(factor[1])
            continue
        key = field if name not in short_keys_of(Need) else name
        try:
            made = with_numbers({key: value}, Need, short_keys=True)
            convert(made, Need)
        except msgspec.ValidationError as why:
            found = complaint(why, Need, as_json({key: value}))
            raise Invalid("invalid", f"{name}: {found.message}", name) from None
        values |= made
    return values, factors
