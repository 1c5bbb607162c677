"""A stand-in for AWS, with a Kubernetes cluster, on loopback: to try wharfinger without a cloud, and to test it.

What everything here shares stands at the top: the server, its state, clock, log of calls, faults and their controls.
"""
