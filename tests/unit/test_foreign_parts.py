"""Parts of libraries on which we build although their authors promise nothing of them.

`pyproject.toml` caps the versions of these libraries. Before a cap is raised, this test and the
tests of `central/http/connection.py` and `central/bus` must pass with the newer version.
"""

import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest
from amqtt.broker import Broker, BrokerContext
from amqtt.plugins.manager import PluginManager
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

# What `LimitedConnection` reads or sets of the protocol that it extends.
OF_A_CONNECTION = (
    *("client", "connections", "cycle", "flow", "limit_concurrency", "logger", "loop", "pipeline"),
    *("scope", "server_state", "tasks", "timeout_keep_alive", "timeout_keep_alive_task"),
    "transport",
)
OF_A_CYCLE = ("disconnected", "keep_alive", "message_event", "response_complete")  # `Exchange` too
METHODS = {
    "connection_made": ("transport",),
    "connection_lost": ("exc",),
    "data_received": ("data",),
    "on_body": ("body",),
    "on_header": ("name", "value"),
    "on_headers_complete": (),
    "on_message_begin": (),
    "on_message_complete": (),
    "on_response_complete": (),
    "pause_writing": (),
    "timeout_keep_alive_handler": (),
}


@pytest.mark.parametrize(
    ("kind", "names"),
    [(HttpToolsProtocol, OF_A_CONNECTION), (RequestResponseCycle, OF_A_CYCLE)],
)
def test_uvicorn_has_the_attributes_that_we_use(kind: type[object], names: tuple[str, ...]) -> None:
    said = inspect.getsource(kind.__init__)
    missing = [name for name in names if not re.search(rf"self\.{name}\b", said)]

    assert not missing


@pytest.mark.parametrize("name", METHODS)
def test_uvicorn_has_the_methods_that_we_extend(name: str) -> None:
    found = inspect.signature(getattr(HttpToolsProtocol, name))

    assert tuple(found.parameters)[1:] == METHODS[name]


def test_amqtt_takes_connections_from_outside_and_other_managers_of_plugins() -> None:
    connected = inspect.signature(Broker.external_connected)
    asked = inspect.signature(PluginManager.map_plugin_topic)

    assert tuple(connected.parameters) == ("self", "reader", "writer", "listener_name")
    assert tuple(asked.parameters) == ("self", "session", "topic", "action")
    assert "plugins_manager" in inspect.getsource(Broker.__init__)
    assert "config" in inspect.getsource(BrokerContext.__init__)


GROUPED = """
import os
import pytest

@pytest.mark.xdist_group("one")
@pytest.mark.parametrize("case", range(6))
def test_of_a_group(case, record_property):
    record_property("worker", os.environ["PYTEST_XDIST_WORKER"])
"""


@pytest.mark.thorough
def test_xdist_runs_the_cases_of_a_group_on_one_worker(tmp_path: Path) -> None:
    """The services of a group are started once. xdist 3.8 and pytest 9.2 ignore the groups."""
    (tmp_path / "test_grouped.py").write_text(GROUPED)
    words = ("-q", "-p", "no:cacheprovider", "-n", "2", "--dist", "loadgroup", "--junitxml=told")
    subprocess.run(
        (sys.executable, "-m", "pytest", *words), cwd=tmp_path, check=True, capture_output=True
    )
    workers = re.findall(r'name="worker" value="(\w+)"', (tmp_path / "told").read_text())

    assert len(workers) == 6
    assert len(set(workers)) == 1
