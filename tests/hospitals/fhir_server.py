"""A strict FHIR R4 server on a local port, with a small hospital behind it that answers what is written to it.

Every resource in and out is checked by fhir.resources' R4B models and against the required code bindings. It keeps
versions, asks for If-Match, pages its searches, answers in OperationOutcomes, and plays faults: ``faults`` holds what the
next requests meet ("500", "500 after", "silence", "silence after", "trickle", "drop").
"""

import base64
import contextlib
import json
import threading
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from tests.hospitals.fhir_rules import Refusal, Resource, checked, references

JSON = "application/fhir+json"
PAGE = 3
START = datetime(2026, 3, 2, 0, 0, tzinfo=UTC)
SEVERAL_TYPES = {("DiagnosticReport", "encounter")}  # where R4's parameter names an EpisodeOfCare too
APPOINTMENT, TASK = "urn:health-companion:appointment", "urn:health-companion:task"


def _parsed(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError as error:
        raise Refusal(400, "structure", "no JSON") from error


class FhirServer:
    """``base`` is the service root. ``put`` writes as the hospital; what comes over HTTP is checked as a client's.

    ``acts``: whether there is a hospital behind it that answers what is written, or a store only.
    """

    def __init__(
        self, *, client_key: Any = None, client_id: str = "companion", key_id: str = "k1", acts: bool = True
    ) -> None:
        self.rows: dict[str, list[Resource]] = {}  # "Kind/id" → its versions
        self.faults: list[str] = []
        self.log: list[str] = []
        self.refuse_bookings = ""
        self.other_origin = ""
        self.version = "4.0.1"
        self.acts = acts
        self.minimal = False  # answers a write without a body, as Prefer allows
        self.outcomes = False  # answers a write by an OperationOutcome, as Prefer cannot forbid
        self.unsupported = ""  # a search parameter that it does not know
        self.before_update: list[Any] = []  # called once each, before an update is looked at
        self.after_search: list[Any] = []  # called once each, when a search has its answer
        self.at_once = False  # what is written now is written in one moment
        self.unsteady = False  # gives what was written in one moment in another order each time
        self.latest_first = False  # sorts as it likes
        self.client_key, self.client_id, self.key_id = client_key, client_id, key_id
        self.algorithm = ""
        self.tokens: set[str] = set()
        self.assertions: set[str] = set()
        self._lock = threading.RLock()
        self._ticks = 0
        self._stop = threading.Event()
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._http.daemon_threads = True
        self.origin = f"http://127.0.0.1:{self._http.server_address[1]}"
        self.base = f"{self.origin}/fhir"
        self.token_url = f"{self.origin}/token"
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._stop.set()
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    # --- the hospital's side ------------------------------------------------------------------------------

    @property
    def now(self) -> datetime:
        return START + timedelta(seconds=10 * self._ticks)

    def put(self, resource: Resource) -> Resource:
        """Write it as the hospital's own system would: a new version, ten seconds later."""
        with self._lock:
            checked(resource)
            missing = [r for r in references(resource) if "/" in r and r not in self.rows]
            if missing:
                raise Refusal(422, "invalid", f"unknown reference {missing[0].partition('/')[0]}")
            self._ticks += not self.at_once
            key = f"{resource['resourceType']}/{resource['id']}"
            versions = self.rows.setdefault(key, [])
            meta = {"versionId": str(len(versions) + 1), "lastUpdated": self.now.isoformat()}
            versions.append(json.loads(json.dumps({**resource, "meta": meta})))
            return versions[-1]

    def get(self, reference: str) -> Resource:
        return self.rows[reference][-1]

    def change(self, reference: str, **members: Any) -> Resource:
        return self.put({**self.get(reference), **members})

    def of_kind(self, kind: str) -> list[Resource]:
        return [versions[-1] for key, versions in self.rows.items() if key.startswith(kind + "/")]

    def slot(self, slot_id: str, status: str = "free") -> Resource:
        if "Schedule/sch1" not in self.rows:
            self.put({"resourceType": "HealthcareService", "id": "eye", "name": "眼科"})
            self.put({"resourceType": "Schedule", "id": "sch1", "actor": [{"reference": "HealthcareService/eye"}]})
        times = {"start": "2026-03-02T09:00:00+08:00", "end": "2026-03-02T09:30:00+08:00"}
        schedule = {"reference": "Schedule/sch1"}
        return self.put({"resourceType": "Slot", "id": slot_id, "schedule": schedule, "status": status, **times})

    def _booked(self, resource: Resource) -> Resource:
        """What the hospital makes of a proposed appointment."""
        slot = self.get(resource["slot"][0]["reference"])
        if self.refuse_bookings or slot["status"] != "free":
            raise Refusal(409, "conflict", self.refuse_bookings or "这个号已经没有了")
        self.change(f"Slot/{slot['id']}", status="busy")
        return {**resource, "status": "booked", "created": self.now.isoformat()}

    def _followed(self, before: Resource, after: Resource) -> None:
        """What the hospital does when an appointment has been changed."""
        if after["resourceType"] != "Appointment" or before["status"] == after["status"]:
            return
        if after["status"] == "cancelled":
            self.change(after["slot"][0]["reference"], status="free")
        elif after["status"] == "arrived":
            self.check_in(after["id"])

    def check_in(self, appointment_id: str) -> None:
        number = f"e{appointment_id}"
        self.put(
            {
                "resourceType": "Encounter",
                "id": number,
                "status": "arrived",
                "class": {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "AMB"},
                "appointment": [{"reference": f"Appointment/{appointment_id}"}],
            }
        )
        room = {"resourceType": "Location", "id": "r1", "name": "眼科一诊室", "description": "1号楼2楼"}
        self.put({**room, "identifier": [{"value": "B1-2-E1"}]})
        self.task(number, "queue", "received", ticket="70", ahead=4)

    def task(self, encounter: str, code: str, status: str, task_id: str = "", **inputs: Any) -> Resource:
        """A Task with our codes; integers and booleans go out as what they are."""

        def value(given: Any) -> dict[str, Any]:
            if isinstance(given, bool):
                return {"valueBoolean": given}
            if isinstance(given, int):
                return {"valueInteger": given}
            return {"valueReference": given} if isinstance(given, dict) else {"valueString": given}

        known = self.rows.get(f"Task/{task_id or code + encounter}")
        task = {
            **(known[-1] if known else {"authoredOn": (self.now + timedelta(seconds=9)).isoformat()}),
            "resourceType": "Task",
            "id": task_id or code + encounter,
            "status": status,
            "intent": "order",
            "code": {"coding": [{"system": TASK, "code": code}]},
            "encounter": {"reference": f"Encounter/{encounter}"},
            "location": {"reference": "Location/r1"},
        }
        if inputs:
            task["input"] = [
                {"type": {"coding": [{"system": TASK, "code": name.replace("_", "-")}]}, **value(given)}
                for name, given in inputs.items()
            ]
        return self.put(task)

    # --- HTTP ---------------------------------------------------------------------------------------------

    def answer(
        self, method: str, target: str, headers: Any, body: bytes
    ) -> tuple[int, Resource | None, dict[str, str]]:
        """(status, resource, headers). Raises ``Refusal``."""
        split = urlsplit(target)
        with self._lock:
            self.log.append(f"{method} {split.path}")
            if split.path == "/token":
                return 200, self._token(parse_qs(body.decode())), {}
            if (
                self.client_key is not None
                and headers.get("authorization", "").removeprefix("Bearer ") not in self.tokens
            ):
                raise Refusal(401, "login", "token")
            parts = split.path.removeprefix("/fhir/").split("/")
            if method in ("POST", "PUT"):
                if headers.get("content-type") != JSON:
                    raise Refusal(415, "structure", "content type")
                resource = checked(_parsed(body))
                if resource["resourceType"] != parts[0]:
                    raise Refusal(400, "invalid", "another type")
                return self._create(resource, headers) if method == "POST" else self._update(resource, parts, headers)
            if parts == ["metadata"]:
                return 200, {"resourceType": "CapabilityStatement", "fhirVersion": self.version}, {}
            if len(parts) == 1:
                found = self._search(parts[0], parse_qs(split.query, keep_blank_values=True))
                for action in [self.after_search.pop(0) for _ in self.after_search[:1]]:
                    action()
                return 200, found, {}
            return self._found(200, self._row("/".join(parts)))

    @staticmethod
    def _found(status: int, row: Resource) -> tuple[int, Resource, dict[str, str]]:
        return status, row, {"etag": f'W/"{row["meta"]["versionId"]}"'}

    def _row(self, reference: str) -> Resource:
        if reference not in self.rows:
            raise Refusal(404, "not-found", "没有这个资源")
        return self.get(reference)

    def _create(self, resource: Resource, headers: Any) -> tuple[int, Resource, dict[str, str]]:
        kind = resource["resourceType"]
        if "id" in resource:
            raise Refusal(400, "invalid", "a new resource has no id")
        once = headers.get("if-none-exist", "")
        same = self._matches(kind, parse_qs(once)) if once else []
        if len(same) > 1:
            raise Refusal(412, "multiple-matches", "not one")
        if same:
            return self._found(200, same[0])
        if kind == "Appointment" and self.acts:
            resource = self._booked(resource)
        status, row, headers = self._found(201, self.put({**resource, "id": f"{kind[0].lower()}{self._ticks + 1}"}))
        return status, row, {**headers, "location": self._version_url(row)}

    def _version_url(self, row: Resource) -> str:
        return f"{self.base}/{row['resourceType']}/{row['id']}/_history/{row['meta']['versionId']}"

    def _update(self, resource: Resource, parts: list[str], headers: Any) -> tuple[int, Resource, dict[str, str]]:
        for action in [self.before_update.pop(0) for _ in self.before_update[:1]]:
            action()
        before = self._row("/".join(parts))
        if resource.get("id") != parts[1]:
            raise Refusal(400, "invalid", "another id")
        if "if-match" not in headers:
            raise Refusal(428, "conflict", "If-Match")
        if headers["if-match"] != f'W/"{before["meta"]["versionId"]}"':
            raise Refusal(412, "conflict", "changed meanwhile")
        after = self.put(resource)
        if self.acts:
            self._followed(before, after)
        return self._found(200, after)

    def _matches(self, kind: str, params: dict[str, list[str]]) -> list[Resource]:
        found = self.of_kind(kind)
        for name, value in [(name, value) for name, values in params.items() for value in values]:
            if name == self.unsupported:
                raise Refusal(400, "not-supported", f"search parameter {name}")
            if name == "_lastUpdated" and value.startswith("ge"):
                since = datetime.fromisoformat(value[2:])
                found = [r for r in found if datetime.fromisoformat(r["meta"]["lastUpdated"]) >= since]
            elif name in ("encounter", "schedule"):
                found = [r for r in found if r.get(name, {}).get("reference") == value]
            elif name == "start" and value[:2] in ("lt", "ge"):
                when, early = datetime.fromisoformat(value[2:]), value.startswith("lt")
                found = [r for r in found if (datetime.fromisoformat(r["start"]) < when) == early]
            elif name == "identifier" or name.endswith(".identifier"):
                chain = [step.partition(":") for step in name.split(".")[:-1]]
                if any((kind, step) in SEVERAL_TYPES and not of for step, _colon, of in chain):
                    raise Refusal(400, "invalid", f"{kind}.{chain[0][0]} may lead to several types")
                found = [r for r in found if self._identified(r, [(step, of) for step, _colon, of in chain], value)]
            elif name not in ("_sort", "_count", "_page"):
                raise Refusal(400, "not-supported", f"search parameter {name}")
        if self.unsteady and len(self.log) % 2:
            found.reverse()
        return sorted(found, key=lambda r: r["meta"]["lastUpdated"], reverse=self.latest_first)

    def _identified(self, resource: Resource, path: list[tuple[str, str]], token: str) -> bool:
        for step, of in path:
            inner = resource.get(step)
            inner = inner[0] if isinstance(inner, list) else inner
            if not inner or not inner["reference"].startswith(of):
                return False
            resource = self.get(inner["reference"])
        system, _bar, value = token.partition("|")
        return any(i.get("system") == system and value in ("", i.get("value")) for i in resource.get("identifier", []))

    def _search(self, kind: str, params: dict[str, list[str]]) -> Resource:
        found = self._matches(kind, params)
        first = int(params.get("_page", ["0"])[0])
        bundle: Resource = {
            "resourceType": "Bundle",
            "type": "searchset",
            "total": len(found),
            "link": [{"relation": "self", "url": f"{self.base}/{kind}?{urlencode(params, doseq=True)}"}],
            "entry": [
                {"fullUrl": f"{self.base}/{kind}/{r['id']}", "resource": r, "search": {"mode": "match"}}
                for r in found[first : first + PAGE]
            ],
        }
        if first + PAGE < len(found):
            query = urlencode({**params, "_page": str(first + PAGE)}, doseq=True)
            next_page = f"{self.other_origin or self.origin}/fhir/{kind}?{query}"
            bundle["link"].append({"relation": "next", "url": next_page})
        return checked(bundle)

    # --- SMART backend services -----------------------------------------------------------------------------

    def _token(self, form: dict[str, list[str]]) -> Resource:
        """Checks the assertion as the profile says and gives a token."""
        header, claims, signature = (form["client_assertion"][0].split(".") + ["", ""])[:3]
        head, body = (json.loads(base64.urlsafe_b64decode(p + "==")) for p in (header, claims))
        raw = base64.urlsafe_b64decode(signature + "==")
        signed = f"{header}.{claims}".encode()
        key = self.client_key
        if isinstance(key, rsa.RSAPublicKey):
            assert head["alg"] == "RS384"
            key.verify(raw, signed, padding.PKCS1v15(), hashes.SHA384())
        else:
            assert head["alg"] == "ES384" and len(raw) == 96
            r, s = int.from_bytes(raw[:48], "big"), int.from_bytes(raw[48:], "big")
            key.verify(encode_dss_signature(r, s), signed, ec.ECDSA(hashes.SHA384()))
        good = (
            form["grant_type"] == ["client_credentials"]
            and form["client_assertion_type"] == ["urn:ietf:params:oauth:client-assertion-type:jwt-bearer"]
            and head["kid"] == self.key_id
            and body["iss"] == body["sub"] == self.client_id
            and body["aud"] == self.token_url
            and 0 < body["exp"] - body["iat"] <= 300
            and body["jti"] not in self.assertions
        )
        if not good:
            raise Refusal(400, "login", "assertion")
        self.assertions.add(body["jti"])
        token = f"token-{len(self.assertions)}"
        self.tokens.add(token)
        return {"access_token": token, "token_type": "bearer", "expires_in": 300, "scope": form["scope"][0]}


def _handler(server: FhirServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = 65536  # head and body in one packet

        def date_time_string(self, timestamp: float | None = None) -> str:
            return format_datetime(server.now.astimezone(UTC), usegmt=True)

        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            fault = server.faults.pop(0) if server.faults and self.path != "/token" else ""
            if fault in ("silence", "drop"):
                return self._fail(fault)
            headers = {k.lower(): v for k, v in self.headers.items()}
            try:
                if fault == "500":
                    raise Refusal(500, "exception", "broken")
                status, resource, more = server.answer(self.command, self.path, headers, body)
                if fault == "500 after":
                    raise Refusal(500, "exception", "broken")
            except Refusal as refusal:
                status, resource, more = refusal.status, refusal.outcome, {}
            if fault == "silence after":
                return self._fail(fault)
            raw = json.dumps(resource).encode()
            if (server.minimal or server.outcomes) and resource and self.command != "GET" and status < 300:
                more = {"location": server._version_url(resource)}
                raw = b'{"resourceType":"OperationOutcome","issue":[]}' if server.outcomes else b""
            self.send_response(status)
            for name, value in {"content-type": JSON, "content-length": str(len(raw)), **more}.items():
                self.send_header(name, value)
            self.end_headers()
            if fault == "trickle":
                for byte in raw:
                    self.wfile.write(bytes([byte]))
                    self.wfile.flush()
                    if server._stop.wait(0.02):
                        break
                return None
            self.wfile.write(raw)
            return None

        do_POST = do_PUT = do_GET

        def _fail(self, fault: str) -> None:
            if fault.startswith("silence"):
                server._stop.wait(10)
            self.close_connection = True

        def log_message(self, *args: Any) -> None:
            pass

        def handle(self) -> None:
            with contextlib.suppress(OSError):  # the client went away, as it should from a server like this
                super().handle()

    return Handler


if __name__ == "__main__":  # docs/connectors.md, "Try it"
    running = FhirServer()
    running.slot("s1")
    local = "networks: [127.0.0.0/8], plain_hosts: [127.0.0.1]"
    print(f"try-fhir: {{BACKEND: fhir, OPTIONS: {{base_url: '{running.base}', {local}}}}}", flush=True)
    with contextlib.suppress(KeyboardInterrupt):
        threading.Event().wait()
