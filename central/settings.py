"""All settings of the central: one frozen tree, read once at the start.

Unknown keys are refused. Later sources win: the YAML file (`--config`, else `PILOTAGE_CONFIG`, else
`pilotage.yaml` in the data directory), variables `PILOTAGE_SECTION__KEY`, options `--set
section.key=value`.
"""

import difflib
import enum
import re
from collections.abc import Mapping, Sequence
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from pilotage.matcher.rules import Rules, RunningLimit, StartLimit, Weight, Where
from pilotage.proto.api.jdl import JdlRules
from pilotage.proto.decoding.complaints import Complaint, as_json, complaint, steps
from pilotage.proto.decoding.patterns import whole
from pilotage.proto.decoding.strict_yaml import NotYaml, YamlPath, line_of, load_strictly
from pilotage.proto.decoding.typed_quantities import convert
from pilotage.proto.documents.job import Word

from .regular_files import read_regular

FILE_MAX_BYTES = 4_000_000
_OF_PILOTS = "PILOTAGE_PILOT__"  # variables for pilots that the central starts
Seconds = Annotated[float, Meta(gt=0, le=31_536_000)]
_Size = Annotated[float, Meta(ge=0, le=1e9)]
_Ahead = Annotated[float, Meta(ge=0, le=10)]

# COMMUNITY/GROUP or COMMUNITY/GROUP/OWNER. Owners from another issuer have its URL behind @.
_SHARE = re.compile(
    r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}/[A-Za-z0-9][A-Za-z0-9._:@+%-]{0,127}"
    r"(/[^/\x00-\x20\x7f-\xa0]([^/\x00-\x1f\x7f-\x9f]{0,126}[^/\x00-\x20\x7f-\xa0])?"
    r"(@https?://[^\s]{1,256})?)?"
)


class BadSetting(ValueError):
    """A setting is unknown or out of range; nothing was started."""

    def __init__(self, where: str, why: str) -> None:
        super().__init__(f"{where}: {why}")
        self.where = where


class _Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    pass


class HttpSettings(_Section, frozen=True):
    """Address and limits of the API."""

    host: str = "127.0.0.1"  # loopback only by default
    port: Annotated[int, Meta(ge=0, le=65_535)] = 8470  # 0: a free one
    url: str = ""  # URL for others; empty: http://host:port
    tls_certificate: str = ""  # PEM file; needs `tls_key`
    tls_key: str = ""  # PEM file with the certificate's key
    connections_max: Annotated[int, Meta(ge=16)] = 8_192  # further connections are refused
    #: connections of one address without a valid token; 0: a quarter of all
    strangers_max: Annotated[int, Meta(ge=0)] = 0


class BusSettings(_Section, frozen=True):
    """The message bus. `embedded` serves some tens of pilots; use mosquitto for more."""

    broker: str = "embedded"  # embedded, none, mqtt://host:port or mqtts://host:port
    host: str = "127.0.0.1"  # address of the embedded broker
    port: Annotated[int, Meta(ge=0, le=65_535)] = 0  # port of the embedded broker; 0: a free one
    user: str = ""  # user of the central at an external broker
    password_file: str = ""  # password of that user; mode 0600
    ca_file: str = ""  # CA of an external broker; empty: the system's
    url: str = ""  # URL of the broker for pilots; empty: the same as for the central
    queue_max: Annotated[int, Meta(ge=100)] = 20_000  # outbound messages; the oldest is dropped


class LeaseSettings(_Section, frozen=True):
    """Leases: how long a pilot may be silent."""

    #: lease of new attempts; heartbeats come every third of it
    lease_s: Annotated[float, Meta(ge=3, le=86_400)] = 120.0
    reserve_s: Seconds = 2.0  # how long a job is reserved for the pilot that was woken for it
    lost_max: Annotated[int, Meta(ge=1, le=1_000)] = 5  # hold a job after this many lost attempts
    #: hold a lost job after this many matches
    matched_max: Annotated[int, Meta(ge=2, le=100_000)] = 100
    silent_pilot_s: Seconds = 600.0  # a silent pilot without attempts becomes Lost after this time
    poll_bus_down_s: Annotated[float, Meta(ge=1, le=60)] = (
        5.0  # interval of asks by parked pilots without the bus
    )
    #: interval of asks by parked pilots with the bus
    poll_parked_s: Annotated[float, Meta(ge=5, le=3_600)] = 300.0
    watch_s: Annotated[float, Meta(gt=0, le=10)] = 1.0  # interval of lease checks

    @property
    def beat_s(self) -> float:
        """H, the interval of a pilot's heartbeats in seconds."""
        return self.lease_s / 3


class TokenSettings(_Section, frozen=True):
    """Issuer and life of tokens."""

    issuer: str = "pilotage:local"  # issuer in the central's own tokens
    audience: str = "pilotage"  # audience in these tokens
    pilot_s: Seconds = 3_600.0  # life of a pilot's token; pilots renew it
    #: life of a token of a login; the command line renews it
    login_s: Annotated[float, Meta(ge=900, le=3_600)] = 1_800.0
    providers: str = ""  # folder of identity providers; empty: `identity` in the data directory


class SandboxSettings(_Section, frozen=True):
    """Limits of files that travel with jobs."""

    blob_bytes_max: Annotated[int, Meta(ge=1_024, le=1 << 40)] = 1 << 30  # size of the largest file


class QuotaSettings(_Section, frozen=True):
    """The default quotas: docs/operations/quotas.md. An operator can set others by name.

    Jobs count until they have ended. Bytes are the inputs and outputs that the central keeps.
    """

    #: jobs of each owner that have not ended; 0: no limit
    owner_jobs: Annotated[int, Meta(ge=0)] = 0
    owner_gb: _Size = 0.0  # kept data of each owner, in GB; 0: no limit
    group_jobs: Annotated[int, Meta(ge=0)] = 0  # the same for each group
    group_gb: _Size = 0.0  # the same for each group
    community_jobs: Annotated[int, Meta(ge=0)] = 0  # the same for each community
    community_gb: _Size = 0.0  # the same for each community


class MatcherSettings(_Section, frozen=True):
    """Compatible platforms, fair shares and limits: docs/operations/shares-and-limits.md.

    `compatible` is one-way and not transitive: an el9 pilot runs el7 jobs only if its own row says
    so. A family without a version, as in `rocky: [el]`, stands for all its versions.

    Jobs of one owner that differ in group, type, needs or preference are of different classes.
    """

    compatible: dict[Word, tuple[Word, ...]] = msgspec.field(
        default_factory=lambda: {"el9": ("el8",), "debian13": ("debian12",)}
    )  # platform of a pilot → platforms whose jobs it also runs
    #: waiting and running classes of one owner
    classes_an_owner_max: Annotated[int, Meta(ge=16, le=1_000_000)] = 2_000
    #: COMMUNITY/GROUP or COMMUNITY/GROUP/OWNER → weight; others weigh 1
    shares: dict[str, Weight] = {}
    half_life_s: Annotated[float, Meta(ge=60, le=31_536_000)] = (
        604_800.0  # past use counts half after this time
    )
    running: tuple[RunningLimit, ...] = ()  # running jobs, at one place or at all sites
    starts: tuple[StartLimit, ...] = ()  # starts per second, at one place or at all sites
    banned: tuple[Where, ...] = ()  # SITE or SITE/ELEMENT that runs only jobs of type Test
    wide_cores: Annotated[int, Meta(ge=1, le=4_096)] = 8  # more cores are a scarce demand
    large_memory_per_core_mb: Annotated[int, Meta(ge=1)] = 4_000  # more memory is a scarce demand
    long_wall_s: Seconds = 86_400.0  # more time is a scarce demand
    #: scarce demands may run this far before their turn
    ahead_core_s: Annotated[float, Meta(ge=0)] = 691_200.0
    ahead: _Ahead = 0.25  # tolerated difference of sibling shares, as a part of the running charge
    reserve_after_s: Seconds = 600.0  # a class that cannot start reserves pilots after this time

    def rules(self, *, keep_s: float) -> Rules:
        """Return the rules for the matcher."""
        return Rules(
            compatible=dict(self.compatible),
            keep_s=keep_s,
            shares=dict(self.shares),
            half_life_s=self.half_life_s,
            running=self.running,
            starts=self.starts,
            banned=frozenset(self.banned),
            wide_cores=self.wide_cores,
            large_memory_per_core_mb=self.large_memory_per_core_mb,
            long_wall_s=self.long_wall_s,
            ahead_core_s=self.ahead_core_s,
            ahead=self.ahead,
            reserve_after_s=self.reserve_after_s,
        )

    def __post_init__(self) -> None:
        for path in self.shares:
            if not _SHARE.fullmatch(path):
                raise ValueError(
                    f"shares.{path}: expected COMMUNITY/GROUP or COMMUNITY/GROUP/OWNER, "
                    "such as local/users; the groups of a community have shares, and the "
                    "owners of a group"
                )
        _check_limits("running", self.running)
        _check_limits("starts", self.starts)
        for platform, others in self.compatible.items():
            if platform in others or len(set(others)) < len(others):
                raise ValueError(
                    f"compatible.{platform}: list each other platform once, never {platform} itself"
                )


def _check_limits(key: str, limits: Sequence[RunningLimit | StartLimit]) -> None:
    seen: set[tuple[str, str, str, str]] = set()
    for one in limits:
        same = (one.where, one.by, one.value, one.community)
        if same in seen:
            at = f"at {one.where}" if one.where else "at all sites together"
            whose = f" of {one.community}" if one.community else ""
            raise ValueError(f"{key}: the {one.by} {one.value!r}{whose} has two limits {at}")
        seen.add(same)


class KeptDays(_Section, frozen=True):
    """Days that the central keeps a job after its end; 0: without limit."""

    done_days: Annotated[float, Meta(ge=0, le=36_500)] = 180.0
    failed_days: Annotated[float, Meta(ge=0, le=36_500)] = 180.0
    killed_days: Annotated[float, Meta(ge=0, le=36_500)] = 90.0
    deleted_days: Annotated[float, Meta(ge=0, le=36_500)] = 7.0  # for deleted jobs, if shorter


class RetentionSettings(KeptDays, frozen=True):
    """How long the central keeps old data. Series and accounts stay after the jobs."""

    communities: dict[Word, KeptDays] = {}  # communities with their own days, all four of them
    action_days: Annotated[float, Meta(gt=0, le=365)] = 2.0  # idempotency keys of actions
    evidence_days: Annotated[float, Meta(ge=0, le=36_500)] = 400.0  # reports that did not count
    token_days: Annotated[float, Meta(ge=0, le=36_500)] = 7.0  # expired tokens, lifted bans
    pilot_days: Annotated[float, Meta(ge=0, le=36_500)] = 90.0  # ended pilots
    pilot_log_days: Annotated[float, Meta(ge=0, le=36_500)] = 30.0  # log lines of pilots
    #: size of all pilot logs; the oldest lines are removed first
    pilot_log_mb: Annotated[float, Meta(gt=0)] = 2_000.0
    pilot_log_mb_a_pilot: Annotated[float, Meta(gt=0)] = 4.0  # size of the log of one pilot
    #: a lost pilot becomes Failed after this time
    lost_pilot_s: Annotated[float, Meta(ge=3_600)] = 86_400.0
    round_s: Annotated[float, Meta(ge=1, le=86_400)] = 3_600.0  # interval of clean-ups
    blob_hold_s: Annotated[float, Meta(ge=3_600)] = 86_400.0  # how long an unused file stays


_Community = Annotated[str, Meta(pattern=whole("[A-Za-z0-9][A-Za-z0-9._-]{0,63}"))]


class CommunitySettings(_Section, frozen=True):
    """The communities of the central. The factory submits their pilots.

    With one community, the first token is for its administrator. With several, the first token is
    for all of them: it issues their tokens, and submits no jobs.
    """

    name: _Community = "local"
    groups: Annotated[tuple[Word, ...], Meta(min_length=1)] = ("users",)  # the first is the default
    others: Annotated[tuple[_Community, ...], Meta(max_length=100)] = ()  # more communities

    @property
    def names(self) -> tuple[str, ...]:
        """Return the names of all communities."""
        return (self.name, *self.others)

    def __post_init__(self) -> None:
        for name in self.others:
            if self.names.count(name) > 1:
                raise ValueError(f"others: {name!r} is listed twice, or equals `name`")


class FactorySettings(_Section, frozen=True):
    """Pilots that the central submits to compute elements: docs/operations/sites.md."""

    sites: str = ""  # folder of site files; empty: `sites` in the data directory
    every_s: Seconds = 15.0  # pause between rounds
    submit_max: Annotated[int, Meta(ge=0, le=100_000)] = 3_000  # pilots in one round
    pilots_max: Annotated[int, Meta(ge=0)] = 100_000  # live pilots at all sites


class MailSettings(_Section, frozen=True, rename={"sender": "from"}):
    """The mail server for notifications, and for reports of failover to the recipients."""

    host: str = ""  # SMTP server
    port: Annotated[int, Meta(ge=1, le=65_535)] = 25
    tls: Literal["none", "starttls", "tls"] = "none"  # starttls: usually port 587; tls: port 465
    user: str = ""  # empty: no login
    password_file: str = ""  # password of that user; mode 0600
    sender: Annotated[str, Meta(max_length=256)] = "pilotage@localhost"  # sender address
    to: Annotated[tuple[str, ...], Meta(max_length=100)] = ()  # recipients
    every_s: Seconds = 10.0  # interval of checks for reports to mail

    @property
    def is_wanted(self) -> bool:
        """Whether reports are mailed."""
        return bool(self.host and self.to)


class FailoverSettings(_Section, frozen=True):
    """Failover of transformations that enable it: docs/failures.md."""

    cycle_s: Seconds = 120.0  # pause between cycles
    recovery_s: Seconds = 3_600.0  # pause between checks for tasks that disagree with their inputs
    report_days: Annotated[float, Meta(gt=0, le=36_500)] = 90.0  # how long reports are kept
    mail: MailSettings = MailSettings()


class NotifySettings(_Section, frozen=True):
    """Notifications of users: docs/howto/notifications.md. Mail goes through `failover.mail`."""

    every_s: Seconds = 5.0  # interval of checks
    an_hour: Annotated[int, Meta(ge=1, le=10_000)] = 20  # messages to a person by each channel
    retry_s: Seconds = 30.0  # first pause after a failure; doubled up to an hour
    tries: Annotated[int, Meta(ge=1, le=100)] = 20  # then the message is given up
    #: domains of mail addresses that users may choose
    mail_domains: Annotated[tuple[str, ...], Meta(max_length=100)] = ()
    webhook_ports: Annotated[tuple[int, ...], Meta(max_length=100)] = (443,)
    webhook_http: bool = False  # also allow http
    #: networks (CIDR) that are not public, but may be reached
    webhook_allowed: Annotated[tuple[str, ...], Meta(max_length=1_000)] = ()
    #: networks that may not be reached, such as your own public ones
    webhook_refused: Annotated[tuple[str, ...], Meta(max_length=1_000)] = ()

    def __post_init__(self) -> None:
        for name in ("webhook_allowed", "webhook_refused"):
            for network in getattr(self, name):
                try:
                    ip_network(network)
                except ValueError as why:
                    raise ValueError(f"{name}: {why}") from None


class DataSettings(_Section, frozen=True):
    """Files that jobs read and write: docs/data-jobs.md."""

    storages: str = ""  # folder of storage files; empty: `storages` in the data directory
    #: bytes that no catalogue entry needs go after this time
    sweep_after_s: Annotated[float, Meta(ge=1.0, le=1e9)] = 604_800.0


class CwlSettings(_Section, frozen=True):
    """Documents of the Common Workflow Language: docs/cwl.md."""

    #: folders of unpacked images on nodes, by the name in DockerRequirement; `*`: of all others,
    #: with {image} for the name
    images: dict[str, str] = {}


class JdlSettings(JdlRules, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How descriptions in JDL become jobs: docs/jdl.md."""


class StoreSettings(_Section, frozen=True):
    """The database: docs/operations/postgresql.md."""

    url: str = ""  # postgresql://user@host/database; empty: a file in the data directory
    #: disk reserve for reports, in MB; 0: 2.5 %, at most 1 GB. Submissions and outputs stop
    #: below it, uploads below twice as much
    reserve_mb: _Size = 0.0


class ProcessRole(enum.Enum):
    """A part that a process takes in a central."""

    API = "api"
    DISPATCH = "dispatch"
    AGENTS = "agents"


class ProcessSettings(_Section, frozen=True):
    """Tasks of this process, if several share a database: docs/scale-out.md."""

    #: `api` takes jobs and shows the store; `dispatch` keeps the queue, or waits to lead; `agents`
    #: runs single background tasks beside it
    roles: Annotated[
        str,
        Meta(
            pattern=whole("(api|dispatch|agents)(,(api|dispatch|agents))*"),
            description="some of api, dispatch, agents, separated by commas",
        ),
    ] = "api,dispatch,agents"
    #: URL of this process for pilots and other processes; empty: http.url, or its port
    url: str = ""

    @property
    def role_set(self) -> frozenset[ProcessRole]:
        """The roles as a set."""
        return frozenset(map(ProcessRole, self.roles.split(",")))


class LogSettings(_Section, frozen=True):
    """Level of the log. `debug` adds two lines for each job."""

    level: Annotated[str, Meta(pattern=whole("(debug|info)"))] = "info"


class Settings(_Section, frozen=True):
    """The whole tree of settings."""

    http: HttpSettings = HttpSettings()
    bus: BusSettings = BusSettings()
    lease: LeaseSettings = LeaseSettings()
    token: TokenSettings = TokenSettings()
    sandbox: SandboxSettings = SandboxSettings()
    quota: QuotaSettings = QuotaSettings()
    matcher: MatcherSettings = MatcherSettings()
    community: CommunitySettings = CommunitySettings()
    retention: RetentionSettings = RetentionSettings()
    factory: FactorySettings = FactorySettings()
    data: DataSettings = DataSettings()
    store: StoreSettings = StoreSettings()
    failover: FailoverSettings = FailoverSettings()
    notify: NotifySettings = NotifySettings()
    jdl: JdlSettings = JdlSettings()
    cwl: CwlSettings = CwlSettings()
    process: ProcessSettings = ProcessSettings()
    log: LogSettings = LogSettings()


SECTIONS = {field.name: field.type for field in msgspec.structs.fields(Settings)}


def load(
    file: Path | None, environment: Mapping[str, str], options: Mapping[str, str] | None = None
) -> Settings:
    """Return the settings from all three sources. Raises BadSetting for the first wrong one."""
    given = _Given(file)
    for name, text in environment.items():
        if name.startswith("PILOTAGE_") and "__" in name and not name.startswith(_OF_PILOTS):
            section, _, key = name.removeprefix("PILOTAGE_").lower().partition("__")
            given.put(section, key, text, where=name)
    for dotted, text in (options or {}).items():
        section, _, key = dotted.partition(".")
        given.put(section, key, text, where=f"--set {dotted}")
    try:
        return convert(given.tree, Settings)
    except msgspec.ValidationError as why:
        found = complaint(why, Settings, as_json(given.tree))
        raise BadSetting(given.place(found), found.message) from None


class _Given:
    """The values set so far, section by section, and the source of each."""

    def __init__(self, file: Path | None) -> None:
        self.tree: dict[str, dict[str, Any]] = {}
        self._set_by: dict[tuple[str, str], str] = {}  # for sources other than the file
        self._file = file
        self._text = _text_of(file) if file is not None else ""
        if file is not None:
            self._take(file)

    def _take(self, file: Path) -> None:
        try:
            found: Any = load_strictly(self._text)
        except NotYaml as why:
            where = str(file) if why.line is None else f"{file}:{why.line}"
            raise BadSetting(where, why.why) from None
        if found is None:  # the file is empty; false and [] are wrong
            return
        if not isinstance(found, dict):
            raise BadSetting(str(file), "must consist of sections, each with its keys")
        for section, keys in _items(found):
            if not isinstance(keys, dict):
                raise BadSetting(
                    f"{self._line((section,))}: {section}", "must hold keys with values"
                )
            for key, value in _items(keys):
                _known(section, key, where=self._line((section, key)))
                self.tree.setdefault(section, {})[key] = value

    def put(self, section: str, key: str, text: str, *, where: str) -> None:
        """Set one value from text, which is read as YAML: numbers and lists keep their type."""
        kind = _known(section, key, where=where)
        try:
            value = text if kind is str else load_strictly(text)
        except NotYaml as why:
            raise BadSetting(where, f"cannot read {text!r}: {why.why}") from None
        self.tree.setdefault(section, {})[key] = value
        self._set_by[section, key] = where

    def place(self, found: Complaint) -> str:
        """Return the place of a complaint: the line of the file, the variable or the option."""
        place: list[str | int] = [int(one) if one.isdigit() else one for one in steps(found.path)]
        if len(place) == 1:  # about several keys together; the message begins with the key
            place += re.findall(r"^\w+", found.message)
        key = tuple(map(str, place[:2]))
        set_by = self._set_by.get((key[0], key[1])) if len(key) == 2 else None
        if set_by and set_by == f"--set {found.path[2:]}":
            return set_by
        return f"{set_by or self._line(tuple(place))}: {found.path[2:]}"

    def _line(self, place: YamlPath) -> str:
        line = line_of(self._text, place) if self._text else None
        return str(self._file) if line is None else f"{self._file}:{line}"


def _text_of(file: Path) -> str:
    try:
        read = read_regular(file, FILE_MAX_BYTES + 1)
        if len(read) > FILE_MAX_BYTES:
            raise BadSetting(str(file), f"has more than {FILE_MAX_BYTES} bytes")
        return read.decode()
    except OSError as why:
        raise BadSetting(str(file), f"cannot be read: {why.strerror}") from None
    except UnicodeDecodeError:
        raise BadSetting(str(file), "is not UTF-8 text") from None


def _items(mapping: Any) -> list[tuple[str, Any]]:
    return [(str(key), value) for key, value in mapping.items()]


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
