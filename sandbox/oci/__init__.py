"""The OCI distribution API, on what `sandbox.aws.ecr` keeps and in ECR's words and codes."""
