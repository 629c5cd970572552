"""The hospitals' errors. Each has a stable ``code``, a ``status_code``, says whether trying again helps, and has words for people.

HospitalsError
├── ScopeMissing              a tenant query without a scope
│   └── WrongScope            a row of another hospital than the scope's, or a write in a read-only one
├── VaultError
│   ├── KeyServiceUnavailable the key service does not answer
│   │   └── WrongMasterKey    it answers, and opens nothing of this database
│   ├── KeyDestroyed          the owner's data were erased
│   └── CiphertextInvalid     altered, swapped between rows, columns or tenants, or of an unknown key
├── NotFound                  hospital, slot, appointment, place, ... that is not there or not hers
│   ├── UnknownHospital
│   ├── UnknownAppointment
│   ├── UnknownPlace
│   └── NoRoute
├── Conflict                  allowed at another time or for somebody else
│   ├── SlotTaken
│   ├── SlotClosed
│   ├── AlreadyBooked
│   ├── BookingBarred         too many no-shows, too many bookings
│   ├── TooLate
│   ├── WrongState
│   ├── IdempotencyConflict   the key was used for something else
│   ├── EventIdReused         an event's id came again with something else in it
│   └── Outdated              it was changed since it was read (If-Match)
├── InvalidInput              a body or a file that cannot be read
│   ├── BadEvent
│   └── TooLarge
├── Unauthenticated           no or wrong credential
│   ├── BadSignature
│   └── StaleTimestamp        outside the replay window
├── Forbidden
├── TooManyRequests
├── StorageUnavailable        the database is away or full
│   └── CacheUnavailable      Redis is away
└── ConnectorError
    ├── ConnectorUnavailable  no answer, a reset, a time-out, 5xx; retryable
    │   ├── CircuitOpen       not even tried
    │   └── OutcomeUnknown    sent, and no answer came: it may have been done; retryable with the same key
    ├── AddressRefused        an address that this service never calls
    └── ConnectorRefused      the hospital said no
"""

from typing import Any


class HospitalsError(Exception):
    """``detail`` is for people and never quotes what they sent; ``extra`` goes into the problem document."""

    code = "hospitals_error"
    status_code = 500
    retryable = False
    detail = "系统出了点问题,请稍后再试。"

    def __init__(self, detail: str = "", *, code: str = "", **extra: Any) -> None:
        super().__init__(code or self.code)
        self.code = code or self.code
        self.detail = detail or self.detail
        self.extra = extra


class ScopeMissing(HospitalsError):
    code = "scope_missing"
    detail = "没有指明是哪一家医院。"


class WrongScope(ScopeMissing):
    code = "wrong_scope"


class VaultError(HospitalsError):
    code = "vault_error"


class KeyServiceUnavailable(VaultError):
    code = "key_service_unavailable"
    status_code = 503
    retryable = True
    detail = "密钥服务暂时不可用,请稍后再试。"


class WrongMasterKey(KeyServiceUnavailable):
    code = "wrong_master_key"
    retryable = False
    detail = (
        "密钥服务里的主密钥打不开这个数据库的数据密钥:它属于别的安装,或者旧的主密钥取走得太早。"
        "请换回原来的主密钥(COMPANION_KEY_SERVICE、COMPANION_MASTER_KEY_FILE),再启动。"
    )


class KeyDestroyed(VaultError):
    code = "key_destroyed"
    status_code = 410
    detail = "这些内容已经按要求清除,无法恢复。"


class CiphertextInvalid(VaultError):
    code = "ciphertext_invalid"


class NotFound(HospitalsError):
    code = "not_found"
    status_code = 404
    detail = "没有找到这项内容。"


class UnknownHospital(NotFound):
    code = "unknown_hospital"
    detail = "没有找到这家医院。"


class UnknownAppointment(NotFound):
    code = "unknown_appointment"
    detail = "没有找到这个预约。"


class UnknownPlace(NotFound):
    code = "unknown_place"
    detail = "这家医院的地图上没有找到这个地方。"


class NoRoute(NotFound):
    code = "no_route"
    detail = "现在没有可以走的路线,请问问导诊台。"


class Conflict(HospitalsError):
    code = "conflict"
    status_code = 409
    detail = "现在还不能办这一步。"


class InProgress(Conflict):
    code = "in_progress"
    retryable = True
    detail = "同一个请求正在处理。"


class SlotTaken(Conflict):
    code = "slot_taken"
    detail = "这个号刚刚被别人约走了。"


class SlotClosed(Conflict):
    code = "slot_closed"
    detail = "这个时间已经不能预约了。"


class AlreadyBooked(Conflict):
    code = "already_booked"
    detail = "这位就诊人当天已经约过这个科室了。"


class BookingBarred(Conflict):
    code = "booking_barred"
    detail = "因为多次约了没来,这家医院暂时不能线上预约。"


class TooLate(Conflict):
    code = "too_late"
    detail = "已经过了可以取消的时间,请联系医院。"


class WrongState(Conflict):
    code = "wrong_state"


class IdempotencyConflict(Conflict):
    code = "idempotency_conflict"
    status_code = 422
    detail = "这个编号已经用在另一个请求上:新的请求要用新的编号。"


class EventIdReused(Conflict):
    code = "event_id_reused"
    detail = "这个 event_id 已经用过,内容却不一样。新的事件要用新的编号。"


class Outdated(Conflict):
    code = "outdated"
    status_code = 412
    detail = "这项内容在您读取之后改过了,请重新读取。"


class InvalidInput(HospitalsError):
    code = "invalid_input"
    status_code = 400
    detail = "内容的格式不对。"


class BadEvent(InvalidInput):
    code = "bad_event"


class TooLarge(InvalidInput):
    code = "too_large"
    status_code = 413
    detail = "内容太大。"


class Unauthenticated(HospitalsError):
    code = "unauthenticated"
    status_code = 401
    detail = "没有通过身份验证。"


class BadSignature(Unauthenticated):
    code = "bad_signature"


class StaleTimestamp(Unauthenticated):
    code = "stale_timestamp"


class Forbidden(HospitalsError):
    code = "forbidden"
    status_code = 403
    detail = "没有这项权限。"


class TooManyRequests(HospitalsError):
    code = "too_many_requests"
    status_code = 429
    retryable = True
    detail = "请求太频繁,请稍后再试。"


class StorageUnavailable(HospitalsError):
    """The database is away, full, or just changing over: what was asked is not acknowledged and may be sent again."""

    code = "storage_unavailable"
    status_code = 503
    retryable = True
    detail = "系统暂时没有办成。请过一会儿再试,同一件事不会办两次。"


class CacheUnavailable(StorageUnavailable):
    """Redis is away, for what cannot do without it."""

    code = "cache_unavailable"


class ConnectorError(HospitalsError):
    code = "connector_error"
    status_code = 502


class ConnectorUnavailable(ConnectorError):
    code = "connector_unavailable"
    status_code = 503
    retryable = True
    detail = "医院的系统暂时没有应答,我们会继续提交。"


class CircuitOpen(ConnectorUnavailable):
    code = "circuit_open"


class Crowded(ConnectorUnavailable):
    code = "crowded"
    detail = "正在等这家医院的系统应答,我们会继续提交。"


class OutcomeUnknown(ConnectorUnavailable):
    code = "outcome_unknown"


class AddressRefused(ConnectorError):
    code = "address_refused"
    status_code = 400
    detail = "这个地址不能使用。"
    why = {
        "private_address": "这个地址在内网,或者不能从公网访问:请用公网地址。",
        "private_name": "这个域名不在公网上:请用公网域名。",
        "not_https": "地址要用 https。",
        "bad_host": "域名或 IP 地址的写法不对。",
        "bad_url": "地址的写法不对:请写 https:// 开头的完整地址。",
        "bad_port": "端口只能是 80、443,或者 1024 到 65535。",
        "userinfo": "地址里不能带用户名和密码。",
        "redirect_refused": "这个地址回答了重定向:请登记最终的地址。",
    }

    def __init__(self, detail: str = "", *, code: str = "", **extra: Any) -> None:
        super().__init__(detail or self.why.get(code, ""), code=code, **extra)


class ConnectorRefused(ConnectorError):
    code = "connector_refused"
    detail = "医院没有接受这项请求。"
