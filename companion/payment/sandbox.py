"""The demo's engine: every order is paid at once, with invented money."""

from collections.abc import Mapping

from companion.payment.base import BadNotification, Opened, Order, Settled


class SandboxPayment:
    async def begin(self, order: Order) -> Opened:
        return Opened(trade_number=f"sandbox-{order.number}")

    def verify(self, body: bytes, headers: Mapping[str, str]) -> Settled | None:
        raise BadNotification  # nobody sends any

    async def close(self, order: Order) -> None:
        return None

    async def refund(self, order: Order, reason: str) -> None:
        return None
