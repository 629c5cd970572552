"""A bill that was paid online. All invented."""

from datetime import UTC, datetime

from hospitals.connectors.base import PaidBill

AT = datetime(2026, 3, 2, 2, 0, tzinfo=UTC)


def paid(bill: str, amount_fen: int = 2000) -> PaidBill:
    return PaidBill(bill, "t-1", amount_fen, "0" * 31 + "1", "alipay", AT)
