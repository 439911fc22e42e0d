"""Binary codes, near-duplicate search, clusters, planted-copy recall."""
