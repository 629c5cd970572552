"""A hospital that speaks HL7 v2 over MLLP: commands are messages it acknowledges, its own messages become events.

``mllp`` frames, ``messages`` reads and writes the text, ``orders`` what goes out, ``events`` what comes in, ``connector``
the contract, ``listener`` the open door.
"""

from hospitals.connectors.hl7v2.connector import Hl7v2Connector

__all__ = ["Hl7v2Connector"]
