"""Deployments: accepted, stored, rolled out as a kind of job, followed to their end.

Whether an image may go to a cluster is judged in `gates`; claims, leases and steps of long work are `operations/jobs`.
"""
