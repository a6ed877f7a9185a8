"""The store: the only place with SQL, for SQLite and PostgreSQL.

Functions here take a connection and never commit: who opened the transaction (`engine.atomic`,
`engine.reading`) owns it.  `engine` opens a store and turns driver errors into ours; `lifecycle`
makes, upgrades and checks one; `bulk` writes many rows; `sqlite` and `postgresql` hold what the
two databases do differently; `schema` and `views` say what is in them.
"""
