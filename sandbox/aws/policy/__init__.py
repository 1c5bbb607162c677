"""IAM policies: documents read strictly, and requests judged by them. No I/O."""

from sandbox.aws.policy.document import Policy, parse
from sandbox.aws.policy.evaluation import Principal, Request, is_allowed, is_trusted
from sandbox.aws.policy.language import MalformedPolicyError

__all__ = ["MalformedPolicyError", "Policy", "Principal", "Request", "is_allowed", "is_trusted", "parse"]
