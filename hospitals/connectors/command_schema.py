"""The commands that a hospital is sent as signed POSTs, and its answer, as JSON Schema: made from the contract's own classes."""

from typing import Any

from pydantic import TypeAdapter

from hospitals.connectors.base import CommandKind, PaidBill, PatientCard
from hospitals.connectors.webhook import PING, WORDS_MAX

_WORDS = {
    "idempotency_key": "同一个操作重发时不变:见过的照上次的回答,不再办第二次",
    "kind": "操作",
    "appointment_id": "平台的预约编号;发来的事件都写它。试发(ping)时为空",
    "slot": "预约的号源,本院目录里的编号",
    "patient": "就诊人,只有 book 有",
    "data": "操作的内容",
    "name": "姓名",
    "id_number": "居民身份证号码",
    "phone": "手机号",
    "birth_date": "出生日期",
    "sex": "性别",
    "reason": "取消的原因,患者的话",
    "invoice_id": "账单编号,invoice.issued 里的 id",
    "receipt": "支付平台的交易号,对账单上有",
    "amount_fen": "实付金额(分)。与账单现在的 self_pay_fen 不相等,就回答拒绝",
    "order_number": "平台的订单号,对账单上也有",
    "gateway": "alipay、wechat;sandbox 是测试;空:自付为零,没有经过支付平台",
    "paid_at": "付款时间,支付平台的时钟",
    "currency": "币种",
    "accepted": "是否接受",
    "reference": "本院的编号",
}
_RULES: dict[str, dict[str, Any]] = {
    "sex": {"enum": ["male", "female", "unknown"]},
    "amount_fen": {"minimum": 0},
    "currency": {"const": "CNY"},
}
_TEXT = {"type": "string"}
_NOTHING = {"type": "object", "maxProperties": 0}


def kinds() -> list[str]:
    """What a message may be about."""
    return [*(kind.value for kind in CommandKind), PING]


def message(kind: str) -> dict[str, Any]:
    """The body of a message of this kind."""
    data: dict[str, dict[str, Any]] = {
        CommandKind.CANCEL: _object({"reason": _TEXT}),
        CommandKind.PAY: _of(PaidBill),
    }
    ping = kind == PING
    return _object(
        {
            "idempotency_key": {**_TEXT, "minLength": 1},
            "kind": {"const": kind},
            "appointment_id": {"const": ""} if ping else {**_TEXT, "format": "uuid"},
            "slot": {"const": ""} if ping else _TEXT,
            "patient": _of(PatientCard) if kind == CommandKind.BOOK else {"type": "null"},
            "data": data.get(kind, _NOTHING),
        }
    )


def answer(status: int) -> dict[str, Any]:
    """What the hospital answers with this status: a success says whether it accepts, the others are a no of themselves."""
    said = {"type": "boolean"} if status < 300 else {"const": False}
    made = _object({"accepted": said, "reference": _TEXT, "reason": _TEXT})
    made["properties"]["reason"] |= {"description": f"拒绝的理由,会读给患者听;取前 {WORDS_MAX} 个字"}
    return {"type": "object", "required": ["accepted"] if status < 300 else [], "properties": made["properties"]}


def _of(contract: type) -> dict[str, Any]:
    """A class of the contract, all of whose members are always sent."""
    return _object(TypeAdapter(contract).json_schema()["properties"])


def _object(members: dict[str, dict[str, Any]]) -> dict[str, Any]:
    told = {name: {**_untitled(one), **_RULES.get(name, {})} for name, one in members.items()}
    properties = {name: {**one, "description": one.get("description", _WORDS[name])} for name, one in told.items()}
    return {"type": "object", "required": list(members), "additionalProperties": False, "properties": properties}


def _untitled(one: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in one.items() if name not in ("title", "default")}
