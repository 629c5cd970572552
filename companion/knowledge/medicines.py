"""Cautions of a medicine for one person: age, sex, pregnancy, and what else is taken."""

from collections.abc import Iterable

from companion.knowledge.values import Caution, Interaction, MedicineEntry

_OLD = 65
_SEX = {"male": "男性", "female": "女性"}


def cautions_for(
    entry: MedicineEntry,
    others: Iterable[MedicineEntry],
    interactions: Iterable[Interaction],
    *,
    age_years: float | None = None,
    sex: str | None = None,
    pregnant: bool | None = None,
) -> list[Caution]:
    """What matters most first: limits of age and sex, pregnancy, other medicines, then what holds for everybody."""
    found: list[Caution] = []

    def add(text: str, *, severe: bool = False, source: str = entry.source) -> None:
        if text and all(text != known.text for known in found):
            found.append(Caution(text, source, severe))

    if age_years is not None and entry.min_age_years is not None and age_years < entry.min_age_years:
        add(f"说明书限{_age(entry.min_age_years)}以上使用。用之前请先问医生或药师。", severe=True)
    if age_years is not None and entry.max_age_years is not None and age_years > entry.max_age_years:
        add(f"这是{_age(entry.max_age_years)}以下用的药。用之前请先问医生或药师。", severe=True)
    if sex and entry.sex and sex != entry.sex:
        add(f"说明书限{_SEX[entry.sex]}使用。请先问医生或药师。", severe=True)
    if pregnant and sex != "male":
        add(entry.pregnant, severe=True)
    for other in others:
        for pair in interactions:
            if _meet(pair, entry, other):
                add(f"和{other.name}一起用要当心：{pair.text}", severe=pair.severe, source=pair.source)
        if other.id != entry.id and set(_same_kind(entry)) & set(_same_kind(other)):
            add(f"和{other.name}是同一类药，别重复吃。请让医生或药师看一看。", severe=True)
    add(entry.cautions)
    if age_years is not None and age_years < 14:
        add(entry.children)
    if age_years is None or age_years >= _OLD:
        add(entry.elderly)
    add(entry.food)
    add(entry.organs)
    return found


def _same_kind(entry: MedicineEntry) -> tuple[str, ...]:
    """Groups in which two at once are one too many; they are tagged ``one:...``."""
    return tuple(tag for tag in entry.tags if tag.startswith("one:"))


def _meet(pair: Interaction, one: MedicineEntry, other: MedicineEntry) -> bool:
    return (_is(pair.one, one) and _is(pair.other, other)) or (_is(pair.one, other) and _is(pair.other, one))


def _is(name: str, entry: MedicineEntry) -> bool:
    return name in (entry.id, entry.name) or (name.startswith("tag:") and name[4:] in entry.tags)


def _age(years: float) -> str:
    return f"{years:g}岁" if years >= 1 else f"{round(years * 12)}个月"
