"""A plug-in with which amqtt asks for the topics that a client may write and read.

amqtt finds a plug-in by its dotted name and passes it its `Config`.
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
    """A pilot may write to its own `up` topics and read its own `down` topic, and nothing else."""

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
    """Calls the topic plug-ins directly instead of in a task each.

    amqtt walks its table of subscriptions while it waits for these tasks. If a client subscribes
    in between, amqtt drops the message. An immediate answer leaves no time for that.
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
