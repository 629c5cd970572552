"""The contract of a payment engine: an order in, what the page opens or shows out; later the gateway's signed word.

Money is integer fen. An engine keeps nothing: orders are rows of companion.paying.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from companion.exceptions import CompanionError


class BadNotification(CompanionError):
    """Not the gateway's, or not about us: nothing of it is believed."""

    code = "bad_notification"
    status_code = 400
    detail = "这条支付通知没有通过核对。"


class GatewayUnavailable(CompanionError):
    """No answer, or none that can be believed; what was asked may be asked again, with the same order."""

    code = "gateway_unavailable"
    status_code = 503
    retryable = True
    detail = "支付平台暂时没有应答,请稍后再试。"


class OrderSpent(GatewayUnavailable):
    """The gateway closed this order or let it run out, and takes its number for nothing any more: the bill needs another."""

    code = "order_spent"


class NeverOpened(GatewayUnavailable):
    """Nobody opened it there, so there is nothing to close; who has its address may open it until it runs out."""

    code = "never_opened"


class OrderPaid(GatewayUnavailable):
    """It cannot be closed: it is paid, and whoever was to tell us of it may not have."""

    code = "order_paid"

    def __init__(self, trade_number: str) -> None:
        super().__init__()
        self.trade_number = trade_number


@dataclass(frozen=True, slots=True)
class Order:
    """``number``: ours, the same whenever the same bill is begun again; so the gateway takes its money once.

    ``expires_at``: the gateway takes no money for it afterwards; the same whenever it is begun again, or a gateway refuses it.
    """

    number: str
    title: str
    amount_fen: int
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Refund:
    """So much of an order back. ``number``: of this refund, the same whenever it is asked for again; so it moves money once."""

    number: str
    amount_fen: int
    reason: str


@dataclass(frozen=True, slots=True)
class Opened:
    """``pay_at``: the address that the page opens, or ``scan``: what a phone scans off it; ``trade_number``: the gateway's, where
    it is paid already."""

    pay_at: str = ""
    scan: str = ""
    trade_number: str = ""
    paid_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Settled:
    """What the gateway says of an order: paid, or closed without money. ``trade_number``: its own; ``paid_at``: by its clock."""

    number: str
    trade_number: str
    amount_fen: int
    paid: bool
    paid_at: datetime | None = None


class PaymentBackend(Protocol):
    """Called by ``companion.payment.ask``, which bounds how long and how many; ``verify`` asks nobody."""

    async def begin(self, order: Order) -> Opened:
        """Raises ``GatewayUnavailable``, ``OrderSpent``. No money moves yet, but in the sandbox."""
        ...

    def verify(self, body: bytes, headers: Mapping[str, str]) -> Settled | None:
        """A notification as it came, its headers by names in any case; None for one that settles nothing. Raises ``BadNotification``."""
        ...

    async def query(self, order: Order) -> Settled | None:
        """What became of it, as its notification tells; None while nothing did, also of one that never came to the gateway.

        Raises ``GatewayUnavailable``.
        """
        ...

    async def close(self, order: Order) -> None:
        """Nobody is to pay it any more; one that can no longer come to the gateway is closed as well.

        Raises ``GatewayUnavailable``, ``OrderPaid``, ``NeverOpened``.
        """
        ...

    async def refund(self, order: Order, refund: Refund) -> None:
        """Part of it back, or all; again is the same refund. Raises ``GatewayUnavailable``; ``refund_processing``: not arrived yet."""
        ...
