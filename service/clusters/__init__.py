"""The clusters of the settings, found and connected."""
