"""A hospital that speaks FHIR R4: commands become Appointments and Invoices, what it changes is read from time to time.

``terms`` names the codes, ``sign_in`` is SMART backend services, ``client`` the REST verbs, ``orders`` what goes out,
``events`` what comes in, ``connector`` the contract.
"""

from hospitals.connectors.fhir.connector import FhirConnector

__all__ = ["FhirConnector"]
