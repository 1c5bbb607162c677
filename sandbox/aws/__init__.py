"""AWS's APIs: ECR, EKS, STS, IAM and CloudTrail, with who signs and what policies let them do; the rest is moto's.

An operation is imitated by botocore's service model and by AWS's documentation, never by what wharfinger expects.
"""
