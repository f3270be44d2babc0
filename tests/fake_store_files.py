"""Files of the catalogue as the store in memory has them: each with all that is known of it."""

from dataclasses import dataclass, field

from pilotage.central.store.catalogue import DatasetRow, FileRow, ReplicaRow
from pilotage.proto.catalogue import Did, FileState, KeyType, Value, state_of


@dataclass
class File:
    """A file with all that is known of it."""

    file_id: int
    did: Did
    bytes: int
    adler32: str
    sha256: str
    owner_id: int
    job_id: int | None
    epoch: int | None
    created_at: float
    state: FileState = FileState.MISSING
    metadata: dict[str, Value] = field(default_factory=dict[str, Value])
    replicas: dict[str, ReplicaRow] = field(default_factory=dict[str, ReplicaRow])
    datasets: set[Did] = field(default_factory=set[Did])
    seq: int = 0

    def row(self) -> FileRow:
        """Return its record; every file has a set of its own here."""
        return FileRow(
            file_id=self.file_id,
            did=self.did,
            bytes=self.bytes,
            adler32=self.adler32,
            sha256=self.sha256,
            state=self.state,
            set_id=self.file_id,
            own={},
            metadata=dict(self.metadata),
            owner_id=self.owner_id,
            job_id=self.job_id,
            epoch=self.epoch,
            created_at=self.created_at,
            seq=self.seq,
        )

    def settle(self) -> None:
        if self.state is not FileState.REMOVED:
            self.state = state_of([one.state for one in self.replicas.values()])


@dataclass
class Community:
    """What one community has."""

    files: dict[Did, File] = field(default_factory=dict[Did, File])
    datasets: dict[Did, DatasetRow] = field(default_factory=dict[Did, DatasetRow])
    keys: dict[str, KeyType] = field(default_factory=dict[str, KeyType])


@dataclass
class CatalogueData:
    """What survives a restart."""

    communities: dict[str, Community] = field(default_factory=dict[str, Community])
    job_inputs: dict[int, list[int]] = field(default_factory=dict[int, list[int]])
    next_file: int = 1
    next_seq: int = 1
    next_dataset: int = 1

    def of(self, community: str) -> Community:
        return self.communities.setdefault(community, Community())

    def all(self) -> list[File]:
        return [file for one in self.communities.values() for file in one.files.values()]

    def touch(self, file: File) -> None:
        file.seq, self.next_seq = self.next_seq, self.next_seq + 1
