"""The policy language: grammar, documents, matching, who is granted what. Pure functions; asks nobody.

Which policies there are, and who may put them, is `registry`; what AWS's IAM says of a role is read in `clients/iam`.
"""
