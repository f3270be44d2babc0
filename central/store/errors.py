"""What can go wrong in the store, and what the caller should do."""

from pilotage.proto.job_states import JobState


class StoreError(Exception):
    """Base of all."""


class StoreFull(StoreError):
    """No space is left. Nothing of the call was stored; try again when there is."""

    def __init__(self, why: str) -> None:
        super().__init__(f"the store takes nothing more: {why}")


class StoreBroken(StoreError):
    """After this failure memory and disk may differ: the process must end."""


class KeyReused(StoreError):
    """The idempotency key is known with another body."""

    def __init__(self, key: str) -> None:
        super().__init__(f"key {key!r} was used before for another submission: take a new key")


class JobNotFound(StoreError):
    """No such job, or not for this caller."""

    def __init__(self, job_id: int) -> None:
        super().__init__(f"there is no job {job_id}")
        self.job_id = job_id


class PilotNotFound(StoreError):
    def __init__(self, pilot: str) -> None:
        super().__init__(f"there is no pilot {pilot!r}")
        self.pilot = pilot


class BadSecret(StoreError):
    """Unknown, expired, or used with another nonce: one message for all three."""

    def __init__(self) -> None:
        super().__init__("this bootstrap secret is unknown, expired or used")


class StaleState(StoreError):
    """The row changed between the read and the write. Read again, then decide again."""

    def __init__(self, job_id: int, expected: JobState) -> None:
        super().__init__(f"job {job_id} is no longer {expected.value}: another writer moved it")
        self.job_id, self.expected = job_id, expected


class NewerSchema(StoreError):
    """The store was written by a newer pilotage."""

    def __init__(self, found: int, known: int) -> None:
        super().__init__(
            f"the store has schema {found}, this pilotage knows up to {known}: install a newer one"
        )


class MigrationChanged(StoreError):
    """A step of the schema that has run reads differently now. Install the right pilotage."""

    def __init__(self, number: int, name: str) -> None:
        super().__init__(
            f"migration {number} ({name}) was changed after this store had run it: "
            "install the pilotage that made the store, or one released after it"
        )
