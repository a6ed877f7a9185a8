"""From result rows to what people and programs read: tables, JSON, CSV, Markdown.

columns.py   what each row class shows: one declaration for every format
values.py    one value as text: digits, one line, nothing that drives a terminal
tables.py    rows laid out for a terminal or as Markdown
machine.py   rows as JSON and CSV, whole and exact
details.py   one thing with all that belongs to it, for a terminal
summaries.py what an ingest, a scoring and a verification say in words
render.py    the door: `show(rows, format, of=RunRow)`
"""
