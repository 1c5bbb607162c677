"""What lets somebody in: API keys of our own, and docker credentials.

How a key is made and hashed, who is calling by it, and what their bindings reach, is `access`. By which policy a docker
credential is narrowed is `iam/session_policies`, and AWS is asked for it in `clients/broker`.
"""
