"""The part of the store in memory that keeps owners and classes, each once."""

from collections.abc import Sequence

import msgspec

from pilotage.central.store.records import JobClass, Owner

from .fake_store_rows import Data


class FakeInterning:
    """Owners and classes of jobs."""

    _data: Data

    def begin_write(self) -> None:
        """Raise what a write raises now."""
        raise NotImplementedError

    async def synced(self) -> None:
        """Wait for the disk."""
        raise NotImplementedError

    async def owner(self, owner: Owner) -> Owner:
        self.begin_write()
        owners = self._data.owners
        named = {(one.community, one.issuer, one.subject): one for one in owners.values()}
        new = msgspec.structs.replace(owner, owner_id=len(owners) + 1)
        known = named.get((owner.community, owner.issuer, owner.subject), new)
        owner = msgspec.structs.replace(known, name=owner.name or known.name)
        owners[owner.owner_id] = owner
        await self.synced()
        return owner

    async def classes(self, wanted: Sequence[JobClass]) -> list[int]:
        self.begin_write()
        classes = self._data.classes
        ids: list[int] = []
        for one in wanted:
            plain = msgspec.structs.replace(one, class_id=0)
            same = (
                class_id
                for class_id, known in classes.items()
                if msgspec.structs.replace(known, class_id=0) == plain
            )
            class_id = next(same, max(classes, default=0) + 1)
            classes[class_id] = msgspec.structs.replace(one, class_id=class_id)
            ids.append(class_id)
        await self.synced()
        return ids
