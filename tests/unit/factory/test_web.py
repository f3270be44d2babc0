"""What is said where an element behind HTTPS does not answer."""

import socket

import pytest

from pilotage.central.factory.elements.web import opened
from pilotage.central.factory.errors import ElementOperation, ElementUnreachable


async def test_who_does_not_answer_is_named_with_what_the_system_says() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    url = f"https://127.0.0.1:{port}/path"
    with pytest.raises(ElementUnreachable) as why:
        async with opened(url, ca_file="", timeout_s=5.0, transport=None) as web:
            await web.ask(ElementOperation.REACH, "GET", "/x")

    assert f"ConnectError at {url}" in str(why.value)
    assert "onnection" in str(why.value)
