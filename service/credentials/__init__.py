"""What lets somebody in: API keys of our own, and docker credentials.

Who is calling, and what their bindings reach, is told in `access`. What AWS is asked for is `clients/broker`.
"""
