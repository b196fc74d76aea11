"""A pooch downloader that goes on where a transfer broke off. In: an address; out: the whole file, or why not.

The bytes gather in one `.partial` file per address, beside which stands what the server said of the file: its ETag (or
date) and length. The next request asks for the rest on condition that the file is still that one (RFC 9110, If-Range);
another file, or a server that knows no ranges, begins anew. pooch then checks the hash, and only after that is there a
file without `.partial`.

pooch's own HTTPDownloader (1.9) in its place fails 11 of the 18 tests of downloads: a transfer that was cut or killed
begins at zero, a file that is whole is asked for again, the parts of a file that has changed meanwhile are not told
apart, a larger file than was said is written to its end, and most errors are urllib3's pages, not one line.
"""

import errno
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from threading import Event
from typing import Any
from urllib.parse import urlsplit

from pointcmt_cli.errors import DataError
from pointcmt_cli.files import atomic

CHUNK = 1 << 14
"""Bytes per read; what a cut leaves of one is asked for again."""
TIMEOUT = (15.0, 60.0)
"""Seconds to connect, and of silence."""
TRIES = 3
"""Requests in a row that bring no new byte; one that brings some starts the count again."""
PAUSE = 1.0
"""Seconds before a second try without a byte, doubled for a third."""
AGENT = "pointcmt (a research tool; one file at a time)"
_AGAIN = (408, 425, 429, 500, 502, 503, 504)
"""HTTP statuses that may pass."""

Report = Callable[[int, int | None], None]
"""Called with the bytes that are there and those that there will be (None: the server does not say)."""


class UnreachableError(DataError):
    """No server answers: there may be no network at all."""


class StoppedError(Exception):
    """The run that wants the file is over."""


@dataclass(frozen=True)
class State:
    """What is known of the file that a `.partial` is the beginning of."""

    url: str
    validator: str
    """A strong ETag, or the date of the last change."""
    size: int | None


class Resuming:
    """A downloader as pooch calls it: `Resuming(partial, ...)(url, output_file, pooch)`."""

    def __init__(
        self,
        partial: Path,
        report: Report = lambda done, total: None,
        size: int | None = None,
        largest: int | None = None,
        stop: Event | None = None,
    ) -> None:
        self.partial = partial
        self.report = report
        self.size = size
        self.largest = largest
        self.stop = stop or Event()

    def __call__(self, url: str, output_file: str, pooch: Any) -> None:
        """Fetch `url` and lay it at `output_file`; the partial stays until it is `forget`-ten."""
        self._whole(url)
        output = Path(output_file)
        output.unlink(missing_ok=True)
        try:
            os.link(self.partial, output)  # a kill while the hash is computed loses nothing
        except OSError:
            self.partial.replace(output)

    def forget(self) -> None:
        """Remove what has been gathered."""
        for path in (self.partial, self._notes):
            path.unlink(missing_ok=True)

    @property
    def _notes(self) -> Path:
        return self.partial.with_name(self.partial.name + ".json")

    def _whole(self, url: str) -> None:
        """Ask until all bytes are there."""
        tries = 0
        while True:
            before = self._length()
            try:
                if self._request(url):
                    return
                reason = f"ended after {self._length()} bytes"
            except Exception as error:
                reason = _passing(error)
            tries = 0 if self._length() > before else tries + 1
            if tries >= TRIES:
                raise UnreachableError(reason)
            if self.stop.wait(PAUSE * 2 ** (tries - 1)):
                raise StoppedError

    def _request(self, url: str) -> bool:
        """One request; whether the file is whole now. What has been written stays on any error."""
        import requests

        state = self._state(url)
        start = self._length() if state else 0
        if state and state.size is not None and start == state.size:
            self.report(start, start)
            return True
        headers = {"User-Agent": AGENT, "Accept-Encoding": "identity"}
        if state and start:
            headers |= {"Range": f"bytes={start}-", "If-Range": state.validator}
        with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT) as answer:
            if (
                answer.status_code == 416
            ):  # no such part: another file, or all there but for its length
                self.forget()
                return False
            start = self._accepted_from(answer, url, start, state)
            total = self._expected(answer, start)
            self._begin(answer, url, start, total)
            self._receive(answer, start, total)
        return total is None or self._length() == total

    def _accepted_from(self, answer: Any, url: str, start: int, state: State | None) -> int:
        """Raise where the answer is not the file; the byte at which it begins."""
        if answer.status_code in _AGAIN:
            raise ConnectionError(f"the server is busy or broken (HTTP {answer.status_code})")
        if answer.status_code not in (200, 206):
            reason = "no such file on the server" if answer.status_code in (404, 410) else "refused"
            raise DataError(f"{reason} (HTTP {answer.status_code})")
        if url.startswith("https:") and not answer.url.startswith("https:"):
            raise DataError(
                f"it redirects from https to {urlsplit(answer.url).scheme}, which is not secure"
            )
        if "text/html" in answer.headers.get("Content-Type", ""):
            raise DataError("it sends a web page instead of the file")
        if answer.headers.get("Content-Encoding", "identity") != "identity":
            raise DataError("it sends the file in an encoding of its own")
        if answer.status_code == 200:
            return 0
        given, _, whole = (
            answer.headers.get("Content-Range", "").removeprefix("bytes ").partition("/")
        )
        same = state is not None and whole in ("*", str(state.size))
        if not same or given.partition("-")[0] != str(start):
            self.forget()
            raise ConnectionError("it sent another part of the file than was asked for")
        return start

    def _expected(self, answer: Any, start: int) -> int | None:
        """Bytes of the whole file, as the server says; checked against what is published and the space there is."""
        length = answer.headers.get("Content-Length", "")
        total = start + int(length) if length.isdigit() else None
        if total is None:
            return None
        if self.size is not None and total != self.size:
            raise DataError(
                f"the file has {total} bytes there, {self.size} are published: it is another file"
            )
        if self.largest is not None and total > self.largest:
            raise DataError(f"the file has {total} bytes there: far more than the data set")
        free = shutil.disk_usage(self.partial.parent).free
        if total - start > free:
            raise OSError(errno.ENOSPC, f"{total - start} bytes are needed and {free} are free")
        return total

    def _begin(self, answer: Any, url: str, start: int, total: int | None) -> None:
        """Note which file this is, before its first byte."""
        if start:
            return
        self.forget()
        tag = answer.headers.get("ETag", "")
        validator = (
            tag if tag and not tag.startswith("W/") else answer.headers.get("Last-Modified", "")
        )
        if validator:
            with atomic(self._notes) as temporary:
                temporary.write_text(json.dumps(asdict(State(url, validator, total))))

    def _receive(self, answer: Any, start: int, total: int | None) -> None:
        done = start
        most = self.size or self.largest
        self.report(done, total)
        with self.partial.open("ab" if start else "wb") as file:
            for chunk in answer.iter_content(CHUNK):
                if self.stop.is_set():
                    raise StoppedError
                done += len(chunk)
                if most is not None and done > most:
                    raise DataError(f"it sends more than {most} bytes: far more than the data set")
                file.write(chunk)
                self.report(done, total)
            file.flush()
            os.fsync(file.fileno())

    def _length(self) -> int:
        return self.partial.stat().st_size if self.partial.exists() else 0

    def _state(self, url: str) -> State | None:
        """Of the partial, where it is the beginning of this address' file; None: nothing can be kept."""
        try:
            state = State(**json.loads(self._notes.read_text()))
        except (OSError, ValueError, TypeError):
            return None
        beyond = state.size is not None and self._length() > state.size
        return None if beyond or state.url != url else state


def _passing(error: Exception) -> str:
    """The reason in a few words of an error that may pass; any other is raised."""
    import requests
    import urllib3

    if isinstance(error, requests.exceptions.SSLError) and "CERTIFICATE" in str(error).upper():
        raise DataError("its certificate is not valid (out of date?)") from error
    if isinstance(error, requests.exceptions.TooManyRedirects):
        raise DataError("too many redirects") from error
    if isinstance(error, (requests.exceptions.InvalidURL, requests.exceptions.InvalidSchema)):
        raise DataError("it redirects to an invalid address") from error
    if isinstance(error, requests.exceptions.Timeout):
        return "does not answer in time"
    if isinstance(error, requests.exceptions.ChunkedEncodingError | urllib3.exceptions.HTTPError):
        return "ends the transfer early"
    if isinstance(error, requests.exceptions.RequestException):
        return "cannot be reached"
    if isinstance(error, ConnectionError):
        return str(error)
    raise error
