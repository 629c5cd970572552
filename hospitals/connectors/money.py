"""Amounts written in yuan, as whole fen, and back."""

from decimal import Decimal

_DIGITS_MAX = 12  # far beyond any bill; the exponent of ten bytes would make a number that takes seconds to write out


def fen(yuan: str) -> int:
    """Raises ``ValueError`` for what is no amount of money or has parts of a fen."""
    try:
        found = Decimal(yuan) * 100
    except ArithmeticError as error:
        raise ValueError("no amount") from error
    if not found.is_finite() or found.adjusted() > _DIGITS_MAX:
        raise ValueError("no amount")
    if found != found.to_integral_value():
        raise ValueError("parts of a fen")
    return int(found)


def yuan(amount_fen: int) -> str:
    """2000 → "20.00"."""
    return f"{amount_fen // 100}.{amount_fen % 100:02}"
