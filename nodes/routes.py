"""What the pages ask the server: all under /concept_erasure, by name only; no path from a client reaches the file system."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from aiohttp import web
from server import PromptServer

from . import erasers, live, search

PREFIX = "/concept_erasure"
_MAX_TEXT = 300


def register() -> None:
    """Add the routes to the running server; without one (tests, tools) nothing happens."""
    server = getattr(PromptServer, "instance", None)
    if server is None:
        return
    for method, path, handler in (
        ("GET", "/training/{node}", training), ("POST", "/training/{node}/stop", stop), ("GET", "/space/{node}", space),
        ("GET", "/erasers", list_erasers), ("GET", "/eraser", eraser), ("GET", "/thumbnail", thumbnail),
    ):
        server.routes.route(method, PREFIX + path)(handler)


async def training(request: web.Request) -> web.Response:
    """The whole state of a node's last training; {} when there is none since the server started."""
    found = live.find(_text(request.match_info["node"]))
    return _json(found.snapshot() if found else {})


async def stop(request: web.Request) -> web.Response:
    """Stop and keep. A page of another site cannot send JSON here without being asked first, which the server refuses."""
    if request.content_type != "application/json":
        return _json({"error": "send JSON"}, 415)
    found = live.find(_text(request.match_info["node"]))
    return _json({"stopping": bool(found and found.request_stop())})


async def space(request: web.Request) -> web.Response:
    """Words for the concept picker: ?q= &vocabulary= &concept="""
    query = [_text(request.query.get(name, "")) for name in ("q", "vocabulary", "concept")]
    return _json(await _aside(search.answer, _text(request.match_info["node"]), *query))


async def list_erasers(request: web.Request) -> web.Response:
    """Cards of all erasers on this machine."""
    return _json({"erasers": await _aside(erasers.erasers)})


async def eraser(request: web.Request) -> web.Response:
    """The card of one file: ?name="""
    card = await _aside(erasers.card, _text(request.query.get("name", "")))
    return _json(card) if card else _json({"error": "no such file in the loras folders"}, 404)


async def thumbnail(request: web.Request) -> web.Response:
    """The picture in a file, as a JPEG drawn anew: ?name="""
    data = await _aside(erasers.thumbnail, _text(request.query.get("name", "")))
    headers = {"X-Content-Type-Options": "nosniff", "Cache-Control": "no-cache"}
    return web.Response(body=data, content_type="image/jpeg", headers=headers) if data else _json({"error": "no picture"}, 404)


async def _aside(work: Callable, *arguments):
    """Work that reads files or compares encodings, off the server's thread."""
    return await asyncio.get_running_loop().run_in_executor(None, work, *arguments)


def _json(value: dict, status: int = 200) -> web.Response:
    return web.json_response(value, status=status, headers={"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store"})


def _text(value: str) -> str:
    return value[:_MAX_TEXT]
