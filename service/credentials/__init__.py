"""What lets somebody in: API keys of our own, and docker credentials."""
