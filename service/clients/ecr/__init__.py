"""Amazon ECR, one module per group of operations. Each is an attribute of the handle (`clients/registry`).

What a policy or a manifest says is read elsewhere (`iam`, `clients/oci`).
"""
