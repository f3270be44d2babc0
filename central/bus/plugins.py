"""What makes amqtt ask us who may write and read which topic.

amqtt finds a plug-in by its dotted name and hands it its `Config`.
"""

# pyright: reportMissingTypeStubs=false

from dataclasses import dataclass
from typing import cast

from amqtt.broker import BrokerContext
from amqtt.contexts import Action, BaseContext
from amqtt.plugins.base import BasePlugin, BaseTopicPlugin
from amqtt.plugins.manager import PluginManager
from amqtt.session import Session

from .logins import Logins


class PilotTopics(BaseTopicPlugin):
    """A pilot writes its own `up` and reads its own `down`, and nothing else."""

    @dataclass
    class Config(BaseTopicPlugin.Config):
        logins: Logins

    def __init__(self, context: BaseContext) -> None:
        super().__init__(context)
        self._logins: Logins = self._get_config_option("logins")

    async def topic_filtering(
        self,
        *,
        session: Session | None = None,
        topic: str | None = None,
        action: Action | None = None,
    ) -> bool:
        if session is None or session.username is None or topic is None:
            return False
        if action == Action.PUBLISH:
            return self._logins.may_publish(session.username, topic)
        return self._logins.may_read(session.username, topic)


class DirectPlugins(PluginManager[BrokerContext]):
    """Asks the topic plug-ins at once instead of in a task each.

    amqtt walks its table of subscriptions while it waits for those tasks, and drops the message
    when a client subscribes in between. An answer without waiting leaves it no time for that.
    """

    async def map_plugin_topic(
        self, *, session: Session, topic: str, action: Action
    ) -> dict[BasePlugin[BrokerContext], str | bool | None]:
        answers: dict[BasePlugin[BrokerContext], str | bool | None] = {}
        for plugin in self.plugins:
            if isinstance(plugin, PilotTopics):
                answers[cast("BasePlugin[BrokerContext]", plugin)] = await plugin.topic_filtering(
                    session=session, topic=topic, action=action
                )
        return answers
