"""Deployments: accepted, stored, rolled out, followed to their end."""
