"""What changed at a FHIR server since a moment, read so that nothing is lost while it goes on changing.

Servers page by offset, and a resource that is written moves to the end of what is sorted by _lastUpdated: all behind it slide
forward, and one slides unseen over the border between a page that was read and the next. So no page's link is followed: what
follows is asked for as a first page, from the last resource's own moment on. One answer shows one moment of the server, and
what is written after it carries a later time and still lies ahead. What comes twice so is left out.

Only where one moment fills a whole page do the links have to be followed. Such a reading counts if the next one finds all of
it again: then nothing had left it, so nothing can have slid (``_moment``).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from sys import maxsize

from hospitals.connectors.fhir.client import MALFORMED, FhirClient, Page, Resource
from hospitals.connectors.fhir.elements import changed_at
from hospitals.exceptions import ConnectorUnavailable

OVERLAP = timedelta(seconds=30)  # a write that was under way, its time set and not to be seen, is to be seen after that
READINGS_MAX = 5
BEGINNING = datetime(2000, 1, 1, tzinfo=UTC)
_MS = timedelta(milliseconds=1)
Params = Mapping[str, str | Sequence[str]]
_Rows = list[tuple[datetime, Resource]]


class Changes:
    """Iterate once: the resources of one kind that changed since then, in the order of their change.

    ``reached``: where the next reading of this kind has to begin, at whatever resource this one is left: all that changed
    before has been handed over, and is done with once the next one is asked for. Raises ``ConnectorUnavailable`` (also
    not_in_order, never_settled) and what the client raises.
    """

    def __init__(
        self,
        client: FhirClient,
        kind: str,
        params: Params,
        since: datetime,
        *,
        pages: int = maxsize,
        stop: Callable[[], bool] = lambda: False,
    ) -> None:
        """``pages``: so many are asked for at most. ``stop`` is asked before each page and each resource."""
        self._client, self._kind, self._params, self._stop = client, kind, params, stop
        self._pages = pages
        self._settled: datetime | None = None
        self.reached = since

    def __iter__(self) -> Iterator[Resource]:
        border, known = _to_the_ms(self.reached), set[str]()
        for _ in range(self._pages):
            if self._stop():
                return
            rows, last = self._page(border)
            for at, resource in rows:
                if _version(resource) in known:
                    continue
                if self._stop():
                    return
                yield resource
                self.reached = max(self.reached, min(at, self._settled or at))
            if last:
                # Past it, where nothing can come to that moment any more: else a great many of one moment were read every time.
                after = [at + _MS for at, _resource in rows[-1:] if self._settled and at < self._settled]
                self.reached = max([self.reached, *after])
                return
            border, known = rows[-1][0], {_version(resource) for _at, resource in rows}

    def _page(self, border: datetime) -> tuple[_Rows, bool]:
        """What changed at the border and after it, as much as a page holds; and whether that is all."""
        page = next(self._client.pages(self._kind, self._asked(border)))
        if self._settled is None:
            self._settled = (page.at or datetime.now(UTC)) - OVERLAP
        rows = _in_order(page, border)
        if page.last or (rows and rows[-1][0] > border):
            return rows, page.last
        return self._moment(border)

    def _moment(self, border: datetime) -> tuple[_Rows, bool]:
        """All of one moment, which is more than a page holds, and what stands behind it on its last page."""
        before: tuple[_Rows, bool] | None = None
        for _ in range(READINGS_MAX):
            rows, last = _Rows(), False
            for page in self._client.pages(self._kind, self._asked(border)):
                rows += _in_order(page, border)
                last = page.last
                if rows and rows[-1][0] > border:
                    break
            if before is not None:
                first = _at_most(before[0], border)
                # nothing twice: a server that gives equal times in another order each time has then shown each one
                if len(set(first)) == len(first) and set(first) == set(_at_most(rows, border)):
                    return before
            before = rows, last
        raise ConnectorUnavailable(code="never_settled")

    def _asked(self, border: datetime) -> Params:
        since = f"ge{border.isoformat(timespec='milliseconds')}"
        return {"_lastUpdated": since, "_sort": "_lastUpdated", **self._params}


def whole(client: FhirClient, kind: str, params: Params) -> list[Resource]:
    """All there are now, each as it was last seen. Raises what ``Changes`` raises."""
    return list({str(resource.get("id")): resource for resource in Changes(client, kind, params, BEGINNING)}.values())


def _in_order(page: Page, border: datetime) -> _Rows:
    """A page's resources by their moments; one that does not say its own counts as of the border."""
    told = [_moment_of(resource) for resource in page.resources]
    known = [at for at in told if at is not None]
    if not page.last and known != sorted(known):  # what follows would be asked for from a wrong moment
        raise ConnectorUnavailable(code="not_in_order")
    rows = [(at or border, resource) for at, resource in zip(told, page.resources, strict=True)]
    return sorted(rows, key=lambda row: row[0])


def _moment_of(resource: Resource) -> datetime | None:
    try:
        return _to_the_ms(changed_at(resource))
    except MALFORMED:
        return None


def _to_the_ms(at: datetime) -> datetime:
    """As it is asked for: never later than it is."""
    return at.replace(microsecond=at.microsecond // 1000 * 1000)


def _version(resource: Resource) -> str:
    meta = resource.get("meta")
    told = meta if isinstance(meta, dict) else {}
    return repr((resource.get("id"), told.get("versionId"), told.get("lastUpdated")))


def _at_most(rows: _Rows, border: datetime) -> list[str]:
    return [_version(resource) for at, resource in rows if at <= border]
