"""What a registry has: repositories, images, policies."""
