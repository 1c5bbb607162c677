"""The command line. Commands import what they need when they run: most need no web framework."""
