"""The whole registry of lm-eval, rescored and compared: `python -m tests.conformance --help`."""
