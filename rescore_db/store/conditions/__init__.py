"""Users' conditions, `doc->>'level' > 3`: what they may say, and the SQL that they become.

`language` parses one, `nodes` and `functions` know what there is, `values` which kinds of values
there are; `sqlite` and `postgresql` write them.  `store.predicates` asks with them.
"""
