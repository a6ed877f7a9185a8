"""Everything that touches lm-eval: tasks without datasets, filters, metrics, aggregation.

Nothing else in the program imports lm-eval, and nothing here imports it before it is needed.
"""
