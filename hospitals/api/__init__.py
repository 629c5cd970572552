"""The hospitals' HTTP API below /api/hospitals/v1/: each view parses, calls one service, answers.

| module | addresses |
|---|---|
| events | the signed door for hospitals' events |
"""
