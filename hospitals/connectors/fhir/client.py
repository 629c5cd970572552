"""The REST verbs of one FHIR server: read, search page by page, create once, update what has not changed meanwhile."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlencode, urljoin, urlsplit

from hospitals.connectors.fhir.sign_in import NoSignIn, SignIn
from hospitals.exceptions import AddressRefused, ConnectorRefused, ConnectorUnavailable, OutcomeUnknown
from hospitals.outgoing import Answer, Outgoing

JSON = "application/fhir+json"
PAGES_MAX = (
    2000  # a large hospital has some hundred thousand places in four weeks, and may have written them in one moment
)
PAGE_SIZE = 100
WORDS_MAX = 200

Resource = dict[str, Any]
# What reading a resource raises when its server does not keep to FHIR's shapes.
MALFORMED = (KeyError, TypeError, ValueError, AttributeError, IndexError, ArithmeticError, RecursionError)


class VersionConflict(ConnectorRefused):
    """Somebody changed the resource since it was read (412): read it again."""

    code = "version_conflict"


class Gone(ConnectorRefused):
    """404 or 410."""

    code = "resource_gone"


class NotOne(ConnectorRefused):
    """What should be there once at most is there several times (412 to a conditional create): for people to clear up."""

    code = "not_one"
    detail = "医院里有几份相同的档案,请到医院窗口办理。"


@dataclass(frozen=True, slots=True)
class Stored:
    """A resource as the server has it. ``etag`` as it was sent, for If-Match; ``created``: by this very call."""

    resource: Resource
    etag: str
    created: bool = False


@dataclass(frozen=True, slots=True)
class Page:
    """One answer to a search: what there was at one moment. ``at``: that moment by the server's clock, where it tells it."""

    resources: list[Resource]
    at: datetime | None
    last: bool


class FhirClient:
    """Safe between threads. ``base_url`` is the service root, without a slash at the end."""

    def __init__(self, outgoing: Outgoing, base_url: str, sign_in: SignIn | None = None) -> None:
        self._outgoing = outgoing
        self._base = base_url.rstrip("/")
        self._sign_in = sign_in or NoSignIn()

    def read(self, reference: str) -> Stored:
        """``reference``: "Appointment/12". Raises ``Gone``, ``ConnectorUnavailable``, ``ConnectorRefused``, and ``ValueError``
        for a success that is something else (an OperationOutcome)."""
        path = self._relative(reference)
        found = _stored(self._call("GET", f"{self._base}/{path}"), path.partition("/")[0])
        if found is None:
            raise ValueError("resourceType")
        return found

    def pages(self, kind: str, params: Mapping[str, str | Sequence[str]]) -> Iterator[Page]:
        """Page by page; a parameter with several values is given each time. The next page's link must lead to the same server (``AddressRefused``).

        Raises ``ConnectorUnavailable`` (paging_loop, and too_many_pages after ``PAGES_MAX``).
        """
        url = f"{self._base}/{kind}?{urlencode({**params, '_count': str(PAGE_SIZE)}, doseq=True)}"
        seen: set[str] = set()
        for _ in range(PAGES_MAX):
            seen.add(url)
            answer = self._call("GET", url)
            bundle = _json(answer)
            if bundle.get("resourceType") != "Bundle":
                raise ConnectorUnavailable(code="bad_answer")
            links = [link.get("url") for link in _dicts(bundle.get("link")) if link.get("relation") == "next"]
            further = links[0] if links and isinstance(links[0], str) else None
            yield Page(list(_matches(bundle, kind)), _time_of(answer), last=further is None)
            if further is None:
                return
            url = self._next_page(url, further)
            if url in seen:
                raise ConnectorUnavailable(code="paging_loop")
        raise ConnectorUnavailable(code="too_many_pages")

    def search(self, kind: str, params: Mapping[str, str | Sequence[str]]) -> Iterator[Resource]:
        """All matches over all ``pages``: for few that do not change meanwhile."""
        for page in self.pages(kind, params):
            yield from page.resources

    def version(self) -> str:
        """The FHIR version that the server says it speaks ("4.0.1"); "" when it does not say."""
        return str(_json(self._call("GET", f"{self._base}/metadata")).get("fhirVersion", ""))

    def create(self, resource: Resource, *, once: str) -> Stored:
        """Create unless there is one that the search ``once`` finds: then that one. Repeating it has one effect.

        Raises ``NotOne`` when it finds several.
        """
        headers = {"if-none-exist": once, "prefer": "return=representation"}
        try:
            answer = self._call("POST", f"{self._base}/{resource['resourceType']}", resource, headers)
        except VersionConflict as error:
            raise NotOne from error
        if stored := _stored(answer, resource["resourceType"]):
            return stored
        location = answer.headers.get("location", "")
        if not location:
            raise ConnectorUnavailable(code="bad_answer")
        reference = urlsplit(location).path.partition("/_history/")[0].rsplit("/", 2)[-2:]
        found = self.read("/".join(reference))
        return Stored(found.resource, found.etag, created=answer.status == 201)

    def update(self, stored: Stored, resource: Resource) -> Stored:
        """Replace what was read. Raises ``VersionConflict`` when it has changed meanwhile."""
        headers = {"prefer": "return=representation"} | ({"if-match": stored.etag} if stored.etag else {})
        url = f"{self._base}/{resource['resourceType']}/{resource['id']}"
        answer = self._call("PUT", url, resource, headers)
        kind = resource["resourceType"]
        return _stored(answer, kind) or self.read(f"{kind}/{resource['id']}")

    def _relative(self, reference: str) -> str:
        """ "Appointment/12" of a relative reference or an absolute one of this server; no other server is ever read."""
        path = reference.removeprefix(self._base + "/").partition("/_history/")[0]
        kind, _slash, key = path.partition("/")
        if not (
            kind.isalpha() and kind.isascii() and 0 < len(key) <= 64 and key.replace("-", "").replace(".", "").isalnum()
        ):
            raise Gone(code="bad_reference")
        return path

    def _next_page(self, current: str, link: str) -> str:
        url = urljoin(current, link)
        here, there = urlsplit(self._base), urlsplit(url)
        if (there.scheme, there.netloc) != (here.scheme, here.netloc):
            raise AddressRefused(code="other_origin")
        return url

    def _call(
        self, method: str, url: str, resource: Resource | None = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """One exchange; a token that ended meanwhile is renewed once. Every verb here may be repeated safely."""
        body = json.dumps(resource, ensure_ascii=False, separators=(",", ":")).encode() if resource else b""
        fixed = {"accept": JSON, **({"content-type": JSON} if resource else {}), **(headers or {})}
        for attempt in (1, 2):
            signed = {**fixed, **self._sign_in.header()}
            answer = self._outgoing.send(method, url, headers=signed, content=body, repeatable=True)
            if answer.status == 401 and attempt == 1:
                self._sign_in.forget()
                continue
            break
        return _checked(answer, writes=method != "GET")


def _checked(answer: Answer, *, writes: bool) -> Answer:
    """The answer if it is a success. A server that fell over while writing may have written: ``OutcomeUnknown``."""
    status = answer.status
    if 200 <= status < 300:
        return answer
    if status in (401, 403):
        raise ConnectorUnavailable(code="sign_in_failed")
    if status in (404, 410):
        raise Gone
    if status == 412:
        raise VersionConflict
    if status == 429 or status == 503:
        raise ConnectorUnavailable(code="overloaded")
    if status >= 500:
        raise (OutcomeUnknown if writes else ConnectorUnavailable)
    # 409 and 422 are the hospital's no; the words of other refusals are about the request, for engineers
    raise ConnectorRefused(_words(answer) if status in (409, 422) else "", code=f"http_{status}")


def _matches(bundle: Resource, kind: str) -> Iterator[Resource]:
    for entry in _dicts(bundle.get("entry")):
        resource = entry.get("resource")
        mode = (entry.get("search") or {}).get("mode", "match")
        if isinstance(resource, dict) and resource.get("resourceType") == kind and mode == "match":
            yield resource


def _time_of(answer: Answer) -> datetime | None:
    """The server's ``Date``; None where it sends none that can be read, or of no known zone ("-0000")."""
    try:
        found = parsedate_to_datetime(answer.headers.get("date", ""))
    except ValueError:
        return None
    return found if found.tzinfo else None


def _words(answer: Answer) -> str:
    """What the server says for people: its OperationOutcome's first error, shortened; "" when it says nothing."""
    try:
        outcome = json.loads(answer.body)
        issues = _dicts(outcome.get("issue"))
    except (ValueError, AttributeError, RecursionError):
        return ""
    for issue in issues:
        details = issue.get("details")
        # diagnostics are for engineers and may quote what was sent: a resident never hears them
        text = details.get("text") if isinstance(details, dict) else None
        if isinstance(text, str) and text.strip():
            return text.strip()[:WORDS_MAX]
    return ""


def _json(answer: Answer) -> Resource:
    try:
        found = json.loads(answer.body)
    except (ValueError, RecursionError) as error:
        raise ConnectorUnavailable(code="bad_answer") from error
    if not isinstance(found, dict):
        raise ConnectorUnavailable(code="bad_answer")
    return found


def _stored(answer: Answer, kind: str) -> Stored | None:
    """The resource in this answer; None without a body or when it is of another kind: whatever ``Prefer`` asks, a server may
    answer a write by an OperationOutcome."""
    resource = _json(answer) if answer.body else {}
    if resource.get("resourceType") != kind:
        return None
    etag = answer.headers.get("etag", "")
    version = (resource.get("meta") or {}).get("versionId") if isinstance(resource.get("meta"), dict) else None
    return Stored(resource, etag or (f'W/"{version}"' if version else ""), created=answer.status == 201)


def _dicts(value: Any) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
