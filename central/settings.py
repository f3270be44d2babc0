"""Every setting of the central: one frozen tree, unknown keys refused, read once at start.

Sources, later ones win: the YAML file (`--config`, else `PILOTAGE_CONFIG`, else `pilotage.yaml` in
the data directory), variables `PILOTAGE_SECTION__KEY`, options `--set section.key=value`.
"""

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import msgspec
import yaml
from msgspec import Meta

from pilotage.proto.patterns import whole
from pilotage.proto.wording import complaint

Seconds = Annotated[float, Meta(gt=0, le=31_536_000)]


class BadSetting(ValueError):
    """A setting is unknown or out of range. Nothing was started."""

    def __init__(self, where: str, why: str) -> None:
        super().__init__(f"{where}: {why}")
        self.where = where


class _Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    pass


class HttpSettings(_Section, frozen=True):
    """Where the API listens, and its limits."""

    host: str = "127.0.0.1"  # loopback only, unless told otherwise
    port: Annotated[int, Meta(ge=0, le=65_535)] = 8470  # 0: a free one
    url: str = ""  # how others reach it; empty: http://host:port
    tls_certificate: str = ""  # PEM files; both or none
    tls_key: str = ""  # the certificate's key, PEM
    connections_max: Annotated[int, Meta(ge=16)] = 8_192  # more are turned away


class BusSettings(_Section, frozen=True):
    """The message bus. `embedded` serves some tens of pilots; beyond that use mosquitto."""

    broker: str = "embedded"  # embedded | none | mqtt://host:port | mqtts://host:port
    host: str = "127.0.0.1"  # where the embedded broker listens
    port: Annotated[int, Meta(ge=0, le=65_535)] = 0  # of the embedded broker; 0: a free one
    user: str = ""  # of the central at an outside broker
    password_file: str = ""  # of that user; mode 0600
    ca_file: str = ""  # authority of the outside broker's certificate; empty: the system's
    url: str = ""  # how pilots reach the broker; empty: as the central does
    queue_max: Annotated[int, Meta(ge=100)] = 20_000  # outbound messages; the oldest is dropped


class LeaseSettings(_Section, frozen=True):
    """How long silence is borne."""

    lease_s: Annotated[float, Meta(ge=3, le=86_400)] = 120.0  # L; beats come every L/3
    reserve_s: Seconds = 2.0  # a job is kept for the pilot that was woken for it
    lost_max: Annotated[int, Meta(ge=1, le=1_000)] = 5  # attempts lost after their start: then Held
    matched_max: Annotated[int, Meta(ge=2, le=100_000)] = 100  # a lost job so often matched: Held
    silent_pilot_s: Seconds = 600.0  # a pilot that holds nothing is Lost after this
    poll_bus_down_s: Annotated[float, Meta(ge=1, le=60)] = 5.0  # how often parked pilots ask then
    poll_parked_s: Annotated[float, Meta(ge=5, le=3_600)] = 300.0  # and how often while it is up
    watch_s: Annotated[float, Meta(gt=0, le=10)] = 1.0  # period of the lease watch

    @property
    def beat_s(self) -> float:
        """Return H, how often a pilot beats."""
        return self.lease_s / 3


class TokenSettings(_Section, frozen=True):
    """Who issues tokens and how long they live."""

    issuer: str = "pilotage:local"  # who our own tokens say that made them
    audience: str = "pilotage"  # whom they are for
    pilot_s: Seconds = 3_600.0  # life of a pilot's token; pilots fetch new ones


class SandboxSettings(_Section, frozen=True):
    """Sizes of the files that travel with jobs."""

    blob_bytes_max: Annotated[int, Meta(ge=1_024)] = 1_073_741_824  # the largest file


class MatcherSettings(_Section, frozen=True):
    """What an offer's platform also runs: `el9: [el8]` lets el9 pilots run el8 jobs.

    Jobs of one owner that differ in group, type, needs or preference are of different classes.
    """

    compatible_os: dict[str, tuple[str, ...]] = msgspec.field(
        default_factory=lambda: {"el9": ("el8",), "debian13": ("debian12",)}
    )
    classes_an_owner_max: Annotated[int, Meta(ge=16, le=1_000_000)] = 2_000  # that wait or run


class CommunitySettings(_Section, frozen=True):
    """The community that the embedded issuer serves at first start."""

    name: Annotated[str, Meta(pattern=whole("[a-z0-9][a-z0-9-]{0,31}"))] = "local"
    groups: tuple[str, ...] = ("users",)  # the first is the default one


class LogSettings(_Section, frozen=True):
    """What is written to the log. `debug` adds two lines for each job."""

    level: Annotated[str, Meta(pattern=whole("(debug|info)"))] = "info"


class Settings(_Section, frozen=True):
    """The whole tree."""

    http: HttpSettings = HttpSettings()
    bus: BusSettings = BusSettings()
    lease: LeaseSettings = LeaseSettings()
    token: TokenSettings = TokenSettings()
    sandbox: SandboxSettings = SandboxSettings()
    matcher: MatcherSettings = MatcherSettings()
    community: CommunitySettings = CommunitySettings()
    log: LogSettings = LogSettings()


SECTIONS = {field.name: field.type for field in msgspec.structs.fields(Settings)}


def load(
    file: Path | None, environment: Mapping[str, str], options: Mapping[str, str] | None = None
) -> Settings:
    """Return the settings out of all three sources, or raise BadSetting for the first wrong one."""
    tree: dict[str, dict[str, Any]] = _from_file(file) if file is not None else {}
    for name, text in environment.items():
        if name.startswith("PILOTAGE_") and "__" in name:
            section, _, key = name.removeprefix("PILOTAGE_").lower().partition("__")
            _put(tree, section, key, text, where=name)
    for dotted, text in (options or {}).items():
        section, _, key = dotted.partition(".")
        _put(tree, section, key, text, where=f"--set {dotted}")
    try:
        return msgspec.convert(tree, Settings, strict=True)
    except msgspec.ValidationError as why:
        found = complaint(why, Settings)
        where = [str(file)] if file else []
        raise BadSetting(": ".join([*where, found.path[2:]]), found.message) from None


def _from_file(file: Path) -> dict[str, dict[str, Any]]:
    try:
        found: Any = yaml.safe_load(file.read_text(encoding="utf-8")) or {}
    except OSError as why:
        raise BadSetting(str(file), f"cannot be read: {why.strerror}") from None
    except yaml.YAMLError as why:
        raise BadSetting(str(file), f"is not YAML: {' '.join(str(why).split())}") from None
    if not isinstance(found, dict):
        raise BadSetting(str(file), "must hold sections, each with its keys")
    tree: dict[str, dict[str, Any]] = {}
    for section, keys in _items(found):
        if not isinstance(keys, dict):
            raise BadSetting(f"{file}: {section}", "must hold keys")
        for key, value in _items(keys):
            _known(section, key, where=str(file))
            tree.setdefault(section, {})[key] = value
    return tree


def _items(mapping: Any) -> list[tuple[str, Any]]:
    return [(str(key), value) for key, value in mapping.items()]


def _put(tree: dict[str, dict[str, Any]], section: str, key: str, text: str, *, where: str) -> None:
    """Set one value from text: read as YAML, so that numbers and lists are themselves."""
    kind = _known(section, key, where=where)
    try:
        value = text if kind is str else yaml.safe_load(text)
    except yaml.YAMLError:
        raise BadSetting(where, f"cannot read {text!r}") from None
    tree.setdefault(section, {})[key] = value


def _known(section: str, key: str, *, where: str) -> Any:
    if section not in SECTIONS:
        raise BadSetting(where, f"there is no section {section!r}{_nearest(section, SECTIONS)}")
    fields = {field.name: field.type for field in msgspec.structs.fields(SECTIONS[section])}
    if key not in fields:
        raise BadSetting(where, f"section {section!r} has no key {key!r}{_nearest(key, fields)}")
    return fields[key]


def _nearest(word: str, known: Mapping[str, Any]) -> str:
    close = difflib.get_close_matches(word, list(known), n=1)
    return f"; did you mean {close[0]!r}?" if close else f"; known are {', '.join(sorted(known))}"
