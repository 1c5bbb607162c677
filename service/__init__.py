"""What wharfinger does, area by area; imports point down the list in `pyproject.toml`, and a lint rule holds it."""
