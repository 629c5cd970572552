"""The demo's engine: every order is paid at once, with invented money."""

from collections.abc import Mapping

from companion.payment.base import BadNotification, Opened, Order, Refund, Settled


def _trade(order: Order) -> str:
    return f"sandbox-{order.number}"


class SandboxPayment:
    async def begin(self, order: Order) -> Opened:
        return Opened(trade_number=_trade(order))

    def verify(self, body: bytes, headers: Mapping[str, str]) -> Settled | None:
        raise BadNotification  # nobody sends any

    async def query(self, order: Order) -> Settled | None:
        return Settled(order.number, _trade(order), order.amount_fen, paid=True)

    async def close(self, order: Order) -> None:
        return None

    async def refund(self, order: Order, refund: Refund) -> None:
        return None
