"""Which calls to AWS change nothing, and which changes may be sent twice."""

READS = frozenset(
    {
        "BatchGetImage",
        "DescribeCluster",
        "DescribeFargateProfile",
        "DescribeImages",
        "DescribeNodegroup",
        "DescribeRegistry",
        "DescribeRepositories",
        "GetAccountSetting",
        "GetCallerIdentity",
        "GetDownloadUrlForLayer",
        "GetPolicy",
        "GetPolicyVersion",
        "GetRepositoryPolicy",
        "GetRole",
        "GetRolePolicy",
        "ListAttachedRolePolicies",
        "ListFargateProfiles",
        "ListImages",
        "ListNodegroups",
        "ListRolePolicies",
        "ListTagsForResource",
        "LookupEvents",
    }
)
"""Operations that change nothing and give nothing away. What is not in this list needs an open operation."""


HARMLESS_TWICE = frozenset({"AssumeRole", "CreateRepository", "GetAuthorizationToken"})
"""Changes that may be sent again though an attempt had no answer: AWS refuses to create twice, and a credential that
was lost is of no use to anybody. Any other would undo what somebody else did since the attempt that AWS acted on."""
