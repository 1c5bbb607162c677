"""The clusters of the settings, found and connected; what their nodes are, and as whom these pull.

What is made of it is not for here: whether an image may go there is for `gates`, what runs there for `deployments`.
"""
