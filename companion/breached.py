"""Passwords that are known from breaches elsewhere are refused to staff, by a list that the operator names.

Either a range service, which is told the first five hexadecimal digits of the password's SHA-1 and answers with the rest of all
that begin so (the k-anonymity protocol of Have I Been Pwned, API v3), or for a network without a way out the file that its
downloader makes: a line ``SHA1:COUNT`` each, sorted. With neither set nothing is asked.

Where the list cannot be asked the password passes, with a line in the log: the other validators (among them Django's 20,000
most common passwords) do not depend on it.
"""

import hashlib
import mmap
import re
import time
from typing import Any

import httpx
import structlog
from django.conf import settings
from django.core.exceptions import ValidationError

log = structlog.get_logger(__name__)

PREFIX, DIGEST = 5, 40  # hexadecimal digits
FIRST_LINE = re.compile(rb"[0-9A-Fa-f]{40}(:\d+)?\r?\n")
ANSWER_S = 3.0  # altogether
ANSWER_BYTES = 1024 * 1024  # a padded range is some 70 kB


class Unanswered(Exception):
    """The list could not be asked."""


class NotBreached:
    """For ``AUTH_PASSWORD_VALIDATORS``."""

    def validate(self, password: str, user: Any = None) -> None:
        digest = hashlib.sha1(password.encode(), usedforsecurity=False).hexdigest().upper()
        for asked, where in ((in_file, settings.BREACHED_PASSWORDS_FILE), (in_range, settings.BREACHED_PASSWORDS_URL)):
            try:
                known = bool(where) and asked(where, digest)
            except Unanswered as error:
                log.warning("breached_passwords_unanswered", reason=type(error.__cause__ or error).__name__)
                continue
            if known:
                raise ValidationError(self.get_help_text(), code="password_breached")

    def get_help_text(self) -> str:
        return "密码不能是在别处泄露过的。"


def in_range(url: str, digest: str) -> bool:
    """Whether the range service knows the digest (upper case). Raises ``Unanswered``."""
    prefix, wanted = digest[:PREFIX], digest[PREFIX:]
    deadline = time.monotonic() + ANSWER_S
    body = b""
    try:
        with (
            httpx.Client(timeout=ANSWER_S, follow_redirects=False) as client,
            client.stream("GET", f"{url.rstrip('/')}/{prefix}", headers={"Add-Padding": "true"}) as answer,
        ):
            if answer.status_code != httpx.codes.OK:
                raise Unanswered
            for part in answer.iter_bytes():
                body += part
                if len(body) > ANSWER_BYTES or time.monotonic() > deadline:
                    raise Unanswered
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise Unanswered from error
    lines = body.decode("ascii", "replace").upper().split()
    counts = dict(line.partition(":")[::2] for line in lines)
    if any(len(suffix) != DIGEST - PREFIX or not count.isdigit() for suffix, count in counts.items()):
        raise Unanswered  # no range at all: the page of a proxy, for instance
    return int(counts.get(wanted, "0")) > 0  # padding has the count 0


def in_file(path: str, digest: str) -> bool:
    """Whether the sorted file holds a line that begins with the digest (upper case). Raises ``Unanswered``."""
    wanted = digest.encode()
    try:
        with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as lines:
            if not FIRST_LINE.match(lines):
                raise Unanswered
            low, high = 0, len(lines)  # the line that is looked for begins in between
            while low < high:
                begin = lines.rfind(b"\n", 0, (low + high) // 2) + 1
                found = lines[begin : begin + DIGEST].upper()
                if found == wanted:
                    return True
                if found < wanted:
                    low = (lines.find(b"\n", begin) + 1) or high
                else:
                    high = begin
    except (OSError, ValueError) as error:  # an empty file cannot be mapped
        raise Unanswered from error
    return False
