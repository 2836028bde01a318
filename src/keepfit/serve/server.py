"""The running server: workers, models, tokens, uploads and HTTP, from start to stop.

A stop loses no request: first the server says with each answer that the connection ends (HTTP clients then make no more
of it), then it lets what it has taken finish, then the workers go.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import ipaddress
import logging
import os
import resource
import signal
import socket
import ssl
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from keepfit.errors import KeepfitError, ServeError
from keepfit.serve.logs import access_log
from keepfit.serve.pool import Pool, PoolSettings
from keepfit.serve.repository import Repository
from keepfit.serve.tokens import Tokens
from keepfit.serve.uploads import UploadLimits, Uploads
from keepfit.store import Store

if TYPE_CHECKING:
    import uvicorn

    from keepfit.serve.app import App
    from keepfit.serve.limits import HttpLimits

__all__ = ["Server", "ServerSettings"]

_OPEN_FILES = 65_536  # each model is one, and each connection
_FAREWELL_S = 2.0  # how long connections in use are told that they end, before those that are idle are closed

_log = logging.getLogger("keepfit.serve")


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSettings:
    """What a server serves, to whom, and how.

    Parameters
    ----------
    place : str or Store
        A store, a folder of files, or one file.
    host : str, default="127.0.0.1"
    port : int, default=8000
        0 for one that is free.
    tokens : Store, default=None
        Where tokens are; for a store that has some, that store without.
    no_auth : bool, default=False
        Whether anybody may ask for predictions, also at an address that others reach.
    uploads : bool, default=False
    converts : bool, default=False
        Whether uploaded pickle and joblib files are converted.
    allow_weak_isolation : bool, default=False
        Whether uploaded models run where the kernel lacks a part of the jail.
    trusted : tuple of str, default=()
        Dotted names that the operator's models may use.
    spool : str, default=None
        The folder for what workers map and for uploads that come; the system's temporary folder without. They have no
        name there, and take room as long as they are served.
    reload_s : float, default=2.0
        How often to look for what is new.
    grace_s : float, default=30.0
        How long requests may still take when the server stops.
    keep_alive_s : float, default=5.0
        How long a connection may be idle.
    pool : PoolSettings
    http : HttpLimits, default=HttpLimits()
    upload_limits : UploadLimits
    tls : mapping, default={}
        uvicorn's options of TLS: ``ssl_certfile``, ``ssl_keyfile`` and the others.
    """

    place: str | Store
    host: str = "127.0.0.1"
    port: int = 8000
    tokens: Store | None = None
    no_auth: bool = False
    uploads: bool = False
    converts: bool = False
    allow_weak_isolation: bool = False
    trusted: tuple[str, ...] = ()
    spool: str | None = None
    reload_s: float = 2.0
    grace_s: float = 30.0
    keep_alive_s: float = 5.0
    pool: PoolSettings = field(default_factory=PoolSettings)
    http: HttpLimits | None = None
    upload_limits: UploadLimits = field(default_factory=UploadLimits)
    tls: Mapping[str, Any] = field(default_factory=dict)


class Server:
    """A server that runs once.

    Parameters
    ----------
    settings : ServerSettings
    say : callable
        Takes the lines that tell how it runs, when it does.

    Raises
    ------
    ServeError
        If the settings contradict each other, or would let in whom they should not.
    StoreError
        If the tokens cannot be read.
    OSError
        If the spool folder cannot be written.
    """

    def __init__(self, settings: ServerSettings, say: Callable[[str], None]) -> None:
        self._settings = settings
        self._say = say
        self._tokens = _tokens_of(settings)
        _check_spool(settings.spool)
        written = settings.upload_limits.file_bytes if settings.converts else 0
        self._pool = Pool(replace(settings.pool, converted_bytes_max=written))
        self._repository = Repository(settings.place, self._pool, trusted=settings.trusted, spool_folder=settings.spool)
        self._signals = 0
        self._stopping = asyncio.Event()

    def run(self) -> None:
        """Serve until SIGTERM or SIGINT, and then until what was taken is answered; a second one ends at once.

        Raises
        ------
        ServeError
            If the address cannot be used, or the machine cannot hold uploaded models and they are wanted.
        UnavailableError
            If the workers do not start.
        StoreError, OSError
            If the place cannot be read.
        """
        with contextlib.closing(_bound(self._settings)) as sock:
            _raise_open_files()
            http = _uvicorn_server(self._settings)
            with asyncio.Runner(loop_factory=http.config.get_loop_factory()) as runner:
                runner.run(self._run(http, sock))
        self._say("keepfit has stopped")

    async def _run(self, http: uvicorn.Server, sock: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._on_signal)
        starting = asyncio.create_task(self._start())
        await asyncio.sleep(0)  # it has begun: what it starts is stopped below, whatever happens
        try:
            await _first_of(starting, self._stopping.wait())
            if not starting.done():
                starting.cancel()
                await asyncio.wait((starting,))
                return
            app = await starting
            http.config.app = app
            await self._serve(http, app, sock)
        finally:
            await self._pool.stop(self._settings.grace_s)
            access_log.flush()

    def _on_signal(self) -> None:
        self._signals += 1
        if self._signals > 1:
            access_log.flush()
            os._exit(130)  # the workers see their sockets close, and end
        seconds = f"{self._settings.grace_s:g} s"
        self._say(f"keepfit stops: what was asked is answered, for at most {seconds}; Ctrl-C again ends it now")
        self._stopping.set()

    async def _start(self) -> App:
        from keepfit.serve.app import App

        settings = self._settings
        await self._pool.start()
        uploads = None
        if settings.uploads:
            self._check_isolation()
            assert isinstance(settings.place, Store)  # _tokens_of has seen to it
            limits = settings.upload_limits
            uploads = Uploads(
                settings.place,
                self._pool,
                self._repository,
                limits=limits,
                converts=settings.converts,
                spool_folder=settings.spool,
            )
        self._repository.serves_tenants = self._pool.isolation().is_strong or settings.allow_weak_isolation
        await self._repository.start()
        self._check_file()
        store = settings.place if isinstance(settings.place, Store) else None
        return App(
            self._pool, self._repository, tokens=self._tokens, uploads=uploads, store=store, limits=settings.http
        )

    async def _serve(self, http: uvicorn.Server, app: App, sock: socket.socket) -> None:
        looking = asyncio.create_task(self._look())
        serving = asyncio.create_task(http.serve(sockets=[sock]))
        try:
            while not http.started and not serving.done():
                await asyncio.sleep(0.01)
            for line in self._lines(sock):
                self._say(line)
            _log.info("serving", extra={"address": sock.getsockname()[0], "port": sock.getsockname()[1]})
            await _first_of(serving, self._stopping.wait())
            if not serving.done():
                app.is_stopping = True
                await _say_farewell(http)
                http.should_exit = True
            await serving
        finally:
            looking.cancel()

    async def _look(self) -> None:
        """Look for new models and tokens for as long as the server runs."""
        failed = ""
        while True:
            try:
                await self._repository.look()
                if self._tokens is not None:
                    await asyncio.to_thread(self._tokens.refresh)
                failed = ""
            except (KeepfitError, OSError) as error:  # what is in service stays
                if str(error) != failed:
                    failed = str(error)
                    _log.warning("cannot look for new models and tokens", extra={"reason": failed})
            await asyncio.sleep(self._settings.reload_s)

    def _check_isolation(self) -> None:
        isolation = self._pool.isolation()
        if not isolation.is_strong and not self._settings.allow_weak_isolation:
            raise ServeError(
                f"this machine does not hold uploaded models well enough ({isolation.in_words}); "
                "--allow-weak-isolation takes uploads all the same"
            )

    def _check_file(self) -> None:
        """One file that does not load is nothing to serve; in a folder or a store others may work."""
        place = self._settings.place
        if isinstance(place, str) and os.path.isfile(place):
            for one in self._repository.entries():
                if one.state == "UNAVAILABLE":
                    raise ServeError(f"{place} does not load: {one.reason}")

    def _lines(self, sock: socket.socket) -> Iterator[str]:
        settings = self._settings
        entries = self._repository.entries()
        scheme = "https" if settings.tls.get("ssl_certfile") else "http"
        host, port = sock.getsockname()[:2]
        yield f"keepfit serves at {scheme}://{f'[{host}]' if ':' in host else host}:{port}"
        names = sorted({one.name for one in entries})
        yield f"  models     {len(names)}: {_some(names)}" if names else "  models     none yet"
        for one in entries:
            if one.state == "UNAVAILABLE":
                yield f"             {one.name} {one.version} does not load: {one.reason}"
        skipped = self._repository.skipped
        if skipped:
            yield f"             not served, as no URL can hold the names: {_some(skipped)}"
        yield f"  workers    {settings.pool.worker_count}, batching {'on' if settings.pool.batching else 'off'}"
        yield f"  isolation  {self._pool.isolation().in_words}"
        if self._tokens is None:
            reach = "anybody on this machine" if _is_loopback(settings.host) else "ANYBODY WHO REACHES THIS ADDRESS"
            yield f"  tokens     none: {reach} may ask for predictions"
        else:
            yield f"  tokens     {self._tokens.count()} good"
        what = "keepfit files" + (", and pickle and joblib files that convert" if settings.converts else "")
        yield f"  uploads    {what if settings.uploads else 'off'}"


def _tokens_of(settings: ServerSettings) -> Tokens | None:
    """The tokens that are asked for; None for a server that anybody may ask.

    Raises
    ------
    ServeError
        If nobody could get in, or anybody could who should not.
    """
    store = settings.tokens
    if store is None and isinstance(settings.place, Store) and (settings.uploads or settings.place.tokens.count()):
        store = settings.place
    if settings.uploads and not isinstance(settings.place, Store):
        raise ServeError("uploads are kept in a store; serve one, such as state.db")
    if settings.no_auth:
        if settings.uploads or settings.tokens is not None:
            raise ServeError("uploads and tokens are for some and not for all: leave --no-auth out")
        return None
    if store is None:
        if not _is_loopback(settings.host):
            raise ServeError(
                f"without tokens the server stays on this machine. For {settings.host}, make one: keepfit token create "
                "--role infer STORE (and give --tokens STORE where no store is served); or let in anybody: --no-auth"
            )
        return None
    if not store.tokens.count():
        raise ServeError("the store has no token, so nobody could get in: keepfit token create --help")
    return Tokens(store)


def _check_spool(folder: str | None) -> None:
    """Raises an OSError that names the folder, if nothing can be written there."""
    with tempfile.TemporaryFile(dir=folder):
        pass


def _bound(settings: ServerSettings) -> socket.socket:
    """A socket at the address, which does not listen yet.

    Raises
    ------
    ServeError
        If the address is taken or is none of this machine.
    """
    where = f"{settings.host}:{settings.port}"
    try:
        found = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, protocol, _, address = found[0]
        sock = socket.socket(family, kind, protocol)
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind(address)  # it listens when the models are loaded: until then connections are refused
        except BaseException:
            sock.close()
            raise
    except OSError as error:
        words = {
            errno.EADDRINUSE: "something else listens there; take another --port",
            errno.EACCES: "ports below 1024 take more rights; take another --port",
        }
        raise ServeError(f"{where} cannot be used: {words.get(error.errno or 0, error.strerror)}") from None
    return sock


def _uvicorn_server(settings: ServerSettings) -> uvicorn.Server:
    import uvicorn

    from keepfit.serve.limits import HttpLimits

    limits = settings.http or HttpLimits()
    if settings.tls:
        _check_certificate(settings.tls)

    class OwnSignals(uvicorn.Server):
        @contextlib.contextmanager
        def capture_signals(self) -> Iterator[None]:
            yield  # `Server` has them

    config = uvicorn.Config(
        "keepfit",  # `Server` puts the application here when the models are loaded
        http=_connections(limits),
        ws="none",  # an upgrade would leave the bounds of `_connections`
        interface="asgi3",
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=settings.keep_alive_s,  # type: ignore[arg-type]  # it takes fractions
        timeout_graceful_shutdown=settings.grace_s,  # type: ignore[arg-type]
        h11_max_incomplete_event_size=limits.header_bytes,
        **settings.tls,
    )
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)  # of starting and stopping, we tell
    return OwnSignals(config)


def _check_certificate(tls: Mapping[str, Any]) -> None:
    """Say at the start what is wrong with it.

    Raises
    ------
    ServeError
        If the certificate and its key do not go together or are none.
    OSError
        If one cannot be read.
    """
    try:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(tls["ssl_certfile"], tls.get("ssl_keyfile"), tls.get("ssl_keyfile_password") or "")
    except ssl.SSLError as error:
        raise ServeError(f"{tls['ssl_certfile']} is no certificate with its key: {error.reason or error}") from None


def _connections(limits: HttpLimits) -> Any:
    """Connections with bounds where httptools is installed; else uvicorn's own of h11, which are slower."""
    try:
        from keepfit.serve.connections import bounded
    except ImportError:
        return "h11"
    return bounded(limits)


async def _say_farewell(http: uvicorn.Server) -> None:
    """Take no new connections, and have clients leave those there are with the next answer."""
    for server in http.servers:
        server.close()
    close = (b"connection", b"close")
    http.config.encoded_headers.append(close)  # for answers to come
    http.server_state.default_headers.append(close)  # for those in the making
    loop = asyncio.get_running_loop()
    end = loop.time() + _FAREWELL_S
    while http.server_state.connections and loop.time() < end:
        await asyncio.sleep(0.05)


async def _first_of(task: asyncio.Task[Any], other: Any) -> None:
    """Wait until one of them is done; the other goes on, if it is the task."""
    waiting = asyncio.ensure_future(other)
    await asyncio.wait((task, waiting), return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return False


def _some(names: list[str]) -> str:
    return ", ".join(names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "")


def _raise_open_files() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, _OPEN_FILES)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
