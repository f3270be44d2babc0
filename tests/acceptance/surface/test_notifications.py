"""People are told of their jobs by a real mail server and a real receiver of webhooks."""

import email
import email.policy
import hashlib
import hmac
import json
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import Envelope

from pilotage.central.client.errors import Refused
from tests.services.ports import free_ports

from ..running import RunningCentral, eventually, running_central

SWEEP = """
name: sweep
notify: [end, fail, half]
template: {command: [sh, -c, "test {x} != 4 || sleep 2; test {x} != bad"]}
parameters: [{x: 1}, {x: bad}, {x: 3}, {x: 4}]
"""


class MailBox:
    """What the mail server has taken. It refuses mail at first, if it is told to."""

    def __init__(self) -> None:
        self.refuses = 0
        self.taken: list[EmailMessage] = []
        self.recipients: list[str] = []

    async def handle_DATA(self, server: Any, session: Any, envelope: Envelope) -> str:
        if self.refuses:
            self.refuses -= 1
            return "451 try again later"
        assert isinstance(envelope.content, bytes)
        found = email.message_from_bytes(envelope.content, policy=email.policy.default)
        self.taken.append(found)
        self.recipients += envelope.rcpt_tos
        return "250 taken"

    @property
    def subjects(self) -> list[str]:
        return [str(one["Subject"]) for one in self.taken]


class Hooks:
    """A receiver of webhooks: a real HTTP server that can be stopped, and fails at first."""

    def __init__(self, port: int) -> None:
        self.port, self.fails = port, 0
        self.seen: list[tuple[str, str, bytes]] = []  # delivery, signature, body

    @contextmanager
    def open(self) -> Generator[None]:
        seen, me = self.seen, self

        class Receiver(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                names = ("X-Pilotage-Delivery", "X-Pilotage-Signature")
                delivery, signature = (self.headers[name] for name in names)
                seen.append((delivery, signature, body))
                me.fails, status = max(0, me.fails - 1), 500 if me.fails else 204
                self.send_response(status)
                self.end_headers()

            def log_message(self, *said: object) -> None:
                pass

        server = HTTPServer(("127.0.0.1", self.port), Receiver)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()
            server.server_close()

    @property
    def told(self) -> list[str]:
        return [f"{one['event']} {one['id']}" for one in map(_json, self.seen)]


def _json(seen: tuple[str, str, bytes]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(seen[2])
    return found


@contextmanager
def told_central(
    folder: Path, hooks: Hooks, **settings: str
) -> Generator[tuple[RunningCentral, MailBox]]:
    """Run a central with a mail server."""
    box, (port,) = MailBox(), free_ports(1)
    server = Controller(box, hostname="127.0.0.1", port=port)
    server.start()
    given = {
        "every_s": "0.2",
        "retry_s": "0.3",
        "mail_domains": '["pic.es"]',
        "webhook_http": "true",
        "webhook_ports": f"[{hooks.port}]",
        "webhook_allowed": '["127.0.0.1/32"]',
        **settings,
    }
    options = {f"notify.{name}": value for name, value in given.items()}
    options["failover.mail"] = f"{{host: 127.0.0.1, port: {port}}}"
    try:
        with running_central(folder, options) as central:
            yield central, box
    finally:
        server.stop()


def test_the_half_the_failure_and_the_end_of_a_sweep_come_by_mail_and_webhook(
    tmp_path: Path,
) -> None:
    hooks = Hooks(*free_ports(1))
    with hooks.open(), told_central(tmp_path, hooks) as (central, box):
        (tmp_path / "sweep.yaml").write_text(SWEEP)
        refused = central.type("submit", "sweep.yaml", code=3)
        assert "you have no address for notifications: `pilotage notify --mail" in refused
        assert "not one of end, fail, half" in central.type(
            "submit", "--notify", "x", "--", "a", code=2
        )

        url = f"http://127.0.0.1:{hooks.port}/hook"
        said = central.type("notify", "--mail", "ada@pic.es", "--webhook", url)
        secret = said.split("webhook secret: ")[1].split()[0]
        hooks.fails, box.refuses = 2, 2
        central.type("submit", "sweep.yaml")
        assert "submission 1: end, fail, half" in central.type("notify")
        central.pilot(isolation="session")
        eventually(lambda: len(box.taken) >= 2 and "end 1" in hooks.told, what="all messages")

        last = box.taken[-1]
        assert last["Subject"] == "[pilotage] submission 1 sweep has ended: 3 Done, 1 Failed"
        assert (last["To"], last["Auto-Submitted"]) == ("ada@pic.es", "auto-generated")
        assert "       1 " in last.get_content() and "(job 2)" in last.get_content()
        assert set(box.recipients) == {"ada@pic.es"}
        assert len({one["Message-ID"] for one in box.taken}) == len(box.taken)
        # 500 twice: the same delivery three times, each signed.
        assert [one[0] for one in hooks.seen[:3]] == [hooks.seen[0][0]] * 3
        for delivery, signature, body in hooks.seen:
            mac = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
            assert signature == f"sha256={mac}" and json.loads(body)["delivery"] == delivery
        assert hooks.told[2] in {"fail 1", "half 1"}
        last_hook = _json(hooks.seen[-1])
        assert last_hook["counts"] == {"Done": 3, "Failed": 1}
        assert last_hook["causes"][0]["job"] == 2
        assert " sent" in central.type("notify") and "451" not in central.type("notify")


def test_messages_are_few_an_hour_survive_a_kill_and_a_receiver_that_is_away(
    tmp_path: Path,
) -> None:
    hooks = Hooks(*free_ports(1))
    with told_central(tmp_path, hooks, an_hour="3") as (central, box):
        url = f"http://127.0.0.1:{hooks.port}/hook"
        central.client.set_notification_addresses(webhook=url)
        central.pilot(isolation="session")
        first = central.client.submit({"command": ["true"]}, notify="end")
        first.wait()
        tried = eventually(lambda: central.events("not_notified"), what="a refused connection")
        assert tried[0]["why"] == "no connection: ConnectionRefusedError"
        central.kill9()  # between the outbox and the receiver

        with hooks.open():
            central.restart()
            eventually(lambda: hooks.told, what="the message of before the kill")
            ids = [central.client.submit({"command": ["true"]}, notify=["end"]) for _ in range(6)]
            for one in ids:
                one.wait()
            eventually(
                lambda: len(central.client.notifications().recent) == 7, what="all in the outbox"
            )
            eventually(lambda: len(hooks.seen) == 3, what="the last message of this hour")
            time.sleep(1.0)
            assert len(hooks.seen) == 3 and box.taken == []
            told = [_json(one) for one in hooks.seen]
            assert sum(1 + len(one["others"]) for one in told) <= 7
            assert {one.channel for one in central.client.notifications().recent} == {"webhook"}


def refusal(central: RunningCentral, number: int) -> dict[str, Any]:
    """Wait for a try that has failed; return its event."""
    eventually(lambda: len(central.events("not_notified")) >= number, what="a refusal")
    return central.events("not_notified")[-1]


def test_a_webhook_reaches_nothing_of_the_operators_network(tmp_path: Path) -> None:
    hooks = Hooks(*free_ports(1))
    with (
        hooks.open(),
        told_central(tmp_path, hooks, webhook_allowed="[]", tries="1") as (central, _),
    ):
        for url in (
            f"http://127.0.0.1:{hooks.port + 1}/",
            f"ftp://127.0.0.1:{hooks.port}/",
            f"http://user@127.0.0.1:{hooks.port}/",
            f"http://127.0.0.1:{hooks.port}/\r\nX: y",
        ):
            with pytest.raises(Refused):
                central.client.set_notification_addresses(webhook=url)
        with pytest.raises(Refused, match="sends mail only to"):
            central.client.set_notification_addresses(mail="eve@example.org")
        central.pilot(isolation="session")
        hosts = ("127.0.0.1", "localhost", "0x7f.1", "2130706433", "[::ffff:127.0.0.1]", "0")
        for tries, host in enumerate(hosts, 1):
            central.client.set_notification_addresses(webhook=f"http://{host}:{hooks.port}/")
            central.client.submit({"command": ["true"]}, notify="end").wait()
            last = refusal(central, tries)
            assert last["why"] == "this host is unknown, or the central may not connect to it"
        assert hooks.seen == []
