"""Sites and their elements, as an operator writes them: `sites/NAME.yaml`, one site a file.

The rules for such files are in `entry_files`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from pilotage.proto.declarations import BadDeclaration, check_declarations
from pilotage.proto.decoding.patterns import whole
from pilotage.proto.documents.job import VersionText, Word
from pilotage.proto.facts import with_facts

from ...entry_files import read_folder, read_yaml, unlisted
from ..elements.option_types import PathOrNone

FILES_MAX = 10_000
FILE_MAX_BYTES = 4_000_000
_Name = Annotated[str, Meta(pattern=whole("[A-Za-z0-9][A-Za-z0-9._-]*"), max_length=64)]
_Count = Annotated[int, Meta(ge=0, le=1_000_000)]
_Share = Annotated[float, Meta(ge=0, le=1e9)]  # 0: takes what the others leave
_Rung = Literal["", "auto", "namespaces", "bubblewrap", "unshare", "session"]
_Mb = Annotated[int, Meta(ge=0, le=100_000_000)]
_Seconds = Annotated[float, Meta(ge=0, le=31_536_000)]


class _Entry(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    pass


class Shape(_Entry, frozen=True):
    """A size of pilots. With several, the factory chooses by the needs of waiting jobs."""

    cores: Annotated[int, Meta(ge=1, le=4096)] = 1
    whole_node: bool = False  # the whole node; `cores` is the usual number there
    memory_mb: _Mb = 0  # of all cores together; 0: what the element gives
    wall_s: Annotated[int, Meta(ge=60, le=31_536_000)] = 172_800  # run time on the element
    scratch_mb: _Mb = 0  # known disk space of its nodes
    gpus: Annotated[int, Meta(ge=0, le=1024)] = 0


class PilotEntry(_Entry, frozen=True):
    """Options of the pilots of an element."""

    idle_s: Annotated[float, Meta(ge=0, le=31_536_000)] = 300.0  # end after this time without work
    overcommit: bool = False  # offer the cores of the shape even if the node has fewer
    os: str = ""  # of its nodes: el9, debian13 …; empty: no pilots come for jobs that ask for one
    architecture: str = "x86_64"  # of its nodes; pilots detect it themselves
    tags: tuple[Word, ...] = ()  # tags that jobs may ask for
    amounts: dict[str, int] = {}  # counted resources of each pilot: {shm_mb: 500}
    required_tags: tuple[Word, ...] = ()  # only jobs that ask for all of these
    types: tuple[Word, ...] = ()  # only jobs of these types; empty: all
    groups: tuple[str, ...] = ()  # only jobs of these groups
    owners: tuple[str, ...] = ()  # only jobs of these owners
    cvmfs: tuple[str, ...] = ()  # repositories that its nodes mount
    cvmfs_root: str = ""  # mount point, if not /cvmfs
    image_tools: tuple[str, ...] = ()  # container tools; none: no images; empty: all that are found
    #: registries of images that may be fetched: ghcr.io; none: of none; empty: of all
    registries: tuple[str, ...] = ()
    image_cache: str = ""  # folder of fetched images; empty: /var/tmp/pilotage-images-UID
    image_cache_mb: _Mb | None = None  # its largest size; empty: 20000
    module_init: str = ""  # file that defines `module` in a shell; empty: detected
    hide: tuple[str, ...] = ()  # folders and files to hide from payloads
    #: file on the nodes with the authority of the central's certificate; empty: the system's
    ca: PathOrNone = ""
    isolation: _Rung = ""  # isolation of payloads; empty: as the site, else auto
    register: str = ""  # folder that all pilots of a node share, instead of /tmp
    #: end this long before the time limit
    stop_margin_s: Annotated[float, Meta(ge=0, le=31_536_000)] = 0.0
    unanswered_s: _Seconds | None = None  # end after this silence of the central; empty: 900
    checkpoint_mb: _Mb | None = None  # size of the largest checkpoint; empty: 1000
    hs23_per_core: float = 0.0  # 0: not measured
    hs23_per_score: float = 0.0  # HS23 of a core with benchmark score 1; 0: unknown
    #: CPU time of the benchmark; 0: none; empty: 0.1
    benchmark_s: Annotated[float, Meta(ge=0, le=2)] | None = None
    #: interval of looks at the time left; 0: only one; empty: 900
    time_look_s: _Seconds | None = None
    upload_s: _Seconds | None = None  # how long outputs wait for storages; 0: one try; empty: 1800


@with_facts(VersionText, "", but="namespaces")  # which `isolation` promises
class NodesEntry(_Entry, frozen=True):
    """Known features of the nodes of an element. Only jobs that ask for no more bring pilots there.

    A missing feature counts as absent. Pilots still detect their nodes themselves. Put versions in
    quotes: "2.34".
    """

    images: tuple[
        Literal["sif", "folder", "tar", "docker"], ...
    ] = ()  # kinds of images that its nodes run
    architecture_level: Annotated[int, Meta(ge=1, le=4)] = 1  # x86-64-v1 … v4
    gpu_vendor: Literal["", "nvidia", "amd", "intel"] = ""
    gpu_memory_mb: _Mb = 0  # of each GPU


class CredentialEntry(_Entry, frozen=True):
    """The source of an element's credential."""

    source: _Name  # file, renewed, command, issuer, proxy
    options: dict[str, Any] = {}  # options of the source


class ElementEntry(_Entry, frozen=True):
    """A compute element: how to reach it, and how many pilots it may have."""

    kind: _Name  # driver: local, ssh, slurm, htcondor …
    options: dict[str, Any] = {}  # options of the driver
    credential: CredentialEntry | None = None
    pilots_max: _Count = 100  # queued and running pilots
    queued_max: _Count = 20  # pilots that wait in the batch system
    submit_max: _Count = 20  # in one cycle
    cancel_max: _Count = 10  # in one cycle
    #: empty: its part of the site's pledge
    pledge: Annotated[float, Meta(ge=0, le=1e9)] | None = None
    #: sizes of pilots
    shapes: Annotated[tuple[Shape, ...], Meta(min_length=1, max_length=16)] = (Shape(),)
    pilot: PilotEntry = PilotEntry()
    nodes: NodesEntry = NodesEntry()
    enabled: bool = True  # false: it gets no pilots


class SiteEntry(_Entry, frozen=True):
    """A site, with the name of its file."""

    elements: Annotated[dict[_Name, ElementEntry], Meta(min_length=1, max_length=1_000)]
    pledge: Annotated[float, Meta(ge=0, le=1e9)] = 1.0  # share of the site; 0: opportunistic
    #: community → share of its pilots; empty: all communities alike
    communities: dict[_Name, _Share] = {}
    isolation: Literal["", "namespaces"] = ""  # pilots without namespaces get no jobs
    contact: Annotated[str, Meta(max_length=256)] = ""  # for people
    enabled: bool = True  # false: it gets no pilots


@dataclass(frozen=True)
class SiteBook:
    """All sites in use, and the problems of files, by the name of the site."""

    sites: Mapping[str, SiteEntry] = field(default_factory=dict[str, SiteEntry])
    troubles: Mapping[str, str] = field(default_factory=dict[str, str])
    unlisted: str = ""  # why the list of files is unknown; empty: it is known

    @property
    def isolating(self) -> frozenset[str]:
        """The sites whose pilots get no jobs without namespaces."""
        return frozenset(site for site, entry in self.sites.items() if entry.isolation)


def read_site(file: Path) -> SiteEntry:
    """Return the content of a file. Raises BadEntryFile."""
    read = read_yaml(file, FILE_MAX_BYTES)
    for name, element in _mapping(_mapping(read.found).get("elements")).items():
        # one by one, so that an error is found at its place
        read.converted(element, ElementEntry, ("elements", name))
    site = read.converted(read.found, SiteEntry)
    for name, element in site.elements.items():
        try:
            check_declarations(_declared(element.pilot))
        except BadDeclaration as why:
            place = ("elements", name, "pilot", why.name)
            raise read.wrong(place, ".".join(place), why.why) from None
    return site


def _mapping(value: Any) -> dict[str, Any]:
    try:
        return msgspec.convert(value, dict[str, Any])
    except msgspec.ValidationError:
        return {}  # the strict check below reports it


def _declared(pilot: PilotEntry) -> dict[str, Any]:
    return {name: value for name, value in msgspec.structs.asdict(pilot).items() if value}


def read_sites(folder: Path, before: SiteBook) -> SiteBook:
    """Return the book of a folder; a file with an error keeps its entry from `before`.

    If the folder cannot be listed, the whole of `before` stays: the files may still exist.
    """
    try:
        found = read_folder(folder, "site", read_site, before.sites, files_max=FILES_MAX)
    except OSError as why:
        return replace(before, unlisted=unlisted(folder, why))
    return SiteBook(found.entries, found.troubles)
