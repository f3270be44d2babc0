"""Logins by a browser on this machine, which comes back to a loopback port."""

import asyncio
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from pilotage.central.client.credentials import CentralLogin
from pilotage.central.client.errors import LoginRefused
from pilotage.central.client.logins import login_flows
from pilotage.central.client.logins.login_flows import LoginWish, log_in_by_browser
from pilotage.central.client.transport import Transport

from .stub_central import StubCentral


def transport_of(central: StubCentral) -> Transport:
    login = CentralLogin("http://central.test", "")
    return Transport(login, pace=central.pace, patience_s=0.0, http=central)


async def log_in(tell: Any) -> None:
    await log_in_by_browser(transport_of(StubCentral()), LoginWish(), tell=tell, choose=str)


async def test_the_page_sends_the_person_back_to_the_terminal_before_the_claim() -> None:
    told = asyncio.get_running_loop().create_future()

    async def browse() -> str:
        query = parse_qs(urlsplit(await told).query)
        port = urlsplit(query["redirect_uri"][0]).port
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        target = f"/callback?error_description=no&state={query['state'][0]}"
        writer.write(f"GET {target} HTTP/1.1\r\n\r\n".encode())
        page = (await reader.read()).decode()
        writer.close()
        return page

    async with asyncio.TaskGroup() as tasks:
        page = tasks.create_task(browse())
        with pytest.raises(LoginRefused, match="no"):
            await log_in(told.set_result)

    assert "Go back to the terminal" in page.result() and "You are logged in" not in page.result()


async def test_a_browser_that_never_comes_back_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(login_flows, "LOGIN_S", 0.05)

    with pytest.raises(LoginRefused, match="the browser did not come back within"):
        await log_in(lambda _: None)
