"""A page that is served on this machine alone, and made again when what it shows has changed."""

import hashlib
import http.server
import threading
from collections.abc import Callable

from alrl_jax.errors import UserError

ADDRESS = "127.0.0.1"


class LivePage:
    """Serves a page at ``address`` until ``close``.

    ``/`` is the page and ``/version`` a text that changes with it, for which the page asks by
    itself (``page.page(live=...)``). Browsers are answered under the names of this machine alone,
    so that no web page elsewhere can read along by a name that leads here.

    Args:
        build: makes the page.
        stamp: what it is made from, to be compared: as long as it stays the same, so does the page.
        port: to listen at; 0 for any that is free.

    Raises:
        UserError: the port is taken.
    """

    def __init__(self, build: Callable[[], str], stamp: Callable[[], object], port: int) -> None:
        self._build, self._stamp = build, stamp
        self._seen, self.text, self.version = stamp(), "", ""
        self._make()
        try:
            self._server = http.server.ThreadingHTTPServer((ADDRESS, port), self._handler())
        except OSError as error:
            raise UserError(
                f"got --port={port} ({error.strerror}); expected a free one; name another, or 0"
            ) from error
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        self.address = f"http://{ADDRESS}:{self.port}/"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def refresh(self) -> bool:
        """Makes the page again where its stamp has changed; whether it has."""
        stamp = self._stamp()
        if stamp == self._seen:
            return False
        self._seen = stamp
        self._make()
        return True

    def close(self) -> None:
        """Stops serving."""
        self._server.shutdown()
        self._server.server_close()

    def _make(self) -> None:
        self.text = self._build()
        self.version = hashlib.sha256(self.text.encode()).hexdigest()

    def _answer(self, path: str) -> tuple[str, str] | None:
        """Type and text of what is asked for; None where there is no such thing."""
        found = {"/": ("text/html", self.text), "/version": ("text/plain", self.version)}
        return found.get(path.partition("?")[0])

    def _handler(self) -> type[http.server.BaseHTTPRequestHandler]:
        live = self

        class Handler(http.server.BaseHTTPRequestHandler):
            """Answers for the page above."""

            def do_GET(self) -> None:
                if self.headers.get("Host") not in (
                    f"{ADDRESS}:{live.port}",
                    f"localhost:{live.port}",
                ):
                    self.send_error(403)
                elif (found := live._answer(self.path)) is None:
                    self.send_error(404)
                else:
                    kind, content = found[0], found[1].encode()
                    self.send_response(200)
                    self.send_header("Content-Type", f"{kind}; charset=utf-8")
                    self.send_header("Content-Length", str(len(content)))
                    self.send_header("Cache-Control", "no-store")
                    self.send_header("X-Content-Type-Options", "nosniff")
                    self.end_headers()
                    self.wfile.write(content)

            def log_message(self, format: str, *args: object) -> None:
                """Says nothing: a page asks every few seconds."""

        return Handler
