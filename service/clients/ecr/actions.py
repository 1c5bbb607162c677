"""What pulling and pushing take, as policies name it; each list stands here and nowhere else."""

LOGIN = "ecr:GetAuthorizationToken"
"""Granted on `*` or not at all: a docker login is of no repository."""

PULL = ("ecr:BatchCheckLayerAvailability", "ecr:GetDownloadUrlForLayer", "ecr:BatchGetImage")
"""Amazon ECR User Guide, "Using Amazon ECR images with Amazon EKS"."""

LIST_TAGS = "ecr:ListImages"
"""`/v2/NAME/tags/list`, by which image updaters find what to pull."""

PUSH = (
    "ecr:BatchCheckLayerAvailability",
    "ecr:InitiateLayerUpload",
    "ecr:UploadLayerPart",
    "ecr:CompleteLayerUpload",
    "ecr:PutImage",
    "ecr:BatchGetImage",
)
"""https://docs.aws.amazon.com/AmazonECR/latest/userguide/image-push-iam.html.

BatchGetImage is among them for a HEAD of the manifest, by which clients tell what is there already.
"""
