"""PostgreSQL with the second lock: the hospital of the current scope is told to the database, whose row-level security
lets no other hospital's rows through, even where the ORM's own scope were missing.
"""
