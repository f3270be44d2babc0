"""Sends mail through an SMTP server, in a thread that may hang without harm."""

import hashlib
import smtplib
import ssl
from collections.abc import Sequence
from email.message import EmailMessage
from email.utils import formatdate
from functools import partial
from pathlib import Path
from typing import Final

from pilotage.proto.trust import trusting

from ..factory.file_reader import ReaderThread
from ..failover.mails import Mailer, NotMailed
from ..regular_files import read_regular
from ..settings import BadSetting, MailSettings

SERVER_S: Final = 20.0  # for one answer of the server
WITHIN_S: Final = 60.0  # for one mail, in any case
PASSWORD_MAX: Final = 4_096


class SmtpMailer:
    """One server, and the usual recipients."""

    def __init__(
        self,
        settings: MailSettings,
        password: str = "",
        *,
        server_s: float = SERVER_S,
        within_s: float = WITHIN_S,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._settings, self._password = settings, password
        self._server_s, self._tls = server_s, tls
        self._thread = ReaderThread(within_s)
        self._within_s = within_s

    async def send(self, *, subject: str, text: str, key: str, to: Sequence[str] = ()) -> None:
        """Return when the server has accepted the mail. Raises NotMailed."""
        recipients = list(to or self._settings.to)
        message = self._message(subject, text, key, recipients)
        try:
            await self._thread.do(partial(self._deliver, message, recipients))
        except TimeoutError:
            why = f"{self._where} did not accept the mail within {self._within_s:g} s"
            raise NotMailed(why) from None
        except (OSError, smtplib.SMTPException) as why:
            raise NotMailed(f"{self._where}: {_error_text(why)}") from why

    @property
    def _where(self) -> str:
        return f"{self._settings.host}:{self._settings.port}"

    def _message(
        self, subject: str, text: str, key: str, recipients: Sequence[str]
    ) -> EmailMessage:
        message = EmailMessage()
        message["From"], message["To"] = self._settings.sender, ", ".join(recipients)
        message["Subject"] = " ".join(subject.split())[:200]
        message["Date"] = formatdate()
        made = hashlib.sha256(f"{key} {subject} {text}".encode()).hexdigest()[:24]
        message["Message-ID"] = f"<{key}-{made}@pilotage>"
        message["Auto-Submitted"] = "auto-generated"  # so that holiday programs do not answer
        message.set_content(text)
        return message

    def _deliver(self, message: EmailMessage, recipients: Sequence[str]) -> None:
        one = self._settings
        with self._connection() as server:
            if one.tls == "starttls":
                server.starttls(context=self._tls or trusting())
            if one.user:
                server.login(one.user, self._password)
            # If the server refuses only some recipients, the mail counts as sent.
            server.send_message(message, one.sender, recipients)

    def _connection(self) -> smtplib.SMTP:
        one = self._settings
        if one.tls == "tls":
            context = self._tls or trusting()
            return smtplib.SMTP_SSL(one.host, one.port, timeout=self._server_s, context=context)
        return smtplib.SMTP(one.host, one.port, timeout=self._server_s)


def _error_text(why: Exception) -> str:
    """Return the error with the server's message."""
    if isinstance(why, smtplib.SMTPResponseException):
        said = why.smtp_error
        return (
            f"{why.smtp_code} {said.decode(errors='replace') if isinstance(said, bytes) else said}"
        )
    return str(why) or type(why).__name__


def mailer_of(settings: MailSettings) -> Mailer | None:
    """Return the mailer of reports, or None if none is set. Raises BadSetting."""
    return user_mailer_of(settings) if settings.is_wanted else None


def user_mailer_of(settings: MailSettings) -> Mailer | None:
    """Return a mailer for any recipients, or None without a server. Raises BadSetting."""
    if not settings.host:
        return None
    password = ""
    if settings.user:
        try:
            password = read_regular(Path(settings.password_file), PASSWORD_MAX).decode().strip()
        except (OSError, UnicodeDecodeError) as why:
            raise BadSetting("failover.mail.password_file", f"cannot be read: {why}") from None
    return SmtpMailer(settings, password)
