"""Leases: what keeps a second process out of a folder in a bucket, as a lock does on a disk.

A lease is an object ``.lease`` in the folder. It is written on the condition that nobody else has
written it since it was read, which both protocols know (if-match, generations), so of two that want
it one gets it. Its holder writes it again several times in its life. One that stays as it is for
that long belongs to nobody any more: whoever waits measures that by its own clock, as those of
machines differ.
"""

import contextlib
import json
import math
import os
import secrets
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from absl import logging

from alrl_jax.errors import UserError
from alrl_jax.utils.addresses import address_of, key_of
from alrl_jax.utils.bucket_clients import prepare_clients
from alrl_jax.utils.buckets import LEASE, note_held, note_lost, patience
from alrl_jax.utils.waiting import within

SECONDS = 60.0
"""Life of a lease; ``$ALRL_LEASE_SECONDS`` says otherwise."""
RENEWALS = 4
"""Times in its life that a holder writes it again."""
SECONDS_TO_END = 10.0
"""Giving a lease back is waited for."""
RETRIES = {"max_retries": 3, "initial_delay": "500ms", "max_delay": "2s"}
"""Of TensorStore's requests, which would try for a quarter of an hour."""


def store_spec(address: str) -> dict[str, Any]:
    """What TensorStore opens an address with, as keys and values.

    Args:
        address: of a folder, without a slash at its end.
    """
    bucket, _, key = key_of(address).partition("/")
    if address.startswith("gs://"):
        driver = os.environ.get("TENSORSTORE_GCS_BACKEND", "gcs")
        retries = {"gcs_request_retries": RETRIES} if driver == "gcs" else {}
        return {"driver": driver, "bucket": bucket, "path": key, **retries}
    spec: dict[str, Any] = {"driver": "s3", "bucket": bucket, "path": key}
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    if endpoint:
        spec |= {"endpoint": endpoint, "aws_region": region or "us-east-1"}
    elif region:
        spec |= {"aws_region": region}
    if os.environ.get("AWS_ACCESS_KEY_ID"):  # else it complains of files that are not there
        spec |= {"aws_credentials": {"type": "environment"}}
    return spec | {"s3_request_retries": RETRIES}


def life() -> float:
    """Seconds that a lease lives without being written again."""
    text = os.environ.get("ALRL_LEASE_SECONDS", "")
    try:
        seconds = float(text) if text else SECONDS
    except ValueError:
        seconds = 0.0
    if not 0.5 <= seconds <= 3600:
        raise UserError(
            f"got $ALRL_LEASE_SECONDS={text!r}; expected seconds from 0.5 to 3600; correct it"
        )
    return seconds


@contextlib.contextmanager
def leased(folder: Path, called: str) -> Iterator[None]:
    """Holds a folder in a bucket; whoever is killed is known to be gone after ``life`` seconds.

    Args:
        folder: the mirror of an address.
        called: what the user knows it as, such as a flag.

    Raises:
        UserError: another process holds it, or the bucket cannot be written.
    """
    address = address_of(folder)
    assert address is not None, f"{folder} mirrors nothing"
    lease = _Lease(address, called, life())
    lease.take()
    note_held(address)
    stop = threading.Event()
    keeper = threading.Thread(target=lease.keep, args=(stop,), daemon=True, name="lease")
    keeper.start()
    try:
        yield
    finally:
        stop.set()
        keeper.join(5.0)
        lease.give_back()


def is_leased(folder: Path) -> bool:
    """Whether a process holds a folder; looks for up to ``life`` seconds whether it does.

    Args:
        folder: the mirror of an address.
    """
    address = address_of(folder)
    assert address is not None, f"{folder} mirrors nothing"
    return _Lease(address, "--output", life()).is_held()


class _Lease:
    """The lease of one folder."""

    def __init__(self, address: str, called: str, life: float) -> None:
        prepare_clients()
        import tensorstore

        self._address, self._called, self._life = address, called, life
        self._owner = secrets.token_hex(8)
        opening = tensorstore.KvStore.open(store_spec(address) | {"path": self._path()})
        self._store = self._done(opening)
        self._generation = b""

    def take(self) -> None:
        """Writes the lease as soon as nobody holds it.

        Raises:
            UserError: somebody does.
        """
        begin, seen, said = time.monotonic(), self._read(), False
        while True:
            free = seen.state != "value" or _ended_here(seen.value)
            over = time.monotonic() - begin >= self._life
            if (free or over) and self._write(seen.stamp.generation):
                return
            if free:  # another process was quicker
                begin = time.monotonic()
            elif not said:
                logging.info("%s was held: looking for %.0f s if it is", self._address, self._life)
                said = True
            time.sleep(min(1.0, self._life / (2 * RENEWALS)))
            now = self._read()
            if not free and now.state == "value" and now.value != seen.value:
                raise UserError(
                    f"got {self._called}={self._address}, which is in use by another run "
                    f"({_said(now.value)}); expected one at a time; wait for it to end or choose "
                    "another directory"
                )
            seen = now

    def is_held(self) -> bool:
        """Whether somebody has the lease, and writes it again."""
        begin, seen = time.monotonic(), self._read()
        now = seen
        while now.state == "value" and not _ended_here(now.value):
            if now.value != seen.value:
                return True
            if time.monotonic() - begin >= self._life:
                return False
            time.sleep(min(1.0, self._life / (2 * RENEWALS)))
            now = self._read()
        return False

    def keep(self, stop: threading.Event) -> None:
        """Writes the lease again and again, until told to stop or it is lost."""
        good = time.monotonic()
        while not stop.wait(self._life / RENEWALS):
            written = True
            try:
                written = self._write(self._generation) or self._is_ours()
                good = time.monotonic()
            except UserError as error:
                logging.warning("%s", error)
            if stop.is_set():
                return
            if not written or time.monotonic() - good > self._life:
                break
        else:
            return
        note_lost(self._address, self._called)
        logging.error("%s: another run has taken it over", self._address)

    def _is_ours(self) -> bool:
        """Whether the lease is ours after all, as what was given up was written in the end."""
        found = self._read()
        ours = found.state == "value" and self._owner.encode() in found.value
        if ours:
            self._generation = found.stamp.generation
        return ours

    def give_back(self) -> None:
        """Removes the lease, if it is still ours."""
        with contextlib.suppress(UserError):  # it ends by itself
            self._done(self._store.write("", None, if_equal=self._generation), SECONDS_TO_END)

    def _path(self) -> str:
        return f"{key_of(self._address).partition('/')[2]}/{LEASE}".lstrip("/")

    def _read(self) -> Any:
        return self._done(self._store.read(""))

    def _write(self, generation: bytes) -> bool:
        """Whether the lease could be written in place of that generation."""
        content = {
            "owner": self._owner,
            "host": socket.gethostname(),
            "machine": _machine(),
            "process": os.getpid(),
            "time": time.time(),
        }
        stamp = self._done(self._store.write("", json.dumps(content).encode(), if_equal=generation))
        # An empty generation says that the condition did not hold.
        if stamp.generation:
            self._generation = stamp.generation
        return bool(stamp.generation)

    def _done(self, future: Any, limit: float = math.inf) -> Any:
        """What a request of TensorStore gives, within its time."""
        seconds = min(limit, patience())
        try:
            return within(future.result, seconds)
        except TimeoutError:
            reason = f"no answer within {seconds:.0f} s"
        except UserError:
            raise
        except Exception as error:  # each way of failing has an error of its own
            reason = " ".join(str(error).split())[:200]
        raise UserError(
            f"got {self._called}={self._address} ({reason}); expected a bucket that exists and may "
            "be written; check its name, the rights of this machine and the network"
        )


def _machine() -> str:
    """Names this start of the system and where its process numbers are counted; "" if unknown."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return ""


def _ended_here(content: bytes) -> bool:
    """Whether a lease is that of a process of this machine which is gone."""
    try:
        found = json.loads(content)
        if not _machine() or found["machine"] != _machine():
            return False
        os.kill(int(found["process"]), 0)
    except ProcessLookupError:
        return True
    except (ValueError, KeyError, TypeError, OSError, OverflowError):
        return False
    return False


def _said(content: bytes) -> str:
    """Who holds a lease."""
    try:
        found = json.loads(content)
        return f"process {found['process']} of {found['host']}"
    except (ValueError, KeyError, TypeError):
        return "it says not whose"
