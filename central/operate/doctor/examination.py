"""`pilotage doctor`: examines an installation from outside, with or without its central."""

import asyncio
import email.utils
import os
import resource
import sqlite3
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import aiomqtt
import httpx
import msgspec

from pilotage.proto.api.health import Health
from pilotage.proto.api.jobs import Summary
from pilotage.proto.trust import trusting

from ...bus.address import Address
from ...identity import derived_secrets, element_issuer, keys, signature
from ...identity.tokens import ADMIN_FILE
from ...settings import BadSetting, Settings
from ...store import audit as check
from ...store.errors import StoreError
from .. import high_water
from ..api_address import check_urls
from ..backup.backups import BLOBS
from ..bus_selection import outside_address
from ..datadir import (
    LOCK_FILE,
    RESTORING_FILE,
    RUNNING_FILE,
    STANDBY_FILE,
    STORE_FILE,
    StoreGone,
    check_whole,
    running_on,
)
from ..last_port import API_PORT, BUS_PORT
from ..serve import CONFIG_NAME, ServeOptions, as_it_runs, config_of, settings_of
from ..store_selection import reading_of, where
from . import (
    identity_checks,
    key_checks,
    machine_checks,
    pilot_checks,
    provider_checks,
    reach_checks,
    rucio_checks,
    site_checks,
    storage_checks,
    store_checks,
)
from .findings import Finding, at_fault, fault, ok, warning

ANSWER_S: Final = 5.0
UNDELIVERED_S: Final = 30.0  # shorter waits are normal after a restart
WHERE: Final = "see --data and PILOTAGE_DATA; pilotage serve makes a new one at its first start"
MEND: Final = "see docs/configuration.md, and run doctor again"
# Names in a data directory after its first start; a restore makes some of them.
OURS: Final = frozenset(
    {
        STORE_FILE,
        f"{STORE_FILE}-wal",
        f"{STORE_FILE}-shm",
        *(
            LOCK_FILE,
            STANDBY_FILE,
            RUNNING_FILE,
            RESTORING_FILE,
            API_PORT,
            BUS_PORT,
            CONFIG_NAME,
            BLOBS,
        ),
        high_water.FILE,
        *(keys.FILE, element_issuer.FILE, derived_secrets.FILE, signature.FILE, ADMIN_FILE),
    }
)
DATE_OLD_S: Final = 3.0  # the header has whole seconds, and is renewed about once a second


@dataclass(frozen=True)
class CentralReply:
    """The answers of a running central."""

    url: str
    health: Health
    skew_s: float | None  # lead of this machine's wall clock


def examine(
    place: ServeOptions, *, whole_store: bool = False, whole_files: bool = False
) -> list[Finding]:
    """Run all checks. They change nothing, and none waits longer than some seconds."""
    return list(_all(as_it_runs(place), whole_store, whole_files))


def _all(place: ServeOptions, whole_store: bool, whole_files: bool) -> Iterator[Finding]:
    settings, found = _settings(place)
    yield found
    if not place.data.is_dir():
        yield machine_checks.versions(None)
        yield machine_checks.data_directory(place.data)
        return
    why = machine_checks.foreign(place.data, OURS)
    if why:
        yield fault("data", f"{place.data} is not a data directory: {why}", WHERE)
        return
    if settings is None:
        yield from _without_settings(place.data)
        return
    gone = _gone(place.data) if not settings.store.url else None
    if gone is not None:
        yield gone
    said, answered = central(place, settings)
    reading, unread = None, ""
    try:
        reading = reading_of(place.data, settings.store)
    except BadSetting as wrong:
        unread = str(wrong)
    facts = store_checks.facts_of(reading) if reading is not None else None
    yield machine_checks.versions(answered.health.version if answered else None)
    yield machine_checks.data_directory(place.data)
    yield machine_checks.owner(place.data, OURS, running=answered is not None)
    yield said
    if answered is not None:
        yield results(answered.health)
        yield pilots(place.data, settings, answered)
    if reading is None:
        yield fault("store", unread, "see docs/operations/postgresql.md")
    elif settings.store.url:
        yield store_checks.database(reading, where(place.data, settings.store))
        yield store_checks.durability_of_database(settings.store.url)
    elif gone is None:  # otherwise no start makes a store; other findings give the reason
        yield store_checks.store_file(place.data, whole=whole_store)
        yield store_checks.durability(place.data)
    yield machine_checks.free_disk(place.data)
    yield machine_checks.sync_cost(place.data)
    yield broker(settings, answered)
    yield machine_checks.clock(
        facts.newest if facts else None, answered.skew_s if answered else None
    )
    yield from key_checks.key_files(place.data)
    yield key_checks.admin_token(
        place.data, settings.community, is_default=config_of(place) is None
    )
    yield key_checks.certificate(settings)
    yield from identity_checks.identity(place.data, settings, provider_checks.ask_all)
    if answered is not None:
        yield from trust(answered.url)
    yield from site_checks.sites(place.data, settings)
    yield from storage_checks.storages(place.data, settings, reading)
    yield from rucio_checks.rucio(place.data, settings)
    yield from reach_checks.reach(place.data, settings, answered.url if answered else "")
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield machine_checks.open_files(
        hard, settings.http.connections_max, unlimited=hard == resource.RLIM_INFINITY
    )
    if reading is None or facts is None:
        return
    if whole_store or whole_files:
        yield store_checks.files(place.data, reading, whole=whole_files)
    if whole_store:
        yield from store_checks.rows(reading)
        if answered:
            yield memory(place.data, settings.http.tls_certificate, answered, reading)


def _without_settings(data: Path) -> Iterator[Finding]:
    """Run the checks that need no settings; with default settings the others could be wrong."""
    yield machine_checks.versions(None)
    yield machine_checks.data_directory(data)
    yield machine_checks.owner(data, OURS, running=running_on(data) is not None)
    yield machine_checks.free_disk(data)
    yield machine_checks.sync_cost(data)
    yield from key_checks.key_files(data)


def _gone(data: Path) -> Finding | None:
    """Return a finding if a used data directory has no store."""
    try:
        check_whole(data, used=data / keys.FILE)
    except StoreGone as gone:
        return fault("data", f"{data}: {gone.why}", gone.do)
    return None


def _settings(place: ServeOptions) -> tuple[Settings | None, Finding]:
    """Return the settings (None if they are wrong), and the finding about them."""
    file = config_of(place)
    text = f"{file} can be read" if file else "no file: all settings have their defaults"
    try:
        settings = settings_of(place)
        check_urls(settings.http, settings.bus)
        return settings, ok("settings", text)
    except BadSetting as why:
        return None, fault("settings", f"{why}; checks that need the settings are left out", MEND)


# -- the central that runs ----------------------------------------------------------------------


def central(place: ServeOptions, settings: Settings) -> tuple[Finding, CentralReply | None]:
    """Ask the running central of this data directory for its health."""
    running = running_on(place.data)
    if running is None:
        return warning("central", "no central runs on this data directory", "pilotage serve"), None
    ca_file = settings.http.tls_certificate or None
    try:
        before = time.time()
        with _client(running.url, ca_file) as client:
            answer = client.get("/health")
            health = msgspec.json.decode(answer.content, type=Health)
            ready = client.get("/ready")
    except (httpx.HTTPError, msgspec.DecodeError, OSError) as why:
        do = "see its log; if it was killed, start it again: nothing is lost"
        return fault("central", f"no answer at {running.url}: {why}", do), None
    answered = CentralReply(running.url, health, skew_s(answer.headers.get("date", ""), before))
    text = f"{running.url}, process {running.pid}, up for {health.uptime_s:.0f} s"
    if ready.status_code != 200:
        return fault("central", f"{text}, not ready: {ready.text[:300]}", "see its log"), answered
    return ok("central", f"{text}, ready"), answered


def results(health: Health) -> Finding:
    """Check whether pilots have results that they cannot deliver."""
    if health.undelivered_s < UNDELIVERED_S:
        return ok("results", "no result waits at a pilot for long")
    count = health.undelivered
    text = f"{count} results wait" if count > 1 else "1 result waits"
    return warning(
        "results",
        f"{text} at a pilot that cannot deliver, the oldest for {health.undelivered_s:.0f} s",
        "result_undelivered in the log names the jobs; pilotage explain JOB says why",
    )


def trust(url: str) -> Iterator[Finding]:
    """Warn if commands from this shell do not trust the certificate of the central."""
    if not url.startswith("https:"):
        return
    ca_file = os.environ.get("PILOTAGE_CA_FILE") or None
    try:
        with httpx.Client(verify=trusting(ca_file), timeout=ANSWER_S, trust_env=False) as client:
            client.get(f"{url}/health")
    except (httpx.HTTPError, OSError) as why:
        said = f"commands from this shell do not trust {url}: {why}"
        do = "name the authority of the certificate in PILOTAGE_CA_FILE, and in `pilot.ca` of sites"
        yield warning("trust", said, do)


def pilots(data: Path, settings: Settings, answered: CentralReply) -> Finding:
    """Check whether pilots are silent."""
    certificate = settings.http.tls_certificate or None
    try:
        with _client(answered.url, certificate, _token(data)) as client:
            return pilot_checks.pilots(client, 2 * settings.lease.beat_s)
    except (OSError, httpx.HTTPError, msgspec.DecodeError) as why:
        do = "see the findings central and admin token"
        return warning(pilot_checks.CHECK, f"could not be asked about: {why}", do)


def _token(data: Path) -> str:
    return (data / ADMIN_FILE).read_text().strip()


def _client(url: str, ca_file: str | None, token: str = "") -> httpx.Client:
    context = trusting()
    # Our own certificate may be self-signed; the other is the authority for clients.
    for file in (ca_file, os.environ.get("PILOTAGE_CA_FILE")):
        if file:
            context.load_verify_locations(file)
    headers = {"authorization": f"Bearer {token}"} if token else {}
    return httpx.Client(
        base_url=url, timeout=ANSWER_S, verify=context, trust_env=False, headers=headers
    )


def skew_s(date: str, before: float) -> float | None:
    """Return the lead of this machine's clock; 0 within the precision of the header."""
    try:
        theirs = email.utils.parsedate_to_datetime(date).timestamp()
    except ValueError:
        return None
    ours = time.time()
    if before - DATE_OLD_S <= theirs <= ours + 1.0:
        return 0.0
    return ours - theirs


def memory(
    data: Path, certificate: str, answered: CentralReply, reading: store_checks.Reading
) -> Finding:
    """Compare the central's counters with the rows, unless they change too fast."""
    try:
        with _client(answered.url, certificate or None, _token(data)) as client:
            for _ in range(5):
                first = _counts(client)
                with reading() as session:
                    stored = check.states(session)
                if first == _counts(client):
                    if first == stored:
                        return ok("memory", "its counters agree with the rows")
                    text = f"the central counts {first}, the rows give {stored}"
                    return fault(
                        "memory", text, "report this to the developers; a restart counts again"
                    )
    except (OSError, httpx.HTTPError, msgspec.DecodeError, StoreError, sqlite3.Error) as why:
        return warning(
            "memory", f"could not be compared: {why}", "see the findings central and admin token"
        )
    return ok("memory", "the counters change too fast to be compared")


def _counts(client: httpx.Client) -> dict[str, int]:
    answer = client.get("/v1/jobs/summary?by=state")
    answer.raise_for_status()
    rows = msgspec.json.decode(answer.content, type=Summary).rows
    return {state.value: n for row in rows for state, n in row.counts.items() if n}


# -- the broker ---------------------------------------------------------------------------------


def broker(settings: Settings, answered: CentralReply | None) -> Finding:
    """Log in at the broker with the central's account."""
    if settings.bus.broker == "none":
        return ok("broker", "none: heartbeats use HTTPS")
    if settings.bus.broker == "embedded":
        if answered is None:
            return ok("broker", "embedded: it runs with the central")
        if answered.health.bus == "down":
            return fault("broker", "the embedded broker is down", "restart the central")
        return ok("broker", f"embedded, {answered.health.bus}")
    if answered is not None and "://" in answered.health.bus:
        # A second login with its name would disconnect the central.
        return ok("broker", f"{answered.health.bus}: the central is connected")
    try:
        address = outside_address(settings.bus)
        asyncio.run(_log_in(address))
    except (aiomqtt.MqttError, OSError, TimeoutError, BadSetting) as why:
        do = "see the broker's log, and the section bus; everything works without it, only slower"
        return fault("broker", f"{settings.bus.broker}: {why or type(why).__name__}", do)
    if answered is not None and answered.health.bus == "down":
        do = "see its log for bus_down"
        return warning("broker", f"{address.url} accepts doctor, but not the central", do)
    return ok("broker", f"{address.url} accepts the login")


async def _log_in(at: Address) -> None:
    async with asyncio.timeout(ANSWER_S):
        async with aiomqtt.Client(
            at.host,
            at.port,
            username=at.user or None,
            password=at.password or None,
            tls_context=at.tls,
        ):
            pass


__all__ = ["Finding", "at_fault", "examine"]
