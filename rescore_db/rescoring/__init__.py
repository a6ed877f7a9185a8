"""Recipe → plan → shards → scoring children → scores; verification; files without a store."""
