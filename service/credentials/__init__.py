"""What lets somebody in: API keys of our own, and docker credentials.

How a key is made and hashed, who is calling by it, and what their bindings reach, is `access`. What AWS is asked for is
`clients/broker`.
"""
