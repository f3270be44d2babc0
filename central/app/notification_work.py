"""Builds the notifications of users."""

from ..dispatch.memory import Memory
from ..identity.callers import User
from ..identity.tokens import TokenIssuer
from ..notifications.assembly import Notifications, notifications
from ..productions.service import ProductionService
from ..settings import Settings
from .process_parts import World


def notification_work(
    world: World,
    settings: Settings,
    memory: Memory,
    tokens: TokenIssuer,
    flows: ProductionService,
) -> Notifications:
    """Return the notifications of users about their submissions and productions."""

    async def production_id(caller: User, named: str) -> int:
        return (await flows.show(caller, named)).view.id

    return notifications(
        store=world.store,
        owners=memory.owners,
        senders=world.senders,
        settings=settings.notify,
        url=lambda: settings.http.url,
        secret_of=lambda owner_id, url: tokens.cipher_key(f"webhook:{owner_id}:{url}").hex(),
        production_id=production_id,
        clock=world.clock,
        log=world.log,
    )
