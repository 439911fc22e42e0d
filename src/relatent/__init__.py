"""relatent: re-runs the IWAE and DCGAN papers from raw bytes to tables and figures, and can prove every number."""
