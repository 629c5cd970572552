"""The sandbox: a hospital's system that exists only here, and behaves as one.

It takes commands through the connector's contract and speaks to us only by signed events at the door that every hospital
uses. Its clock is driven by hand (``advance``, ``tick``) or by the beat (``tick_all``).
"""
