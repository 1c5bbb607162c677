"""The policy language: grammar, documents, matching, who is granted what. Pure functions; asks nobody.

Whether a policy names others than its own account is `documents`, whether it lets in the broker role `broker_role`, and
what a vended credential is narrowed by `session_policies`. Which policies there are, and who may put them, is
`registry`; what AWS's IAM says of a role is read in `clients/iam`.
"""
