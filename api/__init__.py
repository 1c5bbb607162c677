"""The HTTP interface and the command line: translates, decides nothing."""
