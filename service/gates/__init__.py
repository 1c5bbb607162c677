"""What stands between an image and a cluster: preflight reports it, deploys refuse by it."""
