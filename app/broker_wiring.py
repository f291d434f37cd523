"""Wires the broker: one process of all carries the log to it, and each hears of the others' commits from it."""

from functools import partial

from app.broker.consumer import JetStreamTail
from app.broker.jetstream import Broker
from app.broker.publisher import Publisher
from app.core.background import Runner
from app.core.ports import Tail
from app.web.services import Services


def broker_runners(url: str, services: Services, elected: Tail) -> dict[str, Runner]:
    """Return what brings other processes' commits. `elected` hears of them all while it is the one that may."""
    broker = Broker(url)
    publisher = Publisher(services.log, broker)
    tail = JetStreamTail(broker, lambda: services.hub.epoch)
    return {
        "elected": partial(elected.run, publisher),
        "publisher": publisher.run,
        "tail": partial(tail.run, services.relay),
    }
