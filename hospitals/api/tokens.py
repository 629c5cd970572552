"""OAuth2 client credentials (RFC 6749 §4.4): django-oauth-toolkit parses and answers; clients and tokens are ours, hashed."""

import base64
import json
from dataclasses import dataclass
from typing import Any

import structlog
from drf_spectacular.utils import OpenApiResponse, extend_schema
from oauth2_provider.oauth2_backends import OAuthLibCore
from oauth2_provider.oauth2_validators import OAuth2Validator
from oauth2_provider.views.mixins import OAuthLibMixin
from oauthlib.oauth2 import BackendApplicationServer  # type: ignore[import-untyped]
from rest_framework import serializers, status
from rest_framework.parsers import FormParser
from rest_framework.request import Request
from rest_framework.response import Response

from hospitals.api.answers import caller_address
from hospitals.api.schema import OpenView
from hospitals.models import ApiClient
from hospitals.services import access, limits

log = structlog.get_logger(__name__)

GRANT = "client_credentials"


@dataclass(frozen=True, slots=True)
class _Client:
    """Our client in the shape that the toolkit's validator reads."""

    row: ApiClient
    client_type: str = "confidential"

    @property
    def client_id(self) -> str:
        return self.row.id

    @property
    def client_secret(self) -> ApiClient:
        return self.row  # handed to _check_secret, which asks the service


class CredentialValidator(OAuth2Validator):
    """The toolkit's validator over our clients; it never sees or stores a secret or a token in clear."""

    def _load_application(self, client_id: str | None, request: Any) -> _Client | None:
        row = access.client(client_id or "")
        request.client = _Client(row) if row else None
        return request.client

    def _check_secret(self, provided_secret: str, stored_secret: ApiClient) -> bool:
        return access.check_secret(stored_secret, provided_secret)

    def validate_grant_type(
        self, client_id: str, grant_type: str, client: Any, request: Any, *a: Any, **k: Any
    ) -> bool:
        return grant_type == GRANT

    def get_default_scopes(self, client_id: str, request: Any, *args: Any, **kwargs: Any) -> list[str]:
        return list(request.client.row.scopes)

    def validate_scopes(self, client_id: str, scopes: list[str], client: Any, request: Any, *a: Any, **k: Any) -> bool:
        return set(scopes) <= set(client.row.scopes)

    def save_bearer_token(self, token: dict[str, Any], request: Any, *args: Any, **kwargs: Any) -> None:
        access.keep_token(request.client.row, token["access_token"], token["scope"].split())
        log.info("hospital_token_issued", hospital=str(request.client.row.hospital_id))


class TokenRequestSerializer(serializers.Serializer[Any]):
    grant_type = serializers.ChoiceField(choices=[GRANT])
    client_id = serializers.CharField(required=False, help_text="也可以放在 HTTP Basic 头里。")
    client_secret = serializers.CharField(required=False)
    scope = serializers.CharField(required=False, help_text="空格分隔;不写就是全部权限。")


class TokenSerializer(serializers.Serializer[Any]):
    access_token = serializers.CharField()
    token_type = serializers.CharField()
    expires_in = serializers.IntegerField(help_text="秒")
    scope = serializers.CharField()


class OAuthErrorSerializer(serializers.Serializer[Any]):
    error = serializers.CharField()
    error_description = serializers.CharField(required=False)


def _client_id(request: Request) -> str:
    """Whom this request says it is from, by HTTP Basic or in the form; nothing is checked yet."""
    scheme, _space, pair = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "basic":
        try:
            return base64.b64decode(pair).decode().partition(":")[0]
        except ValueError:
            return ""
    return str(request._request.POST.get("client_id", ""))


class TokenView(OAuthLibMixin, OpenView):
    """A token for fifteen minutes. Errors are in the form of RFC 6749, as every OAuth2 library expects."""

    parser_classes = [FormParser]
    limited = True
    oauthlib_backend_class = OAuthLibCore

    @classmethod
    def get_server(cls) -> BackendApplicationServer:
        return BackendApplicationServer(
            CredentialValidator(),
            token_generator=lambda request: access.new_token(),
            token_expires_in=access.TOKEN_TTL_S,
        )

    @extend_schema(
        operation_id="token_create",
        tags=["credentials"],
        request={"application/x-www-form-urlencoded": TokenRequestSerializer},
        responses={
            200: TokenSerializer,
            400: OpenApiResponse(OAuthErrorSerializer),
            401: OpenApiResponse(OAuthErrorSerializer),
        },
        auth=[],
    )
    def post(self, request: Request) -> Response:
        self.hold(limits.TOKENS_ADDRESS, caller_address(request))
        if request.content_type.partition(";")[0] != FormParser.media_type:
            request.data  # noqa: B018  (raises the parser's refusal: 415)
        self.hold(limits.TOKENS, limits.named(caller_address(request), _client_id(request)))
        _url, headers, body, code = self.create_token_response(request._request)
        answer = Response(json.loads(body) if body else None, status=code or status.HTTP_400_BAD_REQUEST)
        for name in ("Cache-Control", "Pragma", "WWW-Authenticate"):
            if name in headers:
                answer[name] = headers[name]
        return answer
