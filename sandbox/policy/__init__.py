"""IAM policies: documents read strictly, and requests judged by them. No I/O."""

from sandbox.policy.document import Policy, parse
from sandbox.policy.evaluation import Principal, Request, is_allowed, is_trusted
from sandbox.policy.language import MalformedPolicyError

__all__ = ["MalformedPolicyError", "Policy", "Principal", "Request", "is_allowed", "is_trusted", "parse"]
