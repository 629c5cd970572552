"""What the commission reads in place of codes. A code that has no word here is shown as it is: hospitals' engineers know it."""

from collections.abc import Iterable, Mapping
from uuid import UUID

from hospitals.connectors.base import CommandKind, EventType
from hospitals.models import Hospital

EVENTS: dict[str, str] = {
    EventType.APPOINTMENT_BOOKED: "预约成功",
    EventType.APPOINTMENT_REFUSED: "预约未成",
    EventType.APPOINTMENT_CANCELLED: "预约已取消",
    EventType.APPOINTMENT_NO_SHOW: "未到",
    EventType.SCHEDULE_STOPPED: "停诊",
    EventType.ENCOUNTER_CHECKED_IN: "已取号",
    EventType.QUEUE_CHANGED: "排队变化",
    EventType.ENCOUNTER_CALLED: "叫号",
    EventType.ENCOUNTER_MISSED: "过号",
    EventType.ENCOUNTER_STARTED: "开始看诊",
    EventType.ENCOUNTER_FINISHED: "看诊结束",
    EventType.INVOICE_ISSUED: "开出账单",
    EventType.INVOICE_PAID: "账单已付",
    EventType.INVOICE_CANCELLED: "账单作废",
    EventType.EXAMINATION_ORDERED: "开出检查",
    EventType.EXAMINATION_COMPLETED: "检查做完",
    EventType.EXAMINATION_CANCELLED: "检查取消",
    EventType.REPORT_ISSUED: "报告已出",
    EventType.PRESCRIPTION_ISSUED: "开出处方",
    EventType.PRESCRIPTION_DISPENSED: "药已发",
    EventType.FOLLOW_UP_PLANNED: "安排复诊",
    EventType.VISIT_CLOSED: "就诊完成",
}
COMMANDS: dict[str, str] = {
    CommandKind.BOOK: "预约",
    CommandKind.CANCEL: "取消预约",
    CommandKind.CHECK_IN: "取号",
    CommandKind.PAY: "缴费",
    "ping": "测试呼叫",
}
REASONS = {
    "unknown_appointment": "没有这个预约",
    "wrong_state": "现在的状态不能这样",
    "key_destroyed": "内容已清除",
    "ciphertext_invalid": "内容打不开",
    "key_service_unavailable": "密钥服务没有应答",
    "connector_unavailable": "医院系统没有应答",
    "no_connection": "连不上医院系统",
    "outcome_unknown": "送出了,没有回音",
    "circuit_open": "医院系统一直没有应答,暂不联系",
    "connector_failed": "对接程序出错",
    "connector_unknown": "没有设置这种对接方式",
    "connector_misconfigured": "对接方式设置有误",
    "connectors_unreadable": "对接设置文件读不出",
    "hospital_suspended": "医院已暂停",
    "hospital_left": "医院已退出",
    "hospital_busy": "医院系统忙",
    "slot_over": "号已经过时",
    "refused": "医院没有接受",
    "webhook_missing": "没有登记接收地址",
    "webhook_disabled": "接收地址已停用",
    "bad_event": "事件的内容读不懂",
    "bad_answer": "医院的答复读不懂",
    "not_tls": "没有加密",
    "sign_in_failed": "登录医院系统失败",
}
# What is done to whom, as the audit log has it.
ACTIONS = {
    "appointment.book": "预约",
    "appointment.cancel": "取消预约",
    "appointment.check_in": "取号",
    "appointment.pay": "缴费",
    "appointment.rehearse": "测试预约",
    "payment.refund": "退款",
    "payment.refund_part": "退还一部分缴费",
    "payment.arrived": "核对缴费:已入账",
    "payment.kept": "核对缴费:不用线上退",
    "waiting.join": "登记候补",
    "waiting.leave": "退出候补",
    "waiting.read": "看候补",
    "report.read": "看报告",
    "medicine.read": "看用药",
    "card.create": "填写实名信息",
    "card.change": "修改实名信息",
    "card.remove": "移除实名信息",
    "consent.ask": "请求替家人办理",
    "consent.give": "同意代办",
    "consent.decline": "拒绝代办",
    "consent.renew": "续代办授权",
    "consent.withdraw": "结束代办授权",
    "client.create": "生成接口账号",
    "client.rotate": "更换接口密钥",
    "signing_secret.rotate": "更换签名密钥",
    "webhook.write": "登记接收地址",
    "webhook.rotate": "更换接收地址的密钥",
    "hospital.change": "修改医院信息",
    "directory.created": "目录新增",
    "directory.updated": "目录修改",
    "directory.withdrawn": "目录撤下",
    "directory.import": "批量上传",
    "directory.fee": "修改诊查费",
    "directory.lexicon": "修改读音词典",
    "directory.map": "上传院内地图",
    "onboarding.applied": "申请接入",
    "onboarding.verified": "核验通过",
    "onboarding.sandbox": "进入联调",
    "onboarding.conformance_passed": "通过联调",
    "onboarding.live": "上线",
    "onboarding.suspended": "暂停",
    "onboarding.left": "退出",
    "onboarding.connector": "更改对接方式",
    "onboarding.corrected": "更正名称和城市",
    "onboarding.claim": "重发领取凭证",
    "onboarding.client_ended": "停用账号",
    "onboarding.signing_ended": "停用签名密钥",
    "inbox.replay": "重放死信",
    "outbox.replay": "重新送达",
    "delivery.replay": "重新送达",
    "report": "查看各医院数据",
    "staff.sign_in": "登录后台",
    "staff.second_factor": "通过两步验证",
    "staff.recovery_code": "使用恢复码",
    "staff.factor_set_up": "设置两步验证",
    "staff.factor_reset": "清除两步验证",
    "staff.list": "查看名单",
    "staff.look": "查看记录",
    "review.record": "评审对话",
    "incident.handle": "处理上报事件",
    "incident.note": "备注上报事件",
    "human_request.answer": "接听人工请求",
    "erased": "销毁密钥",
    "keys.rotated": "更换数据密钥",
    "keys.rotation.begun": "开始更换全部密钥",
    "keys.rotation.ended": "全部密钥更换完毕",
    "keys.rewrapped": "改用新的主密钥",
    "keys.given_up": "放弃打不开的内容",
    "audit.heads": "记下链头",
    "chain.born": "审计链开始",
    "chain.broken": "审计链断裂",
}
ENTITIES = {
    "account": "账号",
    "appointment": "预约",
    "audit": "审计记录",
    "chain": "审计链",
    "client": "接口账号",
    "command": "待送达操作",
    "conversation": "对话",
    "delivery": "送达记录",
    "event": "收到的事件",
    "hospital": "医院",
    "humanrequest": "人工请求",
    "human_request": "人工请求",
    "import": "批量上传",
    "incident": "事件上报",
    "keys": "密钥",
    "map": "院内地图",
    "master_key": "主密钥",
    "payment": "线上缴费",
    "paymentorder": "线上缴费",
    "practitioners": "医生",
    "report": "报告",
    "resident": "居民",
    "turn": "对话轮次",
    "turnreview": "质量评审",
    "visit": "就诊",
    "waiting": "候补",
    "webhook": "接收地址",
}


def said(words: Mapping[str, str], code: str) -> str:
    """The word, or the code; "—" for none."""
    return words.get(code, code) or "—"


def with_code(words: Mapping[str, str], code: str) -> str:
    """The word and the code, where somebody may have to ask a hospital's engineer about it."""
    return f"{words[code]}({code})" if code in words else code or "—"


def choices(words: Mapping[str, str]) -> list[tuple[str, str]]:
    """For a filter."""
    return [(str(code), word) for code, word in words.items()]


def hospital_names(ids: Iterable[UUID | None]) -> dict[UUID, str]:
    """For columns that hold a hospital's id alone."""
    return dict(Hospital.objects.filter(id__in={found for found in ids if found}).values_list("id", "name"))


def hospital_name(hospital_id: UUID | None) -> str:
    return hospital_names([hospital_id]).get(hospital_id, "—") if hospital_id else "—"
