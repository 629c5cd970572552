"""The pages of staff's second factor: setting one up, giving its code, taking it away from who has lost it."""

from django.contrib import admin, messages
from django.contrib.auth.models import User
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse

from companion import second_factor
from hospitals import qr
from hospitals.admin import asked_first
from hospitals.audit import Actor
from hospitals.exceptions import InvalidInput


def _qr(address: str) -> str:
    """The address as a picture, within the page; empty for an account's name too long for one: the key is there in letters."""
    try:
        return qr.picture(address)
    except InvalidInput:
        return ""


class SecondFactorPages:
    """For the accounts' admin."""

    admin_site: admin.AdminSite
    actions = ("reset_factor",)

    def get_urls(self) -> list[URLPattern]:
        here = [path("second-factor/", self.admin_site.admin_view(self.second_factor), name="second_factor")]
        return here + super().get_urls()  # type: ignore[misc]

    def second_factor(self, request: HttpRequest) -> HttpResponse:
        """Asks for the code; without a factor, shows how to set one up; with one given, lets it be changed."""
        user: User = request.user  # type: ignore[assignment]
        has_one, was_given = second_factor.of(user) is not None, second_factor.given(request)
        codes: list[str] = []
        if request.method == "POST" and "anew" in request.POST:
            if was_given:
                second_factor.reset(user, actor=Actor("commission", user.get_username()), reason="本人更换")
            return HttpResponseRedirect(reverse("admin:second_factor"))
        if request.method == "POST":
            code = request.POST.get("code", "")[:40]
            if has_one and second_factor.give(request, code):
                return HttpResponseRedirect(reverse("admin:index"))
            codes = [] if has_one else second_factor.confirm(request, code)
            if not codes:
                messages.error(request, "验证码不对,或者错的次数太多,请过一会儿再试。")
        context = self.admin_site.each_context(request) | {
            "title": "两步验证",
            "codes": codes,
            "has_one": has_one,
            "was_given": was_given,
            "required": second_factor.required(),
        }
        if not (has_one or codes):
            key, address = second_factor.begin(user)
            context |= {"key": " ".join(key[n : n + 4] for n in range(0, len(key), 4)), "picture": _qr(address)}
        return TemplateResponse(request, "companion/admin_second_factor.html", context)

    @admin.action(description="清除所选账号的两步验证(手机丢失)", permissions=["change"])
    @asked_first("清除以后这些账号凭密码就能重新设置两步验证,原来的手机和恢复码作废。请先当面或电话核实本人。")
    def reset_factor(self, request: HttpRequest, rows: QuerySet[User]) -> None:
        actor = Actor("commission", request.user.get_username())
        count = sum(second_factor.reset(user, actor=actor, reason="管理员清除") for user in rows)
        messages.success(request, f"已清除{count}个账号的两步验证;下次登录时重新设置。")
