"""Amazon ECR, one module per group of operations."""
