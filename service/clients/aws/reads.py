"""Which calls to AWS change nothing, and which changes may be sent twice."""

READS = frozenset(
    {
        "BatchGetImage",
        "DescribeCluster",
        "DescribeFargateProfile",
        "DescribeImages",
        "DescribeNodegroup",
        "DescribePullThroughCacheRules",
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
        "ListImageReferrers",
        "ListImages",
        "ListNodegroups",
        "ListRolePolicies",
        "ListTagsForResource",
        "LookupEvents",
    }
)
"""Operations that change nothing and give nothing away. What is not in this list needs an open operation."""

MAY_IMPORT = frozenset({"BatchGetImage", "GetDownloadUrlForLayer", "ListImageReferrers"})
"""Those of them that are no reads where a cache rule covers the repository: see `imports`. Within an operation they may
be asked again all the same, as to import twice does what to import once does."""

HARMLESS_TWICE = frozenset({"AssumeRole", "CreateRepository", "GetAuthorizationToken"})
"""Changes that may be sent again though an attempt had no answer: AWS refuses to create twice, and a credential that
was lost is of no use to anybody. Any other would undo what somebody else did since the attempt that AWS acted on."""
