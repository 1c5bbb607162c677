"""The demo: the story that it tells, the service that it starts, and the images that it makes and pushes.

A client of the sandbox like any other: it knows the server, and nothing of what stands behind it.
"""
