"""Nobody's words are where they do not belong: canaries go in at every door, and are then looked for everywhere.

``words`` are the canaries and every form that they are known in, ``places`` where they are looked for, ``clear`` which
columns may hold words at all. Each door has a module of its own, whose list of what is driven is made from the code, so that
a new operation, action, message or form is driven or fails. Whole processes are searched in tests/scenario/test_canaries.py.
"""
