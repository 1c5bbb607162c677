"""The clusters of the settings: found and connected to, what their nodes can run, and by which roles they pull.

What may be deployed to them is judged in `gates`, and done in `deployments`; how an API server is spoken to is in
`clients/kube`.
"""
