"""What the commission may do with a hospital, each from which states, what it asks for and what it calls."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django import forms
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextareaWidget, UnfoldAdminTextInputWidget

from hospitals.exceptions import ConnectorUnavailable
from hospitals.models import ApiClient, Hospital
from hospitals.services import connecting, onboarding

State = Hospital.State
NOT_LEFT = tuple(state for state in State if state is not State.LEFT)
_ACCEPTED = tuple(state for state in NOT_LEFT if state is not State.APPLIED)


class ReasonForm(forms.Form):
    """Why: it goes into the history and the audit log."""

    reason = forms.CharField(
        label="理由", min_length=4, max_length=200, widget=UnfoldAdminTextareaWidget(attrs={"rows": 3})
    )

    def __init__(self, *args: Any, hospital: Hospital, **kwargs: Any) -> None:
        self.hospital = hospital
        super().__init__(*args, **kwargs)
        self.order_fields([name for name in self.fields if name != "reason"])


class ForGoodForm(ReasonForm):
    """For what cannot be undone: the code is typed, so that it is not the wrong hospital."""

    code = forms.CharField(label="请输入医院代码,确认没有选错", required=True, widget=UnfoldAdminTextInputWidget)

    def clean_code(self) -> str:
        if self.cleaned_data["code"] != self.hospital.code:
            raise forms.ValidationError("与这家医院的代码不一致。")
        return ""


class ConnectorForm(ReasonForm):
    name = forms.ChoiceField(label="对接方式", widget=UnfoldAdminSelectWidget)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        try:
            known = connecting.known()
        except ConnectorUnavailable:
            known = ()  # the operator's file cannot be read: ``manage.py check`` says why
        choice = self.fields["name"]
        if isinstance(choice, forms.ChoiceField):
            choice.choices = [(name, name) for name in known if name != self.hospital.connector]


class EndClientForm(ReasonForm):
    environment = forms.ChoiceField(
        label="哪个环境的账号", choices=ApiClient.Environment.choices, widget=UnfoldAdminSelectWidget
    )


class CorrectForm(ReasonForm):
    name = forms.CharField(label="名称", max_length=100, widget=UnfoldAdminTextInputWidget)
    city = forms.CharField(label="城市", max_length=30, widget=UnfoldAdminTextInputWidget)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.initial = {"name": self.hospital.name, "city": self.hospital.city}


@dataclass(frozen=True, slots=True)
class Deed:
    """``do`` takes the hospital, actor and reason and what the form asks besides; what it returns is shown once.

    ``shown``: among the buttons; the others stand in the menu.
    """

    label: str
    sources: tuple[str, ...]
    do: Callable[..., str | None]
    form: type[ReasonForm] = ReasonForm
    warning: str = ""
    shown: bool = True


DEEDS: dict[str, Deed] = {
    "verify": Deed(
        "核验通过", (State.APPLIED,), onboarding.verify, warning="通过后医院可以领取联调账号;领取之前可以撤回核验。"
    ),
    "refuse": Deed(
        "驳回", (State.APPLIED,), onboarding.leave, ForGoodForm, "驳回后申请作废,代码和名称可以由别人重新申请。"
    ),
    "take-back": Deed("撤回核验", (State.VERIFIED,), onboarding.take_back_verification),
    "go-live": Deed(
        "准予上线",
        (State.CONFORMANCE_PASSED,),
        onboarding.go_live,
        warning="上线后居民马上能约到这家医院;联调中的测试预约全部结束。可以随时暂停。",
    ),
    "suspend": Deed(
        "暂停服务",
        (State.LIVE, State.CONFORMANCE_PASSED, State.SANDBOX, State.VERIFIED),
        onboarding.suspend,
        warning="暂停后居民约不到这家医院,医院的调用和事件立即被拒绝,居民已经办的操作等恢复后再送达。可以随时恢复。",
    ),
    "resume": Deed(
        "恢复服务",
        (State.SUSPENDED,),
        onboarding.resume,
        warning="暂停前已上线、并且通过了现在这种对接方式测试的,直接恢复上线;其余回到联调中。",
    ),
    "connector": Deed(
        "更改对接方式",
        NOT_LEFT,
        onboarding.set_connector,
        ConnectorForm,
        "已通过联调或已上线的医院会回到联调中,用新的对接方式重新通过一致性测试后才能上线。",
        shown=False,
    ),
    "correct": Deed("更正名称和城市", NOT_LEFT, onboarding.correct, CorrectForm, shown=False),
    "claim": Deed(
        "重发领取凭证",
        NOT_LEFT,
        onboarding.reissue_claim,
        warning="原来的凭证立即作废。新的凭证只显示一次,请当面或通过核实过的电话交给医院联系人。",
        shown=False,
    ),
    "end-client": Deed(
        "停用账号",
        _ACCEPTED,
        onboarding.end_client,
        EndClientForm,
        "医院用这个账号的调用立即被拒绝;之后可凭领取凭证领取新的账号。",
        shown=False,
    ),
    "end-signing": Deed(
        "停用签名密钥",
        _ACCEPTED,
        onboarding.end_signing_secrets,
        warning="医院发来的事件立即被拒绝,直到它领取或更换新的签名密钥。",
        shown=False,
    ),
    "leave": Deed(
        "退出",
        _ACCEPTED,
        onboarding.leave,
        ForGoodForm,
        "退出不能撤销:账号和密钥全部停用,不能再恢复。居民还在等的操作不再送达。",
        shown=False,
    ),
}
