"""The console: pages written on the server. What a request names is never shown on them.

They work without scripts; the one script, htmx, asks for the parts that change by themselves.
"""

from __future__ import annotations

from fastapi import FastAPI

from alteraser.service.console import models, requests, session
from alteraser.service.console.common import ConsoleApi

__all__ = ["ConsoleApi", "add"]


def add(app: FastAPI, api: ConsoleApi) -> None:
    """The console's routes; they are no part of the API's description."""
    session.add(app, api)
    requests.add(app, api)
    models.add(app, api)
