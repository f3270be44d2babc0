"""Reports through a real SMTP server: one that takes them, refuses, hangs, or is not there."""

import asyncio
import socket
import ssl
import threading
from collections.abc import AsyncIterator, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, Envelope, LoginPassword

from pilotage.central.failover.mails import NotMailed
from pilotage.central.operate.smtp import SmtpMailer, mailer_of
from pilotage.central.settings import BadSetting, MailSettings
from pilotage.proto.trust import trusting
from tests.certificates import self_signed


class Box:
    """What the server has taken."""

    def __init__(self, refuse: str = "") -> None:
        self.refuse = refuse
        self.taken: list[Envelope] = []

    async def handle_RCPT(
        self, server: Any, session: Any, envelope: Envelope, address: str, options: Any
    ) -> str:
        if address == self.refuse:
            return "550 nobody of that name"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Envelope) -> str:
        self.taken.append(envelope)
        return "250 taken"


def let_in(*args: Any) -> AuthResult:
    login = args[-1]
    good = isinstance(login, LoginPassword) and login.password == b"s3cret"
    return AuthResult(success=good, handled=False)


@contextmanager
def server(box: Box, **how: Any) -> Generator[int]:
    """Run a server on a free port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    controller = Controller(box, hostname="127.0.0.1", port=port, **how)
    controller.start()
    try:
        yield port
    finally:
        controller.stop()


def settings(port: int, **given: Any) -> MailSettings:
    return MailSettings(
        host="127.0.0.1", port=port, sender="pilotage@example.org", to=("ops@example.org",), **given
    )


async def send(mailer: SmtpMailer, subject: str = "[pilotage] t: flushed") -> None:
    await mailer.send(subject=subject, text="Saved 1 — intervention\n", key="report-7-5-1")


async def test_a_mail_arrives_as_it_is_and_twice_it_is_the_same_one() -> None:
    box = Box()
    with server(box) as port:
        mailer = SmtpMailer(settings(port))
        await send(mailer)
        await send(mailer)
        await send(mailer, "[pilotage] another\nBcc: all@example.org")

    first, again, other = [_message(one) for one in box.taken]
    assert first["Subject"] == "[pilotage] t: flushed"
    assert first["To"] == "ops@example.org" and first["From"] == "pilotage@example.org"
    assert first.get_content().splitlines() == ["Saved 1 — intervention"]
    assert first["Message-ID"] == again["Message-ID"] != other["Message-ID"]
    assert other["Bcc"] is None and box.taken[2].rcpt_tos == ["ops@example.org"]


def _message(envelope: Envelope) -> Any:
    from email import message_from_bytes, policy

    content = envelope.content
    assert isinstance(content, bytes)
    return message_from_bytes(content, policy=policy.default)


async def test_a_password_is_given_and_a_wrong_one_is_told() -> None:
    box = Box()
    with server(box, authenticator=let_in, auth_require_tls=False) as port:
        await send(SmtpMailer(settings(port, user="pilotage"), "s3cret"))
        with pytest.raises(NotMailed, match="535"):
            await send(SmtpMailer(settings(port, user="pilotage"), "wrong"))

    assert len(box.taken) == 1


def of_server(pem: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    return context


async def test_behind_starttls_a_password_goes_only_to_who_shows_a_good_certificate(
    tmp_path: Path,
) -> None:
    box, pem = Box(), self_signed(tmp_path)
    how: dict[str, Any] = {"tls_context": of_server(pem), "require_starttls": True}
    with server(box, authenticator=let_in, auth_require_tls=True, **how) as port:
        one = settings(port, tls="starttls", user="pilotage")
        await send(SmtpMailer(one, "s3cret", tls=trusting(str(pem))))
        with pytest.raises(NotMailed, match="certificate"):
            await send(SmtpMailer(one, "s3cret"))
        with pytest.raises(NotMailed, match="530|AUTH|STARTTLS"):
            await send(SmtpMailer(settings(port, user="pilotage"), "s3cret"))

    (envelope,) = box.taken
    assert _message(envelope)["To"] == "ops@example.org"


async def test_a_server_that_has_no_tls_gets_nothing_where_starttls_is_wanted() -> None:
    box = Box()
    with server(box) as port, pytest.raises(NotMailed, match="STARTTLS"):
        await send(SmtpMailer(settings(port, tls="starttls")))

    assert box.taken == []


async def test_who_is_refused_is_named_and_the_others_have_it() -> None:
    box = Box(refuse="ops@example.org")
    with server(box) as port:
        one = settings(port)
        with pytest.raises(NotMailed, match=r"127\.0\.0\.1:\d+: .*nobody of that name"):
            await send(SmtpMailer(one))
        both = MailSettings(
            host=one.host, port=port, sender=one.sender, to=("ops@example.org", "ada@example.org")
        )
        await send(SmtpMailer(both))

    assert [one.rcpt_tos for one in box.taken] == [["ada@example.org"]]


async def test_a_server_that_is_not_there_is_told_at_once() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(NotMailed, match="refused"):
        await send(SmtpMailer(settings(port)))


@pytest.fixture
async def silent() -> AsyncIterator[int]:
    """A server that takes connections and never says a word."""
    listening = socket.create_server(("127.0.0.1", 0))
    kept: list[socket.socket] = []

    def accept() -> None:
        while True:
            try:
                kept.append(listening.accept()[0])
            except OSError:
                return

    threading.Thread(target=accept, daemon=True).start()
    yield listening.getsockname()[1]
    listening.close()
    for one in kept:
        one.close()


async def test_a_server_that_hangs_holds_nobody_up(silent: int) -> None:
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0.01)
            turns += 1

    beside = asyncio.get_running_loop().create_task(others())
    mailer = SmtpMailer(settings(silent), server_s=30.0, within_s=0.5)
    with pytest.raises(NotMailed, match="within 0.5 s"):
        await send(mailer)
    with pytest.raises(NotMailed, match="within 0.5 s"):
        await send(mailer)
    beside.cancel()

    assert turns > 30
    assert sum("_deliver" in str(one) for one in threading.enumerate()) <= 1


def test_without_a_host_or_anybody_to_get_them_nothing_is_mailed(tmp_path: Path) -> None:
    assert mailer_of(MailSettings()) is None
    assert mailer_of(MailSettings(host="h")) is None
    assert mailer_of(settings(25)) is not None
    with pytest.raises(BadSetting, match=r"failover\.mail\.password_file: cannot be read"):
        mailer_of(settings(25, user="u", password_file=str(tmp_path / "none")))
    (tmp_path / "word").write_text("s3cret\n")
    assert mailer_of(settings(25, user="u", password_file=str(tmp_path / "word"))) is not None
