"""The database: SQLAlchemy over SQLite by default, any other by its URL.

Comes in: records of `chains_platform.state`, events, encrypted secrets. Goes out: the same.
Only one thread ever touches the database, in the order of submission.
"""
