"""What an Invoice asks for, in whole fen."""

from hospitals.connectors.fhir.client import Resource
from hospitals.connectors.fhir.elements import fen_of


def of_line(item: Resource) -> tuple[int, int]:
    """(what it costs, what of that the insurance bears)."""
    parts = [(part["type"], fen_of(part["amount"])) for part in item["priceComponent"]]
    costs = sum(part for kind, part in parts if kind in ("base", "surcharge", "tax"))
    return costs, sum(abs(part) for kind, part in parts if kind in ("deduction", "discount"))


def due(invoice: Resource) -> int:
    """What is left for the patient to pay; totalNet, if given, must be that. Raises ``ValueError``, ``KeyError``, ``TypeError``."""
    lines = [of_line(item) for item in invoice["lineItem"]]
    left = sum(costs for costs, _deducted in lines) - sum(deducted for _costs, deducted in lines)
    if invoice.get("totalNet") and fen_of(invoice["totalNet"]) != left:
        raise ValueError("totalNet")
    return left
