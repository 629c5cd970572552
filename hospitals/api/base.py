"""What every view of a hospital shares: who calls, in whose scope, how often, and once."""

import json
import re
from contextlib import ExitStack, nullcontext
from typing import Any, ClassVar

from django.db import transaction
from django.http.response import HttpResponseBase
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter
from rest_framework import status
from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request
from rest_framework.response import Response

from hospitals import tenancy
from hospitals.api.answers import AnsweringView
from hospitals.api.schema import HospitalSchema
from hospitals.audit import Actor
from hospitals.exceptions import InvalidInput, Unauthenticated
from hospitals.services import access, idempotency, limits
from hospitals.services.access import Credential

_KEY = re.compile(r"[!-~]{1,120}")
_KEPT_HEADERS = ("ETag", "Location")


class BearerToken(BaseAuthentication):
    """``Authorization: Bearer …``: the token says which hospital this is; nothing else in the request does."""

    def authenticate(self, request: Request) -> tuple[Credential, Credential]:
        scheme, _space, token = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise Unauthenticated
        who = access.credential(token.strip())
        return who, who

    def authenticate_header(self, request: Request) -> str:
        return "Bearer"


class BearerTokenSchema(OpenApiAuthenticationExtension):
    """The same for OpenAPI."""

    target_class = "hospitals.api.base.BearerToken"
    name = "hospital"

    def get_security_definition(self, auto_schema: AutoSchema) -> dict[str, Any]:
        return {
            "type": "oauth2",
            "flows": {"clientCredentials": {"tokenUrl": "/api/hospitals/v1/token/", "scopes": access.SCOPES}},
        }


IDEMPOTENCY_KEY = OpenApiParameter(
    "Idempotency-Key",
    {"type": "string", "pattern": "^[!-~]{1,120}$"},
    OpenApiParameter.HEADER,
    description="同一个请求重发时不变:只做一次,回同样的结果。保留 24 小时。",
)
IF_MATCH = OpenApiParameter(
    "If-Match", OpenApiTypes.STR, OpenApiParameter.HEADER, description="上次读到的 ETag;不一致回 412。"
)


class HospitalView(AnsweringView):
    """A view in the scope of the credential's hospital. ``needs``: the scope that each method asks for."""

    schema = HospitalSchema()
    authentication_classes = [BearerToken]
    permission_classes: list[Any] = []
    needs: ClassVar[dict[str, str]] = {}
    once = True  # honours Idempotency-Key; False where an answer must not be kept (it shows a secret)
    whole_body = True  # False: a streamed body is recognised by its length and address alone

    limited = True

    who: Credential
    _key = ""

    def dispatch(self, request: Any, *args: Any, **kwargs: Any) -> HttpResponseBase:
        with ExitStack() as self._open:
            return super().dispatch(request, *args, **kwargs)

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        if not isinstance(request.auth, Credential):
            raise Unauthenticated
        self.who = request.auth
        self.hold(limits.CREDENTIAL, self.who.client_id)
        method = "GET" if request.method == "HEAD" else str(request.method)
        if method in self.needs:
            access.require(self.who, self.needs[method])
        self._open.enter_context(tenancy.scope(self.who.hospital_id))

    @property
    def actor(self) -> Actor:
        return Actor("hospital", self.who.client_id)

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Any:
        if request.method in ("GET", "HEAD") and response.status_code == status.HTTP_200_OK and "ETag" in response:
            known = request.headers.get("If-None-Match", "")
            if any(tag.strip().removeprefix("W/") in ("*", response["ETag"]) for tag in known.split(",")):
                response = Response(status=status.HTTP_304_NOT_MODIFIED, headers={"ETag": response["ETag"]})
        response = super().finalize_response(request, response, *args, **kwargs)
        response.setdefault("Cache-Control", "private, no-store")
        if self._key and response.status_code >= 400:
            idempotency.finish(self.who, self._key, idempotency.Answer(response.status_code, {}, None))
        return response

    def do_once(self, request: Request, work: Any, *, outward: bool = False) -> Response:
        """``work()``'s answer, or the one that was given before under this Idempotency-Key.

        The work and its answer are one transaction, unless it is ``outward``: it calls the hospital, and holds no database meanwhile.
        """
        key = request.headers.get("Idempotency-Key")
        if key is None or not self.once:
            done: Response = work()
            return done
        if not _KEY.fullmatch(key):
            raise InvalidInput("Idempotency-Key 须为 1 到 120 个可见字符。", code="bad_idempotency_key")
        asked = [str(request.method), request.get_full_path(), request.headers.get("If-Match", "")]
        asked.append(request.headers.get("Content-Type", ""))
        body = request._request.body if self.whole_body else request.headers.get("Content-Length", "")
        with nullcontext() if outward else transaction.atomic():
            before = idempotency.begin(self.who, key, idempotency.fingerprint(*asked, body))
            if before is not None:
                return Response(
                    before.body, status=before.status, headers={**before.headers, "Idempotent-Replayed": "true"}
                )
            self._key = key if outward else ""  # a refused deed takes its key back with it, but for this one
            answer: Response = work()
            kept = {name: answer[name] for name in _KEPT_HEADERS if name in answer}
            # through JSON: dates and ids as they were shown
            shown = json.loads(self.get_renderers()[0].render(answer.data)) if answer.data is not None else None
            idempotency.finish(self.who, key, idempotency.Answer(answer.status_code, kept, shown))
            return answer
