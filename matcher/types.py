"""What goes into the matcher and comes out of it."""

import msgspec

from pilotage.proto.job import Need, Preference


class ClassSpec(msgspec.Struct, frozen=True, kw_only=True):
    """Jobs that are matched as one."""

    class_id: int
    community: str
    group: str
    owner: str
    type: str
    needs: tuple[Need, ...]
    preference: Preference | None = None


class LiveOffer(msgspec.Struct, frozen=True, kw_only=True):
    """An offer as the central knows it: the pilot's word, with site, element and community from
    its token, and what is free after the central's own account of its attempts."""

    pilot: str
    community: str
    site: str
    element: str
    os: str
    architecture: str
    cores: int
    cores_free: int
    memory_free_mb: int
    wall_left_s: float
    scratch_free_mb: int = 0
    tags: frozenset[str] = frozenset()
    required_tags: frozenset[str] = frozenset()
    groups: frozenset[str] = frozenset()
    owners: frozenset[str] = frozenset()


class Match(msgspec.Struct, frozen=True, kw_only=True):
    """A job that is pending for an offer until it is confirmed, dropped or put back."""

    job: int
    class_id: int
    priority: int
    cores: int
    memory_mb: int
    wall_s: int
    scratch_mb: int


class Parked(msgspec.Struct, frozen=True, kw_only=True):
    """A parked pilot for which a job is kept: wake it."""

    pilot: str
    ask: int
    job: int
