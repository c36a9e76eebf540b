"""Addresses to pages. An address names a case that was found, never a path."""

import errno
import socket
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from ...case import Case
from ...errors import CaseError, SettingError
from . import pages
from .find import FILE, Catalogue, address_of, catalogue, read_case
from .guard import LOOPBACK, Guard, is_loopback

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

MISSING = "`bumperlane serve` needs starlette and uvicorn, and {what} is not here: pip install 'bumperlane[serve]'."


def make_app(root: Path, hosts: tuple[str, ...] = ()) -> Guard:
    """The server as an ASGI app.

    Args:
        root: the directory whose cases are shown.
        hosts: names under which it may be called besides localhost, 127.0.0.1 and ::1.

    Raises SettingError when `root` is no directory or the extra `serve` is not installed.
    """
    try:
        from starlette.applications import Starlette
        from starlette.exceptions import HTTPException
        from starlette.responses import HTMLResponse
        from starlette.routing import Route
    except ImportError as error:
        raise SettingError(MISSING.format(what=error.name)) from error
    if not root.is_dir():
        raise SettingError(f"there is no directory {root}. Name one that holds cases.")

    def failed(request: "Request", error: Exception) -> "Response":
        status = getattr(error, "status_code", 500)
        told = str(getattr(error, "detail", "")) if status != 500 else "A fault of bumperlane itself. It is on stderr."
        return HTMLResponse(pages.error_page(status, told), status)

    routes = [
        Route("/", _view(root, _list)),
        Route("/cases.json", _view(root, _list_json)),
        Route("/json/{key:path}", _view(root, _case_json)),
        Route("/file/{name}/{key:path}", _view(root, _file)),
        *(Route(f"/{view}/{{key:path}}", _view(root, _case_view)) for view in pages.VIEWS),
    ]
    app = Starlette(routes=routes, exception_handlers={HTTPException: failed, 500: failed})
    return Guard(app, frozenset({*LOOPBACK, *(h.lower() for h in hosts)}), pages.policy())


def listen(host: str, port: int, expose: bool) -> socket.socket:
    """A socket to serve on. Raises SettingError for an address that others reach, unless `expose`, one that is not of
    this machine, and a taken port."""
    if not is_loopback(host) and not expose:
        raise SettingError(
            f"{host} can be reached from other machines, and there is no password. Use 127.0.0.1 and a tunnel "
            "(`ssh -L`), or state --expose."
        )
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, port))
    except (OSError, UnicodeError) as error:  # UnicodeError: a name that no machine can have
        bound.close()
        of_port = isinstance(error, OSError) and error.errno in (errno.EADDRINUSE, errno.EACCES)
        reason = getattr(error, "strerror", None) or "this is no name of a machine"
        do = "Choose another --port." if of_port else "Give a --host that is an address of this machine."
        raise SettingError(f"cannot listen on {host} port {port}: {reason}. {do}") from error
    return bound


def serve(app: Guard, bound: socket.socket) -> None:
    """Answer until interrupted."""
    try:
        import uvicorn
    except ImportError as error:
        raise SettingError(MISSING.format(what=error.name)) from error
    config = uvicorn.Config(app, log_level="warning", access_log=False, server_header=False, lifespan="off")
    uvicorn.Server(config).run(sockets=[bound])


def _view(root: Path, answer: Callable[["Request", Catalogue], "Response"]) -> Callable[["Request"], "Response"]:
    return lambda request: answer(request, catalogue(root))


def _list(request: "Request", found: Catalogue) -> "Response":
    from starlette.responses import HTMLResponse

    chosen = {name: request.query_params.get(name, "") for name in ("verdict", "bumper")}
    return HTMLResponse(pages.list_page(found, chosen, _number(request)))


def _list_json(request: "Request", found: Catalogue) -> "Response":
    from starlette.responses import JSONResponse

    rows = [pages.summary_of(c) for c in found.cases if pages.fits(c, dict(request.query_params))]
    return JSONResponse({"root": str(found.root), "cut": found.cut, "cases": rows})


def _case_json(request: "Request", found: Catalogue) -> "Response":
    from starlette.responses import JSONResponse

    case, _ = _opened(request, found)
    return JSONResponse(case.model_dump(mode="json"))


def _case_view(request: "Request", found: Catalogue) -> "Response":
    from starlette.responses import HTMLResponse

    key, view = request.path_params["key"], request.url.path.split("/")[1]
    listed = next((c for c in found.cases if c.key == key), None)
    if listed is not None and listed.fault:
        return HTMLResponse(pages.damaged_page(listed), 422)
    case, directory = _opened(request, found)
    if view == "case":
        return HTMLResponse(pages.case_page(case, (key, directory)))
    return HTMLResponse(pages.view_page(view, case, (key, directory), _number(request)))


def _file(request: "Request", found: Catalogue) -> "Response":
    from starlette.exceptions import HTTPException
    from starlette.responses import HTMLResponse

    case, directory = _opened(request, found)
    named = [p for p in pages.files_of(directory) if address_of(p.name) == request.path_params["name"]]
    if not named:
        raise HTTPException(404, "This case has no such file.")
    return HTMLResponse(pages.file_page(named[0], case, request.path_params["key"], _number(request)))


def _opened(request: "Request", found: Catalogue) -> tuple[Case, Path]:
    """The case that an address names. Raises HTTPException when there is none, or it is damaged."""
    from starlette.exceptions import HTTPException

    directory = found.directory(request.path_params["key"])
    if directory is None:
        raise HTTPException(404, "There is no such case. The list shows those that were found.")
    try:
        return read_case(directory / FILE), directory
    except CaseError as error:
        raise HTTPException(422, f"This case is damaged: {error}") from error


def _number(request: "Request") -> int:
    text = request.query_params.get("page", "1")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 9 else 1


__all__ = ["listen", "make_app", "serve"]
