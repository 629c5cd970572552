"""What a hospital of the connector "push" is sent, described as the document's webhooks: one for each kind of message."""

from typing import Any

from drf_spectacular.utils import OpenApiWebhook

from hospitals.connectors import command_schema
from hospitals.connectors.webhook import PING, REFUSALS

_SUMMARIES = {
    "book": "约一个号源",
    "cancel": "取消预约",
    "check_in": "到院取号",
    "pay": "账单已在线上付清",
    PING: "试发:看地址通不通,什么都不用做",
}
_SIGNED = {
    "webhook-id": "消息编号",
    "webhook-timestamp": "发送时间,Unix 秒",
    "webhook-signature": "v1,base64(HMAC-SHA256(密钥, id.timestamp.body));换密钥期间有两个,有一个对就行",
}


def _answer(description: str, status: int) -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"schema": command_schema.answer(status)}}}


def _operation(kind: str) -> dict[str, Any]:
    refused = {str(status): _answer("拒绝", status) for status in sorted(REFUSALS)}
    answers = {"2XX": {"description": "收到了"}} if kind == PING else {"200": _answer("接受,或者拒绝", 200), **refused}
    return {
        "operationId": f"command_{kind}",
        "tags": ["commands"],
        "summary": _SUMMARIES[kind],
        "description": "发到 PUT webhooks/{environment}/ 登记的地址。先核对签名,10 秒内回答;以后才决定的,用事件告诉。",
        "parameters": [
            {"in": "header", "name": name, "required": True, "description": words, "schema": {"type": "string"}}
            for name, words in _SIGNED.items()
        ],
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": command_schema.message(kind)}},
        },
        "responses": {**answers, "default": {"description": "没有办成:同一个 idempotency_key 过一会儿再发"}},
    }


BOOK, CANCEL, CHECK_IN, PAY, PING_MESSAGE = (
    OpenApiWebhook(kind, {"post": _operation(kind)}) for kind in command_schema.kinds()
)
