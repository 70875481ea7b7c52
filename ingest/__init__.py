"""The ingest function: checks a session that a command-line tool sends and stores it, once, in a bucket."""
