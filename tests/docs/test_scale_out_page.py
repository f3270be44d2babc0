"""What the page of several processes shows can be started, and its balancer can be had."""

import re
import shlex
from pathlib import Path
from typing import Final

from pilotage.central.cli.serve import parse_settings
from pilotage.central.operate.serve_api import check_roles
from pilotage.central.operate.store_selection import check_url
from pilotage.central.settings import ProcessRole, load
from pilotage.central.store.postgresql.servers import named_by
from tests.services import balancer
from tests.tidy import tree

PAGE: Final = "docs/scale-out.md"
DATABASE: Final = "docs/operations/high-availability.md"
NAMED: Final = {"--roles": "process.roles", "--port": "http.port"}


def blocks(language: str, page: str = PAGE) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", tree.text(page), re.DOTALL | re.MULTILINE)


def test_the_processes_of_the_trial_can_lead_or_take_jobs_in() -> None:
    (script,) = [one for one in blocks("sh") if "PILOTAGE_HTTP__URL" in one]
    exports = [word for word in shlex.split(script, comments=True) if word.startswith("PILOTAGE_")]
    environment = dict(word.split("=", 1) for word in exports)
    urls: list[str] = []
    for line in (one for one in script.splitlines() if one.startswith("pilotage serve")):
        words = shlex.split(line.partition(" 2>")[0])[2:]
        options = dict(zip(words[::2], words[1::2], strict=True))
        told = {NAMED[name]: value for name, value in options.items() if name in NAMED}
        own = parse_settings((options["--set"],)) if "--set" in options else {}
        settings = load(None, environment, {**told, **own})
        check_roles(settings)
        check_url(settings.store.url)
        urls.append(f"http://127.0.0.1:{settings.http.port}")

        assert settings.process.url == (
            urls[-1] if (ProcessRole.DISPATCH in settings.process.role_set) else ""
        )
    assert (len(urls), environment["PILOTAGE_HTTP__URL"]) == (3, urls[-1])


def test_its_processes_have_settings_that_hold(tmp_path: Path) -> None:
    (text,) = blocks("yaml")
    file = tmp_path / "pilotage.yaml"
    file.write_text(text)
    (script,) = [one for one in blocks("sh") if "--config" in one]
    commands = [shlex.split(line) for line in script.splitlines() if "pilotage serve" in line]
    ports: list[int] = []
    for words in commands:
        options = dict(zip(words[2::2], words[3::2], strict=True))
        told = {NAMED[name]: value for name, value in options.items() if name in NAMED}
        settings = load(file, {}, {**told, **parse_settings((options["--set"],))})
        check_roles(settings)
        ports.append(settings.http.port)

        assert options["--config"] in text
        assert bool(settings.process.url) == (ProcessRole.DISPATCH in settings.process.role_set)
        assert settings.process.url.endswith(f":{ports[0]}" if settings.process.url else "")

    assert len(commands) == 2
    assert f"central1.example.org:{ports[1]} " in balancer.EXAMPLE.read_text()


def test_several_servers_stand_in_the_url_as_it_says(tmp_path: Path) -> None:
    (text,) = blocks("yaml", DATABASE)
    file = tmp_path / "pilotage.yaml"
    file.write_text(text)
    url = load(file, {}).store.url
    check_url(url)

    assert named_by(url) == (("db1.example.org", 5432), ("db2.example.org", 5432))


def test_what_it_says_of_the_balancer_stands_in_the_example() -> None:
    example = balancer.EXAMPLE.read_text()
    named = re.findall(
        r"`((?:proxy_next_upstream |max_fails=|proxy_read_timeout)[^`]*)`", tree.text(PAGE)
    )

    assert len(named) >= 3
    assert all(word in example for word in named)
