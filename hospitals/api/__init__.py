"""The hospitals' HTTP API below /api/hospitals/v1/: each view parses, calls one service, answers.

| module | addresses |
|---|---|
| applications | applying, credentials, changing secrets |
| tokens | OAuth2 client credentials |
| directory | campuses … slots, notices: lists in the order of change, one address a row |
| facts | the hospital itself, its lexicon, its indoor map, fees |
| imports | bulk uploads and how far they are |
| trials | test appointments, conformance runs |
| webhooks | where commands go, the log of deliveries |
| events | the signed door for hospitals' events |
| schema | the OpenAPI document and the developers' page |
| base | who calls, in whose scope, how often, and once |
| answers | what is left of limits, what is deprecated: in every answer |
| bodies | events and maps, described |
"""
