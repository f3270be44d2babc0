"""Requests for new pilots: stamp, one-use secret, script, and the row that is stored first."""

import re
from dataclasses import dataclass

import msgspec

from ..identity.secret_hashes import hashed
from ..pilots.record_slots import NewSlot
from ..pilots.record_types import NewSecret
from ..ports import Clock, Randomness
from .element import PilotRequest
from .element_watch import WatchedElement
from .planning.pilot_demand import rung
from .site_files.sites import PilotEntry, Shape
from .start_script import Option, start_script

SECRET_S = 7 * 86_400.0
# Options for which a zero must be passed on: without it, pilots use another default.
NOT_AS_USUAL = tuple(one.name for one in msgspec.structs.fields(PilotEntry) if one.default is None)
LOCAL = "local"  # a kind whose pilots share the central's disk


@dataclass(frozen=True)
class PilotDefaults:
    """The settings that all pilots of a central have in common."""

    community: str
    central_url: str
    pilot_sh: str
    hide: tuple[str, ...] = ()  # from payloads of pilots on the central's machine
    made_by: str = "factory"
    ca: str = ""  # file of this machine with the authority of the central's certificate


def new_pilot(
    origin: PilotDefaults,
    element: WatchedElement,
    shape: Shape,
    shape_name: str,
    *,
    clock: Clock,
    randomness: Randomness,
    **other: Option,
) -> tuple[PilotRequest, NewSlot]:
    """Return the request for the element, and the row to store before it.

    `other`: options in place of those of the element.
    """
    at = clock.wall()
    stamp = _stamp(element.site, randomness.token(9))
    secret = randomness.token()
    script = start_script(
        stamp=stamp,
        secret=secret,
        pilot_sh=origin.pilot_sh,
        options={**_options(origin, element, shape), **other},
    )
    request = PilotRequest(
        stamp=stamp,
        script=script,
        cores=0 if shape.whole_node else shape.cores,
        memory_mb=shape.memory_mb,
        wall_s=shape.wall_s,
        gpus=shape.gpus,
    )
    return request, NewSlot(
        shape=shape_name,
        secret=NewSecret(
            secret_hash=hashed(secret),
            pilot=stamp,
            community=origin.community,
            site=element.site,
            element=element.name,
            expires_at=at + SECRET_S,
            made_by=origin.made_by,
            at=at,
        ),
    )


def _options(origin: PilotDefaults, element: WatchedElement, shape: Shape) -> dict[str, Option]:
    entry = element.entry.pilot
    pilot: dict[str, Option] = {
        name: value
        for name, value in msgspec.structs.asdict(entry).items()
        if name not in ("architecture", "amounts") and value is not None
    }
    pilot |= {name: "0" for name in NOT_AS_USUAL if getattr(entry, name) == 0}
    pilot["isolation"] = rung(element)
    pilot["amounts"] = tuple(f"{name}={it}" for name, it in entry.amounts.items())
    given: dict[str, Option] = {"central": origin.central_url, "wall_s": shape.wall_s, **pilot}
    if element.entry.kind == LOCAL:
        given["hide"] = (*origin.hide, *entry.hide)
        given["ca"] = entry.ca or origin.ca
    if not shape.whole_node:
        given |= {"cores": shape.cores, "memory_mb": shape.memory_mb}
    return given


def _stamp(site: str, token: str) -> str:
    words = re.sub("[^a-z0-9-]", "-", f"{site[:40]}-{token}".lower())
    words = re.sub("-$", "0", words)  # names in Kubernetes end in a letter or a digit
    return words if words[0].isalpha() else f"p{words}"
