"""The command line: each command parses, calls one verb of `rescore_db.api`, and shows the answer.

Nothing here may import sqlalchemy, lm_eval, numpy or rich when it loads: `rescore --help` answers
at once.  Commands import what they need when they run.
"""
