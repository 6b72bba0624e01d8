"""Tells those who asked for it what happened to requests: in order, at least once, again after a
while where nobody answers, and nobody waits for somebody else.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import logging
import random
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from sqlalchemy import Connection

from alteraser.errors import AltEraserError
from alteraser.ledger import subscriptions
from alteraser.ledger.subscriptions import News, Subscription
from alteraser.service.faults import told
from alteraser.service.outbound import Hosts, Unreachable
from alteraser.service.state import State

EVERY = 1.0
"""Seconds between two looks for news"""
AT_ONCE = 4
"""Calls at the same time"""
WEBHOOK = "webhook"

logger = logging.getLogger("alteraser.service")


@dataclass(frozen=True)
class Message:
    """What is sent."""

    body: bytes
    headers: Mapping[str, str]
    told: str | None
    """The status that it tells"""
    last: bool = False
    """Whether there is nothing to tell after it"""


Writer = Callable[[Connection, Subscription, News], Message | None]
"""Writes what a protocol sends of news; None: nothing, as the protocol has no word for the
difference"""


class Relay:
    """Makes the calls."""

    def __init__(
        self,
        state: State,
        hosts: Hosts,
        writers: Mapping[str, Writer],
        stop: threading.Event | None = None,
    ) -> None:
        self.state, self.hosts = state, hosts
        self.writers = {WEBHOOK: self._webhook, **writers}
        self.stop = stop or threading.Event()
        self._under_way: set[int] = set()
        self._looked: dict[int, int] = {}

    def run(self) -> None:
        """Until ``stop`` is set. A call that is under way then is made again at the next start."""
        while not self.stop.wait(EVERY):
            try:
                free = AT_ONCE - len(self._under_way)
                for each in self._waiting()[:free]:
                    self._under_way.add(each.number)
                    threading.Thread(target=self._safely, args=(each,), daemon=True).start()
            except Exception as error:  # the ledger is busy, or its server away
                logger.warning("callbacks wait: %s", told(error))

    def once(self) -> None:
        """Every call that is due, one after the other."""
        for each in self._waiting():
            self._tell(each)

    def _waiting(self) -> list[Subscription]:
        """Those for whom there is news. Who was looked at is not again until something happens."""
        with self.state.database.reading() as connection:
            found = subscriptions.due(connection, self.state.clock())
            last = subscriptions.last_event(connection) if found else 0
            waiting = []
            for each in found:
                if each.number in self._under_way or self._looked.get(each.number) == last:
                    continue
                if subscriptions.news(connection, each):
                    waiting.append(each)
                else:
                    self._looked[each.number] = last
            return waiting

    def _safely(self, each: Subscription) -> None:
        try:
            self._tell(each)
        except Exception as error:
            logger.error("a callback: %s", told(error))
        finally:
            self._under_way.discard(each.number)

    def _tell(self, each: Subscription) -> None:
        """Tell all the news that there is, as long as it is answered."""
        with self.state.database.reading() as connection:
            found = subscriptions.news(connection, each)
            write = self.writers.get(each.form)
            messages = [(one, write(connection, each, one) if write else None) for one in found]
        said = each.told
        for one, message in messages:
            if self.stop.is_set():
                return
            repeats = message is not None and message.told is not None and message.told == said
            if message is not None and not repeats:
                reason = self._sent(each, message)
                if reason is not None:
                    self._failed(each, reason)
                    return
                said = message.told
            with self.state.database.writing() as connection:
                subscriptions.answered(connection, each, one.sequence, said, self.state.clock())
                if message is not None and message.last:
                    subscriptions.end(connection, each, self.state.clock())
                    return

    def _sent(self, each: Subscription, message: Message) -> str | None:
        """Why it was not answered with a yes; None: it was."""
        headers = {"Content-Type": "application/json", **message.headers}
        try:
            status = self.hosts.post(each.url, message.body, headers)
        except (Unreachable, AltEraserError) as error:
            return str(getattr(error, "details", {}).get("code", error))
        return None if 200 <= status < 300 else str(status)

    def _failed(self, each: Subscription, reason: str) -> None:
        logger.warning("callback %s: %s", each.id, reason)
        with self.state.database.writing() as connection:
            jitter = random.random()
            subscriptions.failed(connection, each, reason, self.state.clock(), jitter)

    def _webhook(self, connection: Connection, each: Subscription, news: News) -> Message:
        body = json.dumps(
            {
                "event_id": news.sequence,
                "at": news.at,
                "request_id": news.request,
                "status": news.status,
            }
        ).encode()
        name, at = f"{each.id}-{news.sequence}", int(self.state.clock().timestamp())
        secret = webhook_secret(self.state.hashing, each.id)
        return Message(body, signed(secret, name, at, body), None)


def webhook_secret(key: bytes, name: str) -> bytes:
    """What the messages of a subscription are signed with: follows from the state's key, and is
    stored nowhere.
    """
    return hmac.digest(key, b"webhook\n" + name.encode(), "sha256")


def signed(secret: bytes, name: str, at: int, body: bytes) -> dict[str, str]:
    """The headers of Standard Webhooks: HMAC-SHA-256 of ``name.at.body``, in base64. ``name`` is
    the same whenever the message is sent, ``at`` is now.
    """
    content = f"{name}.{at}.".encode() + body
    signature = base64.b64encode(hmac.new(secret, content, hashlib.sha256).digest()).decode()
    return {
        "webhook-id": name,
        "webhook-timestamp": str(at),
        "webhook-signature": f"v1,{signature}",
    }
