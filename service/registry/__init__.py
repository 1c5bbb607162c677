"""What a registry has: repositories, images, policies; who may do what with them, and how each change is settled.

A kind of document that AWS keeps as a whole is a few values here, and `operations/documents` does the rest. The grammar
of policies is `iam`, which asks nobody; AWS is spoken to in `clients`.
"""
