"""The Kubernetes API of one cluster: connected, watched, changed under a permit, its refusals translated.

What a workload's objects look like is `deployments`: here they are plain documents.
"""
