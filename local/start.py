"""From the command line to a running host: every decision that can fail is taken here, before anything is served."""

from __future__ import annotations

import argparse
import asyncio
import errno
import gc
import ipaddress
import logging
import os
import socket
import traceback
from collections.abc import Callable, Mapping, Sequence

from local import logs
from local.check import examine
from local.cors import read_cors
from local.data_folder import DataFolder
from local.functions import APPS, Function, load
from local.host import Host, Plan
from local.host_json import ROOT, HostJson, read_host_json
from local.keys import read_keys
from local.options import parse_options
from local.settings_file import SettingsFile, app_settings, misspelt, read_settings_file
from local.stopping import Stopping
from local.tls import SiteCertificate
from local.workers import Post, Workers, refuse_workers
from shared.errors import BrokenSettings
from shared.settings import Settings

__all__ = ["serve"]

log = logging.getLogger("ovenbridge.host")


def serve(arguments: Sequence[str], stopping: Stopping) -> None:
    """Run until told to stop.

    Raises:
        BrokenSettings: it cannot start; one sentence says why.
        ModuleNotFoundError: a package is missing.
    """
    options = parse_options(arguments)
    file = _settings_file(options)
    if options.worker is not None:
        post = Post.parse(options.worker)
        with post.door as sock:
            plan, _ = _plan(options, file, sock, post)
            _run(Host(plan, post=post), stopping)
        return
    refuse_workers(options.app, options.workers)
    with _bind(options.host, options.port if options.port is not None else file.port or 7071) as sock:
        plan, folder = _plan(options, file, sock)
        workers = Workers(options.workers, arguments, sock) if options.workers > 1 else None
        try:
            _run(Host(plan, workers=workers), stopping)
        finally:
            if folder is not None:
                folder.release()


def _run(host: Host, stopping: Stopping) -> None:
    async def until_told() -> None:
        await host.run(stopping.attach())

    _collect_garbage_less_often()
    runner = asyncio.Runner(loop_factory=_loop_factory())
    try:
        runner.run(until_told())
    except BaseException:
        runner.close()
        raise
    # Not closed after a good end: that would wait for sync functions that hang in their threads.


def _collect_garbage_less_often() -> None:
    """What is loaded by now stays for good, and reference counts free nearly all of the rest.

    Measured on the delivery path: looking for cycles after every 700 objects takes a sixth of the processor.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


def _settings_file(options: argparse.Namespace) -> SettingsFile:
    if options.settings is not None:
        return read_settings_file(options.settings)
    standard = ROOT / "local.settings.json"
    return read_settings_file(standard) if standard.exists() else SettingsFile()


def _plan(
    options: argparse.Namespace, file: SettingsFile, sock: socket.socket, post: Post | None = None
) -> tuple[Plan, DataFolder | None]:
    address, port = sock.getsockname()[:2]
    loopback = ipaddress.ip_address(address).is_loopback
    certificate = SiteCertificate.of({**file.values, **{k: v for k, v in os.environ.items() if v}})
    url = f"http{'s' if certificate is not None else ''}://{_name_of(address, options.host)}:{port}"
    environment = app_settings(file, os.environ, data_dir=options.data, url=url, loopback=loopback)
    settings = Settings.from_environment(environment)
    logs.configure(settings.log_level, options.log_format)
    for sentence in misspelt(file.values) if post is None else ():  # said once
        log.warning(sentence)
    cors = read_cors(file.host, environment)
    host_json = read_host_json()
    folder = DataFolder.take(settings.data_dir) if post is None else None  # a worker's first process holds it
    # The app's own code and the SDK read the environment too, as they do under the Functions host.
    os.environ.update(environment)
    checked = examine(_functions(options, host_json), environment)
    for problem in checked.problems if post is None else ():
        log.log(logging.ERROR if problem.dropped else logging.WARNING, "%s", problem)
    # With tokens, too: a tunnel ends on loopback, and some functions are protected by a key alone.
    asks_keys = options.enable_auth or settings.access_mode != "developer"
    keys_file = settings.data_dir / "keys.json"
    plan = Plan(
        app=options.app,
        checked=checked,
        sock=sock,
        url=url,
        settings=settings,
        host_json=host_json,
        most_body_bytes=_most_body_bytes(environment),
        cors=cors,
        keys=read_keys(keys_file) if asks_keys else None,
        notes=f"data in {settings.data_dir}{f', function keys in {keys_file}' if asks_keys else ''}; Ctrl-C stops it",
        certificate=certificate,
    )
    return plan, folder


def _functions(options: argparse.Namespace, host_json: HostJson) -> tuple[Function, ...]:
    module = options.entry or APPS[options.app]
    try:
        return load(module, host_json.route_prefix)
    except ModuleNotFoundError:
        raise
    except Exception as err:
        # Whatever stands in the app's code: the host would have no functions at all.
        last = traceback.extract_tb(err.__traceback__)[-1]
        where = f"{os.path.relpath(last.filename, ROOT)}:{last.lineno}"
        raise BrokenSettings(f"{module} cannot be loaded: {type(err).__name__}: {err} ({where}).") from err


def _most_body_bytes(settings: Mapping[str, str]) -> int:
    text = settings.get("FUNCTIONS_REQUEST_BODY_SIZE_LIMIT", "104857600")
    if not text.isdecimal() or int(text) == 0:
        raise BrokenSettings("FUNCTIONS_REQUEST_BODY_SIZE_LIMIT is not usable; write a number of bytes.")
    return int(text)


def _name_of(address: str, asked: str) -> str:
    if ipaddress.ip_address(address).is_unspecified:
        return socket.gethostname()
    if asked == "localhost":
        return asked
    return f"[{address}]" if ":" in address else address


def _bind(host: str, port: int) -> socket.socket:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, _, _, _, address = found[0]
        sock = socket.socket(family, socket.SOCK_STREAM)
    except (OSError, UnicodeError) as err:
        raise BrokenSettings(f"{host} is no address to listen on. Use --host 127.0.0.1.") from err
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind(address)
        # Listening now and not later: two hosts could bind one port and only the second listen would fail.
        sock.listen(1024)
    except OSError as err:
        sock.close()
        raise BrokenSettings(_why_not(err, host, port)) from err
    return sock


def _why_not(err: OSError, host: str, port: int) -> str:
    if err.errno == errno.EADDRINUSE:
        return f"Port {port} on {host} is taken. Stop the other program, or choose another with --port."
    if err.errno == errno.EACCES:
        return f"Port {port} is reserved for the system. Choose one above 1023 with --port."
    if err.errno == errno.EADDRNOTAVAIL:
        return f"{host} is no address of this machine. Use --host 127.0.0.1, or 0.0.0.0 for all of them."
    return f"Cannot listen on {host}:{port}: {err.strerror}."


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop
