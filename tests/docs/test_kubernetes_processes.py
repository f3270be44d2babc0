"""The manifests of several processes: what they name is there, and what they start has settings.

No cluster took part. The fields were compared with the published schema of Kubernetes 1.37.
"""

from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from pilotage.central.operate.serve import END_S
from pilotage.central.operate.serve_api import check_roles
from pilotage.central.settings import ProcessRole, Settings, load
from tests.tidy import tree

OBJECTS: Final[list[Any]] = list(yaml.safe_load_all(tree.text("deploy/kubernetes/pilotage.yaml")))
WORKLOADS: Final = ("central", "api")
NAMED: Final = {"--roles": "process.roles", "--port": "http.port"}
OUTSIDE: Final = {"pilotage-tls", "pilotage-passwords"}  # Secrets that the page has made


def named(kind: str, name: str) -> Any:
    (found,) = [one for one in OBJECTS if one["kind"] == kind and one["metadata"]["name"] == name]
    return found


def template(name: str) -> Any:
    return named("StatefulSet" if name == "central" else "Deployment", name)["spec"]["template"]


def settings_of(name: str, folder: Path) -> Settings:
    (container,) = template(name)["spec"]["containers"]
    file = folder / "pilotage.yaml"
    file.write_text(named("ConfigMap", "pilotage")["data"]["pilotage.yaml"])
    words = container["args"]
    options = dict(zip(words[1::2], words[2::2], strict=True))
    told = {one["name"]: one["value"] for one in container["env"] if "value" in one}
    told = {key: text.replace("$(POD_NAME)", f"{name}-0") for key, text in told.items()}
    chosen = {NAMED[option]: text for option, text in options.items() if option in NAMED}
    return load(file, told, chosen)


@pytest.mark.parametrize("name", WORKLOADS)
def test_a_process_has_settings_that_hold_and_is_asked_where_it_listens(
    name: str, tmp_path: Path
) -> None:
    settings = settings_of(name, tmp_path)
    pod = template(name)["spec"]
    (container,) = pod["containers"]
    check_roles(settings)

    assert [port["containerPort"] for port in container["ports"]] == [settings.http.port]
    assert {
        container[probe]["httpGet"]["port"] for probe in ("readinessProbe", "livenessProbe")
    } == {"api"}
    assert (ProcessRole.DISPATCH in settings.process.role_set) == (name == "central")
    assert bool(settings.process.url) == (name == "central")
    assert pod["terminationGracePeriodSeconds"] > END_S


@pytest.mark.parametrize("name", WORKLOADS)
def test_what_a_pod_names_is_there(name: str) -> None:
    pod = template(name)["spec"]
    (container,) = pod["containers"]
    volumes = {one["name"]: one for one in pod["volumes"]}
    mounted = {one["name"]: one["mountPath"] for one in container["volumeMounts"]}
    secrets = {one["secret"]["secretName"] for one in volumes.values() if "secret" in one}
    settings = named("ConfigMap", "pilotage")["data"]["pilotage.yaml"]

    assert set(volumes) == set(mounted)
    assert secrets == OUTSIDE
    assert all(f"{mounted[one]}/" in settings for one in ("tls", "passwords"))
    assert named("PersistentVolumeClaim", volumes["data"]["persistentVolumeClaim"]["claimName"])
    assert container["args"][2].startswith(f"{mounted['data']}/")  # made by the process: 0700


def test_only_processes_with_the_role_api_are_behind_the_balancer(tmp_path: Path) -> None:
    labels = {name: template(name)["metadata"]["labels"] for name in WORKLOADS}
    balancer = named("Service", "api")["spec"]["selector"]
    replicas = named("StatefulSet", "central")["spec"]["replicas"]

    assert labels["api"].items() >= balancer.items()
    assert not labels["central"].items() >= balancer.items()
    for number in range(replicas):
        service = named("Service", f"central-{number}")["spec"]
        (port,) = service["ports"]
        assert list(service["selector"].values()) == [f"central-{number}"]
        assert port["port"] == settings_of("central", tmp_path).http.port
