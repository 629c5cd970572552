"""The companion's errors. Each has a stable ``code``, a ``status_code`` and says what to do; HTTP and websocket answer alike.

CompanionError
├── BadFrame            a message that cannot be parsed (bad_json, unknown_type, too_long, bad_field)
├── NotSignedIn         no, expired or revoked token; foreign Origin
│   └── SignInFailed    the super-app's gateway refused or did not answer
├── Unavailable         the database is away or full
├── NotAllowed          acting for somebody without consent
├── NotFound            a visit, bill, report that is not hers or not there
├── NotNow              allowed in another state of the visit
├── Outdated            it was changed since it was read (If-Match)
└── InvalidCard         a real-name card on which something is wrong; ``errors`` says what, field by field
"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any


class CompanionError(Exception):
    """``detail`` is for the resident, in her language, and never quotes what she sent."""

    code = "companion_error"
    status_code = 500
    retryable = False
    detail = "系统出了点问题,请稍后再试。"

    def __init__(self, detail: str = "", *, code: str = "") -> None:
        super().__init__(code or self.code)
        self.code = code or self.code
        self.detail = detail or self.detail

    def as_frame(self) -> dict[str, Any]:
        return {"type": "error", "code": self.code, "detail": self.detail, "retryable": self.retryable}


class BadFrame(CompanionError):
    code = "bad_frame"
    status_code = 400
    detail = "这条消息没有看懂,请再试一次。"


class NotSignedIn(CompanionError):
    code = "not_signed_in"
    status_code = 401
    detail = "登录已过期,请重新登录。"


class SignInFailed(NotSignedIn):
    code = "sign_in_failed"
    detail = "登录没有成功,请返回后重新进入。"


class Unavailable(CompanionError):
    """The database is away or full. Nothing was acknowledged, and the same turn may be sent again."""

    code = "storage_unavailable"
    status_code = 503
    retryable = True
    detail = "系统暂时没有办成。请过一会儿再试,同一件事不会办两次。"


class NotAllowed(CompanionError):
    code = "not_allowed"
    status_code = 403
    detail = "没有得到这位家人的授权,不能代办。"


class NotFound(CompanionError):
    code = "not_found"
    status_code = 404
    detail = "没有找到这项内容。"


class NotNow(CompanionError):
    code = "not_now"
    status_code = 409
    detail = "现在还不能办这一步。"


class Outdated(CompanionError):
    code = "outdated"
    status_code = 412
    detail = "这张卡刚刚在别处改过了,请重新打开再改。"


@dataclass(frozen=True, slots=True)
class FieldError:
    """``pointer``: the field, "/id_number"; ``detail``: what to do, in her language, without what she sent."""

    pointer: str
    code: str
    detail: str


class InvalidCard(CompanionError):
    code = "invalid_card"
    status_code = 400
    detail = "有几处还要改一改,请看每一栏下面的提示。"

    def __init__(self, errors: Iterable[FieldError]) -> None:
        super().__init__()
        self.errors = tuple(errors)

    def as_dicts(self) -> list[dict[str, str]]:
        return [asdict(error) for error in self.errors]
