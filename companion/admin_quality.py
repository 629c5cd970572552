"""Quality review in the admin: pick a sample, read a turn with names hidden, say what was wrong with it."""

from datetime import timedelta
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from unfold.decorators import action, display
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextareaWidget

from companion import admin_words, quality
from companion.models import Turn, TurnReview
from companion.on_record import OnRecord
from companion.triage import LEVELS
from hospitals.admin import Colours, Province, words
from hospitals.exceptions import KeyDestroyed

SAMPLE = 50
SAMPLE_DAYS = 1
_AROUND = 2  # turns before and after, to see what the talk was about
_SAID = admin_words.INTENTS | admin_words.URGENCY


def _choices(names: Any) -> list[tuple[str, str]]:
    return [("", "不用改"), *((name, _SAID.get(name, name)) for name in names)]


def _select(label: str, names: Any) -> forms.ChoiceField:
    return forms.ChoiceField(label=label, choices=_choices(names), required=False, widget=UnfoldAdminSelectWidget)


def _text(label: str, words: str) -> forms.CharField:
    widget = UnfoldAdminTextareaWidget(attrs={"rows": 3})
    return forms.CharField(label=label, required=False, max_length=500, help_text=words, widget=widget)


class ReviewForm(forms.ModelForm):
    """The encrypted fields and the turn's corrections, which the model's own form would leave out."""

    intent = _select("应当理解为", quality.INTENTS)
    department = _select("应当推荐的科室", quality.DEPARTMENT_NAMES)
    urgency = _select("应当的轻重缓急", LEVELS)
    better_words = _text("应当怎么说", "可以导出用于改进,请不要写姓名、电话等个人信息。")
    note = _text("备注", "只在这里看得到,不会导出。")

    class Meta:
        model = TurnReview
        fields = ("label",)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "label" not in self.fields:  # only to be read
            return
        self.fields["label"].required = True
        turn: Turn = self.instance.turn
        self.initial = {
            **self.initial,
            "intent": turn.corrected_intent,
            "department": turn.corrected_department,
            "urgency": turn.corrected_urgency,
            "better_words": self.instance.better_words,
            "note": self.instance.note,
        }


@admin.register(TurnReview)
class TurnReviewAdmin(OnRecord, Province):
    form = ReviewForm
    ordering = ("-picked_at", "id")
    list_display = ("picked_at", "shown_because", "intent", "urgency", "rating", "shown_label", "reviewer")
    list_filter = ("because", "label", ("reviewed_at", admin.EmptyFieldListFilter))
    list_select_related = ("turn",)
    date_hierarchy = "picked_at"
    readonly_fields = ("shown_said", "shown_answer", "around", "why")
    fieldsets = (
        ("这一轮", {"fields": ("shown_said", "shown_answer", "around", "why")}),
        ("评审", {"fields": ("label", "intent", "department", "urgency", "better_words", "note")}),
    )
    actions_list = ("pick_sample",)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: TurnReview | None = None) -> bool:
        return super().has_change_permission(request, obj) and not (obj and _erased(obj))

    def get_fieldsets(self, request: HttpRequest, obj: TurnReview | None = None) -> Any:
        return self.fieldsets[:1] if obj and _erased(obj) else self.fieldsets

    def save_model(self, request: HttpRequest, obj: TurnReview, form: Any, change: bool) -> None:
        given = form.cleaned_data
        quality.record(
            obj,
            reviewer=request.user.get_username(),
            label=given["label"],
            intent=given["intent"],
            department=given["department"],
            urgency=given["urgency"],
            better_words=given["better_words"],
            note=given["note"],
        )

    @action(description=f"抽取近{SAMPLE_DAYS}天的{SAMPLE}轮", url_path="pick", permissions=["change"])
    def pick_sample(self, request: HttpRequest) -> HttpResponseRedirect:
        now = timezone.now()
        since = now - timedelta(days=SAMPLE_DAYS)
        reviews = quality.pick(since=since, until=now, count=SAMPLE, seed=int(now.timestamp()))
        counted = quality.figures(since=since, until=now)
        messages.success(
            request,
            f"抽取了 {len(reviews)} 轮。近{SAMPLE_DAYS}天共 {counted['turns']} 轮,满意 {counted['rated_up']},"
            f"不满意 {counted['rated_down']},已评审 {counted['reviewed']},其中理解和回答都对 {counted['right']}。",
        )
        return HttpResponseRedirect(reverse("admin:companion_turnreview_changelist"))

    # --- the list ------------------------------------------------------------------------------------------
    @display(description="抽中原因", label=Colours(low_rating="danger", emergency="danger", replaced="warning"))
    def shown_because(self, review: TurnReview) -> tuple[str, str]:
        return review.because, review.get_because_display()

    @display(description="结论", label=Colours(right="success", unsafe="danger"))
    def shown_label(self, review: TurnReview) -> tuple[str, str]:
        return review.label, review.get_label_display() or "待评审"

    @display(description="理解为")
    def intent(self, review: TurnReview) -> str:
        return words.said(admin_words.INTENTS, review.turn.intent)

    @display(description="轻重缓急")
    def urgency(self, review: TurnReview) -> str:
        return words.said(admin_words.URGENCY, review.turn.urgency)

    @display(description="居民评价")
    def rating(self, review: TurnReview) -> str:
        return admin_words.RATINGS.get(review.turn.rating or 0, "—")

    # --- one review ----------------------------------------------------------------------------------------
    @display(description="她说")
    def shown_said(self, review: TurnReview) -> str:
        return words_of(review.turn)[0]

    @display(description="回答")
    def shown_answer(self, review: TurnReview) -> SafeString:
        return _lines(words_of(review.turn)[1])

    @display(description="前后几轮")
    def around(self, review: TurnReview) -> SafeString:
        number = review.turn.number
        turns = Turn.objects.filter(
            conversation_id=review.turn.conversation_id, number__range=(number - _AROUND, number + _AROUND)
        ).exclude(id=review.turn_id)
        pieces = []
        for turn in turns:
            said, answered = words_of(turn)
            pieces.append((turn.number, said or "(点按)", "".join(answered)))
        return format_html_join("", "<p>{} · <b>{}</b><br>{}</p>", pieces)

    @display(description="为什么这样理解")
    def why(self, review: TurnReview) -> SafeString:
        try:
            names = quality.people_of(review.resident_id)
            understood = dict(review.turn.understood)
        except KeyDestroyed:
            return format_html("{}", "居民或家人已注销,内容不可读。")
        shown = ((key, quality.hidden(str(value), names)) for key, value in understood.items() if value)
        return format_html_join("", "<p><code>{}</code> {}</p>", shown)


def _erased(review: TurnReview) -> bool:
    """Whether whose turn it is was erased: reviewers' words were under her key too."""
    try:
        return review.note is None
    except KeyDestroyed:
        return True


def words_of(turn: Turn) -> tuple[str, list[str]]:
    """What she said and what was answered, with personal data hidden."""
    try:  # her names, too, were under her key; where one of the family is erased, that name could not be hidden
        names = quality.people_of(turn.resident_id)
        return quality.hidden(turn.said, names), [quality.hidden(str(line), names) for line in turn.answered]
    except KeyDestroyed:
        return "居民或家人已注销,内容不可读。", []


def _lines(lines: list[str]) -> SafeString:
    return format_html_join("", "<p>{}</p>", ((line,) for line in lines))
