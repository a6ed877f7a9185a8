"""lm-eval's files: finding, reading and understanding them; nothing here knows the store."""
