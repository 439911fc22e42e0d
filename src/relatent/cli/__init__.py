"""One thin module per command: read, call, write. The only place that opens files named by the user."""
