"""Moving bytes over HTTP into a partial file: with range requests, back-off and a watch on stalled streams.

A transfer that breaks leaves its partial file, and the next attempt, in this process or a later one, goes on behind
its last byte. What a finished transfer holds is judged elsewhere, by checksum.
"""

import email.utils
import errno
import http.client
import os
import re
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from relatent.errors import RelatentError

CHUNK_BYTES = 1 << 18
USER_AGENT = "relatent (dataset fetcher)"
CONTENT_RANGE = re.compile(r"^bytes (\d+)-\d+/(\d+|\*)$")
TRANSIENT = {408, 425, 429, 500, 502, 503, 504}


class SourceError(Exception):
    """This source does not have the file as it should be; another may."""


class BrokenTransfer(Exception):
    """The transfer stopped; it may be gone on with. `wait_s` is how long the server asks to wait."""

    def __init__(self, reason: str, wait_s: float | None = None) -> None:
        super().__init__(reason)
        self.wait_s = wait_s


@dataclass(frozen=True)
class Patience:
    """How long to try one source.

    Attributes:
        attempts: in a row without a single new byte before the source is given up.
        wait_s: before the second attempt; doubled each time.
        most_wait_s: longest wait, also where a server asks for more.
        timeout_s: without a byte before a connection counts as broken.
        slowest_bytes_per_s: over `timeout_s`; a slower stream counts as broken and is asked for again.
    """

    attempts: int = 4
    wait_s: float = 1.0
    most_wait_s: float = 60.0
    timeout_s: float = 30.0
    slowest_bytes_per_s: float = 512.0


def download(
    url: str,
    partial: Path,
    size_bytes: int | None,
    limit_bytes: int,
    patience: Patience,
    arrived: Callable[[int], None],
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Complete `partial` from `url`, going on behind the bytes it already has.

    Args:
        size_bytes: what the whole file must have, if known.
        limit_bytes: never take more than this.
        arrived: told the change in bytes: new ones, or minus those thrown away.

    Raises:
        SourceError: the source does not have it: 404, another length, a redirect loop, patience at its end.
        RelatentError: the disk is full.
    """
    fruitless = 0
    while True:
        before = _size(partial)
        try:
            return _attempt(url, partial, size_bytes, limit_bytes, patience, arrived)
        except BrokenTransfer as broken:
            # New bytes show the source works, however often it breaks.
            fruitless = 0 if _size(partial) > before else fruitless + 1
            if fruitless >= patience.attempts:
                raise SourceError(f"{broken}, {fruitless} times in a row") from None
            wait_s = patience.wait_s * 2 ** max(0, fruitless - 1)
            sleep(min(max(wait_s, broken.wait_s or 0), patience.most_wait_s))


def _attempt(
    url: str,
    partial: Path,
    size_bytes: int | None,
    limit_bytes: int,
    patience: Patience,
    arrived: Callable[[int], None],
) -> None:
    start = _size(partial)
    if size_bytes is not None and start > size_bytes:
        _throw_away(partial, arrived)
        start = 0
    if start == size_bytes:
        return
    headers = {"User-Agent": USER_AGENT, "Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=patience.timeout_s) as reply:
            if start and not _continues(reply, start):
                _throw_away(partial, arrived)  # the server sends it all again
                start = 0
            announced = _announced(reply, start)
            if size_bytes is not None and announced is not None and announced != size_bytes:
                raise SourceError(f"it has {announced:,} bytes there, not {size_bytes:,}")
            if (announced or 0) > limit_bytes:
                raise SourceError(f"it announces {announced:,} bytes, more than {limit_bytes:,}")
            _receive(reply, partial, start, announced or size_bytes, limit_bytes, patience, arrived)
    except urllib.error.HTTPError as error:
        _judge(error, partial, arrived)
    except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError) as error:
        if getattr(getattr(error, "reason", None), "errno", None) == socket.EAI_NONAME:
            raise SourceError(_reason(error)) from None
        raise BrokenTransfer(_reason(error)) from None


def _continues(reply: http.client.HTTPResponse, start: int) -> bool:
    """Whether the reply starts behind the bytes that are there."""
    match = CONTENT_RANGE.match(reply.headers.get("Content-Range", ""))
    return reply.status == 206 and match is not None and int(match[1]) == start


def _announced(reply: http.client.HTTPResponse, start: int) -> int | None:
    """Bytes of the whole file, as the server says."""
    length = reply.headers.get("Content-Length", "")
    return start + int(length) if length.isdigit() else None


def _receive(
    reply: http.client.HTTPResponse,
    partial: Path,
    start: int,
    size_bytes: int | None,
    limit_bytes: int,
    patience: Patience,
    arrived: Callable[[int], None],
) -> None:
    have, watch_from, watch_bytes = start, time.monotonic(), start
    try:
        with partial.open("ab") as file:
            while chunk := reply.read1(CHUNK_BYTES):
                have += len(chunk)
                if have > (limit_bytes if size_bytes is None else size_bytes):
                    raise SourceError(f"it sends more than {size_bytes or limit_bytes:,} bytes")
                file.write(chunk)
                arrived(len(chunk))
                now = time.monotonic()
                if now - watch_from > patience.timeout_s:
                    if have - watch_bytes < patience.slowest_bytes_per_s * (now - watch_from):
                        raise BrokenTransfer(f"only {have - watch_bytes:,} bytes came in {now - watch_from:.0f} s")
                    watch_from, watch_bytes = now, have
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise RelatentError(
                f"{partial}: the disk is full after {have:,} bytes. Make room and run it again: it goes on from there."
            ) from None
        raise
    if size_bytes is not None and have < size_bytes:
        raise BrokenTransfer(f"the connection closed after {have:,} of {size_bytes:,} bytes")


def _judge(error: urllib.error.HTTPError, partial: Path, arrived: Callable[[int], None]) -> None:
    """What an HTTP error means: try again, or try elsewhere."""
    if error.code == 416:  # nothing behind our bytes: they are not this file's
        _throw_away(partial, arrived)
        raise BrokenTransfer("the server has no bytes behind those already here; starting over") from None
    if error.code in TRANSIENT:
        raise BrokenTransfer(f"HTTP {error.code} {error.reason}", _retry_after(error)) from None
    reason = "a redirect loop" if 300 <= error.code < 400 else f"HTTP {error.code} {error.reason}"
    raise SourceError(reason) from None


def _retry_after(error: urllib.error.HTTPError) -> float | None:
    value = error.headers.get("Retry-After", "") if error.headers else ""
    if value.isdigit():
        return float(value)
    try:
        return email.utils.parsedate_to_datetime(value).timestamp() - time.time()
    except (TypeError, ValueError):
        return None


def _reason(error: Exception) -> str:
    inner = getattr(error, "reason", error)
    return f"{type(inner).__name__}: {inner}" if str(inner) else type(inner).__name__


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _throw_away(partial: Path, arrived: Callable[[int], None]) -> None:
    arrived(-_size(partial))
    if partial.exists():
        os.truncate(partial, 0)
