"""Numbers as they are said in Mandarin: cardinals, decimals, digit by digit, with 两 where it is a count."""

import cn2an

_DIGITS = "零一二三四五六七八九"
LONGEST = 16  # longer ones are said digit by digit


def digits(written: str, *, one: str = "一") -> str:
    """``120`` -> 一二零, or 幺二零 with ``one="幺"`` as in telephone numbers and codes. What is no digit is left out."""
    names = _DIGITS.replace("一", one)
    return "".join(names[int(d)] for d in written if d in "0123456789")


def cardinal(written: str) -> str:
    """``1,005`` -> 一千零五, ``0.50`` -> 零点五零, ``066`` -> 零六六. ``written``: ASCII digits, commas, at most one point."""
    whole, point, fraction = written.replace(",", "").partition(".")
    whole = whole or "0"
    if len(whole) > LONGEST or (len(whole) > 1 and whole[0] == "0"):
        said = digits(whole)
    else:
        said = str(cn2an.an2cn(whole, "low"))
    return f"{said}点{digits(fraction)}" if point and fraction else said


def count(written: str) -> str:
    """As ``cardinal``, for a count of things: 2 is 两, 2000 is 两千, 22 stays 二十二.

    >>> count("2"), count("200"), count("2000"), count("12"), count("22000"), count("2.5")
    ('两', '两百', '两千', '十二', '两万两千', '二点五')
    """
    said = cardinal(written)
    if said == "二":
        return "两"
    if "." in written:
        return said
    for place in ("亿", "万", "千"):
        said = said.replace(f"二{place}", f"两{place}").replace(f"十两{place}", f"十二{place}")
    return f"两{said[1:]}" if said.startswith("二百") else said


def year(written: str) -> str:
    return digits(written)


def money(written: str) -> str:
    """``36.50`` -> 三十六元五角, ``0.08`` -> 八分, ``12.345`` -> 十二点三四五元."""
    whole, _, fraction = written.replace(",", "").partition(".")
    if len(fraction) > 2:
        return cardinal(written) + "元"
    jiao, fen = fraction[:1] or "0", fraction[1:2] or "0"
    said = f"{count(whole)}元" if whole.strip("0") or fraction.strip("0") == "" else ""
    if jiao != "0":
        said += f"{digits(jiao)}角"
    if fen != "0":
        said += ("零" if said and jiao == "0" else "") + f"{digits(fen)}分"
    return said
