"""Who may ask and how. Plain ASGI, so that no answer, not even an error, leaves without its headers.

A page of another site can make a browser ask this server, and by DNS rebinding even read the answer: so the Host header
must name this machine. Nothing is changed by asking, so only GET and HEAD are answered.
"""

import ipaddress
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from dataclasses import dataclass
from typing import Any

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]

LOOPBACK = ("localhost", "127.0.0.1", "::1")
METHODS = ("GET", "HEAD")
LONGEST_ADDRESS = 4_000


@dataclass(frozen=True)
class Guard:
    """An ASGI app that lets through what may be asked.

    Attributes:
        hosts: names and addresses under which this server may be called.
        policy: the content security policy of every answer.
    """

    app: App
    hosts: frozenset[str]
    policy: str

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            return await self.app(scope, receive, send)
        if scope["type"] != "http":
            return None  # a websocket is closed unanswered: there is none here

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", ()), *headers(self.policy)]}
            await send(message)

        refusal = self.refusal(scope)
        if refusal is None:
            return await self.app(scope, receive, with_headers)
        status, text = refusal
        more = [(b"allow", b"GET, HEAD")] if status == 405 else []
        start = {"type": "http.response.start", "status": status, "headers": [(b"content-type", b"text/plain"), *more]}
        await with_headers(start)
        await with_headers({"type": "http.response.body", "body": text.encode()})
        return None

    def refusal(self, scope: Message) -> tuple[int, str] | None:
        """Status and reason, when a request is not let through."""
        given = [value.decode("latin-1") for name, value in scope["headers"] if name.lower() == b"host"]
        if len(given) != 1 or host_name(given[0]) not in self.hosts:
            return 421, "This server answers to its own address only. See `bumperlane serve --help`.\n"
        if scope["method"] not in METHODS:
            return 405, "This server is for reading: GET and HEAD only.\n"
        if len(scope.get("raw_path", b"")) + len(scope.get("query_string", b"")) > LONGEST_ADDRESS:
            return 414, "The address is too long.\n"
        return None


def host_name(header: str) -> str:
    """The name in a Host header, without the port and the brackets of IPv6; empty for what is none."""
    host = header.strip().lower()
    if host.startswith("["):
        name, _, rest = host[1:].partition("]")
        return name if rest == "" or rest[:1] == ":" and rest[1:].isdigit() else ""
    name, colon, port = host.partition(":")
    return name if not colon or port.isdigit() else ""


def is_loopback(host: str) -> bool:
    """Whether an address can be reached from this machine only."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def headers(policy: str) -> Iterable[tuple[bytes, bytes]]:
    """What the browser is told with every answer."""
    told = {
        "content-security-policy": policy,
        "x-content-type-options": "nosniff",
        "x-frame-options": "DENY",
        "referrer-policy": "no-referrer",
        "cross-origin-resource-policy": "same-origin",
        "cross-origin-opener-policy": "same-origin",
        "cache-control": "no-store",
    }
    return [(name.encode(), value.encode()) for name, value in told.items()]
