"""The cluster: a Kubernetes API server, and the controllers, scheduler and kubelet that stand behind it.

Knows of AWS what a real cluster does: who signed a token, who has an access entry, what the registries hold.
"""
