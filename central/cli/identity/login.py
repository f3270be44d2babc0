"""`pilotage login` and `pilotage logout`."""

import os
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from pilotage.proto.api.logins import DeviceStarted, ProviderView, SessionEnd
from pilotage.proto.claims import Role

from ...client.credentials import (
    CentralLogin,
    find_connection,
    login_file,
    other_logins,
    read_credentials,
)
from ...client.errors import ClientError, NotAuthenticated
from ...client.logins.login_files import forget_login, save_login
from ...client.logins.login_flows import (
    LOGIN_S,
    LoginWish,
    log_in_by_browser,
    log_in_by_device,
    providers,
)
from ...client.pace import RealPace
from ...client.transport import Transport
from ..command_frame import CentralConnection, CommandResult, changes
from ..exit_codes import UsageError
from ..options import Repeats, once_it_runs
from ..presentation import note
from .login_words import device_words, login_words, no_device_flow, no_such_provider, one_line

PATIENCE_S = 10.0


@changes
async def login(
    central: CentralConnection,
    url: str = "",
    /,
    *,
    browser: Annotated[
        bool, Parameter(help="Open a browser on this machine, instead of showing a code.")
    ] = False,
    provider: Annotated[str, Parameter(help="Identity provider, if there are several.")] = "",
    community: Annotated[str, Parameter(help="Community, if you are in several.")] = "",
    role: Annotated[Role | None, Parameter(help="Role (default: user).")] = None,
) -> CommandResult:
    """Log in at a central through your institute, and make it the default central.

    Without a URL it is the central that other commands use. The login lasts for weeks while it is
    in use; `pilotage logout` ends it.
    """
    target = await _target(central, url)
    wish = LoginWish(provider=provider, community=community, role=role)
    transport = Transport(target, pace=RealPace(), patience_s=_patience(central))
    try:
        known = (await providers(transport)).providers
        if not provider:
            wish = _with_provider(known, wish)
        wrong = no_such_provider if browser else no_device_flow
        if why := wrong(known, wish.provider):
            raise UsageError(why)
        if browser:
            tokens = await log_in_by_browser(transport, wish, tell=open_browser, choose=_choose)
        else:
            tokens = await log_in_by_device(
                transport, wish, pace=RealPace(), tell=partial(_show, known), choose=_choose
            )
        old = _renewal_in(login_file(os.environ, target.url))
        path = await save_login(os.environ, target.url, tokens)
        if old:
            await _end_replaced(transport, SessionEnd(renewal=old, new=tokens.renewal))
    finally:
        await transport.close()
    value = {
        "url": target.url,
        "file": str(path),
        "subject": tokens.subject,
        "community": tokens.community,
        "groups": tokens.groups,
        "role": tokens.role.value,
        "session": tokens.session,
        "ends_at": tokens.session_ends_at,
    }
    return CommandResult(value, login_words(target.url, tokens))


@changes
async def logout(
    central: CentralConnection,
    url: str = "",
    /,
) -> CommandResult:
    """Log out from a central: its tokens for you are refused from now on.

    If the central no longer knows the login, this removes its file only.
    """
    target = await _target(central, url)
    path = login_file(os.environ, target.url)
    if not path.exists():
        others = other_logins(os.environ, target.url)
        raise UsageError(
            "; ".join(filter(None, (f"you are not logged in at {target.url}", others)))
        )
    kept = read_credentials(path)
    transport = Transport(target, pace=RealPace(), patience_s=_patience(central))
    try:
        said = await end_session(transport, kept.renewal)
    finally:
        await transport.close()
    await forget_login(os.environ, target.url)
    return CommandResult({"url": target.url}, "\n".join(filter(None, (said, *_after_logout()))))


def _after_logout() -> Iterator[str]:
    """Yield the central that commands use now, and other logins."""
    with suppress(ClientError):
        now = find_connection(os.environ, token="-").url
        yield f"commands now use {now}; --url chooses another central"
        return
    with suppress(ClientError):
        yield other_logins(os.environ)


async def end_session(transport: Transport, renewal: str) -> str:
    """End the session of a renewal secret, and return what to tell. Raises ClientError."""
    try:
        body = SessionEnd(renewal=renewal)
        await transport.ask(object, "POST", "/v1/login/end", body=body, anonymous=True)
    except NotAuthenticated:
        return f"{transport.url} no longer knows this login: its file was removed from this machine"
    return f"logged out from {transport.url}"


def _renewal_in(file: Path) -> str:
    """Return the renewal secret of an earlier login; empty if there is none, or no good file."""
    with suppress(ClientError):
        return read_credentials(file).renewal
    return ""


async def _end_replaced(transport: Transport, body: SessionEnd) -> None:
    """End the session of a replaced login, whose secret is no longer on this disk."""
    try:
        await transport.ask(object, "POST", "/v1/login/end", body=body, anonymous=True)
    except NotAuthenticated:
        pass  # the central no longer knows it
    except ClientError as why:
        note(f"the login before this one was not ended, see `pilotage session list`: {why}")


async def _target(central: CentralConnection, url: str) -> CentralLogin:
    """Return the central, without a token. It may be starting."""
    common = central.common
    if url and common.url:
        raise UsageError("give the URL once: as an argument, or with --url")

    def found_now() -> CentralLogin:
        return find_connection(os.environ, url=url or common.url, token="-", data=common.data)

    found = await once_it_runs(found_now, common.patience_s, Repeats())
    return CentralLogin(found.url, "", found.ca_file)


def _patience(central: CentralConnection) -> float:
    given = central.common.patience_s
    return PATIENCE_S if given is None else given


def _with_provider(known: Sequence[ProviderView], wish: LoginWish) -> LoginWish:
    """Return the wish with a provider, which is asked for if there are several."""
    if len(known) > 1 and sys.stdin.isatty():
        for one in known:
            note(one_line(f"{one.name}: {one.title}, {one.issuer}"))
        name = _ask("identity provider: ")
        return LoginWish(provider=name, community=wish.community, role=wish.role)
    return wish


def _show(known: Sequence[ProviderView], started: DeviceStarted) -> None:
    for line in device_words(started, known):
        note(line)


def open_browser(url: str) -> None:
    import webbrowser

    note(f"opening {url}")
    note(f"waiting for the browser; Ctrl-C ends it (at most {LOGIN_S / 60:.0f} minutes)")
    # Some browsers return only when they end, and the central's answer comes before.
    threading.Thread(target=webbrowser.open, args=(url,), daemon=True).start()


def _choose(question: str) -> str:
    """Ask for a community. Raises UsageError if the input is no terminal."""
    if not sys.stdin.isatty():
        raise UsageError(f"{question}: log in again with --community")
    note(question)
    return _ask("community: ")


def _ask(prompt: str) -> str:
    sys.stderr.write(prompt)
    sys.stderr.flush()
    return sys.stdin.readline().strip()
