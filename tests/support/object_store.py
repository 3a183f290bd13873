"""A bucket on the loopback interface: real servers of both protocols, with faults on demand.

``s3://`` is served by moto, ``gs://`` by gcp-storage-emulator, which learns here what the service
does and it does not: conditions on generations. A line of standard input changes what the server
does: ``deny``, ``slow SECONDS``, ``well``.
"""

import atexit
import contextlib
import functools
import http.server
import importlib.util
import logging
import os
import re
import subprocess
import sys
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from alrl_jax.utils import addresses

ROOT = Path(__file__).parents[2]
BUCKET = "a-bucket"
PACKAGES = {"s3": ("moto", "s3fs"), "gs": ("gcp_storage_emulator", "gcsfs")}
MODE = ["well"]


def missing(scheme: str) -> list[str]:
    """What is not installed of what a scheme needs."""
    return [name for name in PACKAGES[scheme] if importlib.util.find_spec(name) is None]


class Store:
    """A server in a process of its own.

    Attributes:
        scheme: ``s3`` or ``gs``.
        environment: variables by which clients find it.
        process: the server.
    """

    def __init__(self, scheme: str) -> None:
        self.scheme = scheme
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.object_store", scheme],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        url = f"http://127.0.0.1:{int(self.process.stdout.readline())}"
        self.environment = (
            {
                "AWS_ENDPOINT_URL": url,
                "AWS_ACCESS_KEY_ID": "a",
                "AWS_SECRET_ACCESS_KEY": "b",
                "AWS_REGION": "us-east-1",
                "AWS_DEFAULT_REGION": "us-east-1",
                "AWS_EC2_METADATA_DISABLED": "true",
            }
            if scheme == "s3"
            else {"STORAGE_EMULATOR_HOST": url, "TENSORSTORE_GCS_HTTP_URL": url}
        )

    def address(self, name: str) -> str:
        """Of a folder in the bucket."""
        return f"{self.scheme}://{BUCKET}/{name}"

    def turn(self, mode: str) -> None:
        """Changes what the server does from now on."""
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(f"{mode}\n")
        self.process.stdin.flush()
        self.process.stdout.readline()

    def stop(self) -> None:
        """Ends the server at once."""
        self.process.kill()
        self.process.wait()


@functools.cache
def of_session(scheme: str) -> Store:
    """The server of a test session: clients look only once where it is.

    Skips the test where something is not installed.
    """
    if absent := missing(scheme):
        pytest.skip(f"needs {' and '.join(absent)}")
    store = Store(scheme)
    atexit.register(store.stop)
    return store


@contextlib.contextmanager
def connected(scheme: str, cache: Path) -> Iterator[Store]:
    """A server that this process's clients find while the context lasts.

    Args:
        scheme: ``s3`` or ``gs``.
        cache: folder of mirrors.
    """
    store = of_session(scheme)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in store.environment.items():
            patch.setenv(name, value)
        patch.setenv("XDG_CACHE_HOME", str(cache))
        patch.setenv("ALRL_LEASE_SECONDS", "2")
        _forget_roots()
        yield store
    _forget_roots()


def _forget_roots() -> None:
    addresses._root.cache_clear()
    addresses._scratch.cache_clear()


def _faults() -> int | None:
    """The status of what is refused; waits where the server is slow."""
    name, _, value = MODE[0].partition(" ")
    if name == "slow":
        time.sleep(float(value))
    return 403 if name == "deny" else None


def _serve_s3() -> int:
    from moto.server import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import make_server

    application: Any = DomainDispatcherApplication(create_backend_app)

    def guarded(environ: Any, start_response: Callable[..., Any]) -> Any:
        if _faults():
            text = b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"
            start_response("403 Forbidden", [("Content-Type", "application/xml")])
            return [text]
        return application(environ, start_response)

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = make_server("127.0.0.1", 0, guarded, threaded=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    import boto3

    url = f"http://127.0.0.1:{server.server_port}"
    keys = {"aws_access_key_id": "a", "aws_secret_access_key": "b", "region_name": "us-east-1"}
    boto3.client("s3", endpoint_url=url, **keys).create_bucket(Bucket=BUCKET)
    return server.server_port


def _serve_gs() -> int:
    from gcp_storage_emulator import server as emulator
    from gcp_storage_emulator.exceptions import NotFound
    from gcp_storage_emulator.handlers import buckets
    from gcp_storage_emulator.storage import Storage

    storage = Storage(use_memory_fs=True)
    buckets.create_bucket(BUCKET, storage)
    lock = threading.RLock()

    class Handler(emulator.RequestHandler):
        """Knows generations: those that a request names, and those that it answers with."""

        protocol_version = "HTTP/1.1"

        def _generation(self, name: str) -> int:
            try:
                return int(storage.get_file_obj(BUCKET, name)["generation"])
            except NotFound:
                return 0

        def _named(self) -> tuple[str, dict[str, list[str]]]:
            address = urllib.parse.urlsplit(self.path)
            query = urllib.parse.parse_qs(address.query)
            found = re.search(r"/o/([^/?]+)", address.path)
            name = urllib.parse.unquote(found[1]) if found else query.get("name", [""])[0]
            return name, query

        def _answer(self, status: int) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def _guarded(self, act: Callable[[], None]) -> None:
            if status := _faults():
                return self._answer(status)
            with lock:
                name, query = self._named()
                now = self._generation(name) if name else 0
                wanted = query.get("ifGenerationMatch", [None])[0]
                unwanted = query.get("ifGenerationNotMatch", [None])[0]
                if wanted is not None and int(wanted) != now:
                    return self._answer(412)
                if unwanted is not None and int(unwanted) == now:
                    return self._answer(304)
                self._now = now
                act()

        def end_headers(self) -> None:
            if getattr(self, "_now", 0) and self.command == "GET":
                self.send_header("x-goog-generation", str(self._now))
                self._now = 0
            super().end_headers()

        def do_GET(self) -> None:
            self._guarded(super().do_GET)

        def do_POST(self) -> None:
            self._guarded(super().do_POST)

        def do_PUT(self) -> None:
            self._guarded(super().do_PUT)

        def do_DELETE(self) -> None:
            self._guarded(super().do_DELETE)

    class Server(http.server.ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: Any, client_address: Any) -> None:
            """A client that went away is none of ours."""

    for name in ("api.object", "gcp-storage-emulator", "root", ""):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    server = Server(("127.0.0.1", 0), functools.partial(Handler, storage))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.server_port


def main() -> None:
    """Serves the protocol of the first argument until standard input ends; prints the port."""
    serve = {"s3": _serve_s3, "gs": _serve_gs}[sys.argv[1]]
    output = os.dup(1)
    os.dup2(2, 1)
    os.write(output, f"{serve()}\n".encode())
    for line in sys.stdin:
        MODE[0] = line.strip()
        os.write(output, b"done\n")


if __name__ == "__main__":
    main()
