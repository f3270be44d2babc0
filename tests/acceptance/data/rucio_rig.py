"""A central whose storages are RSEs of a real Rucio server."""

import zlib
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from pilotage.central.client.errors import ClientError
from pilotage.proto.api.rucio import RucioInputView
from pilotage.proto.catalogue import FileState
from pilotage.proto.documents.job import DataInput, Job, JobData, Need
from pilotage.proto.job_states import JobState
from tests.acceptance.running import RunningCentral, running_central
from tests.services.rucio import RucioServer


class Rig:
    """A central with two storages that are RSEs of the server, and one that is not."""

    def __init__(
        self, folder: Path, rucio: RucioServer, scope: str, stack: ExitStack, *more: str
    ) -> None:
        """`more`: lines of the server's file."""
        self.folder, self.rucio, self.scope = folder, rucio, scope
        self.rses = {
            name: f"{scope.upper().replace('.', '-')}-{name.upper()}" for name in ("pic", "lst")
        }
        data = folder / "central" / "central"
        (data / "storages").mkdir(parents=True)
        (data / "rucio").mkdir()
        data.chmod(0o700)
        for name in (*self.rses, "own"):
            (folder / name).mkdir()
            text = (
                f"type: file\nurl: file://{folder / name}\ndefault: {str(name == 'own').lower()}\n"
            )
            (data / "storages" / f"{name}.yaml").write_text(text)
        rucio.add_scope(scope)
        for name, rse in self.rses.items():
            rucio.add_rse(rse, folder / name)
        (data / "rucio" / "main.yaml").write_text(
            "\n".join(
                [
                    f"url: {rucio.url}",
                    "account: root",
                    "community: ctao",
                    f"credential: {{source: file, options: {{path: {rucio.token_file}}}}}",
                    f"storages: {{{self.rses['pic']}: pic, {self.rses['lst']}: lst}}",
                    "strip: /",
                    *more,
                ]
            )
        )
        options = {"community.name": "ctao"}
        self.central: RunningCentral = stack.enter_context(
            running_central(folder / "central", options)
        )
        self.client = self.central.client

    def put(self, name: str, text: str, *, on: str = "pic", **meta: object) -> None:
        """Store a file on an RSE, and register it in Rucio alone."""
        place = self.folder / on / "raw" / name
        place.parent.mkdir(exist_ok=True)
        place.write_text(text)
        file: dict[str, Any] = {
            "scope": self.scope,
            "name": f"/{name}",
            "bytes": len(text),
            "adler32": f"{zlib.adler32(text.encode()):08x}",
            "pfn": f"file://localhost:0{place}",
            "meta": meta,
        }
        self.rucio.add_files(self.rses[on], [file])

    def did(self, name: str) -> str:
        return f"{self.scope}:{name}"

    def state(self, name: str) -> FileState | None:
        try:
            return self.client.file(self.did(name)).file.state
        except ClientError:
            return None

    def read(self, *inputs: DataInput) -> tuple[JobState, str]:
        """Return the end of a job that prints its inputs, and its output."""
        job = Job(
            command=("sh", "-c", 'cat "$@"', "read", "{inputs}"),
            data=JobData(inputs=inputs),
            needs=(Need(wall_s=300),),
        )
        (handle,) = self.client.submit([job]).handles()
        view = handle.wait(timeout_s=120)
        return view.state, b"".join(self.client.job(view.id).log()).decode()

    def input(self) -> RucioInputView:
        (found,) = self.client.rucio_server("main").inputs
        return found
