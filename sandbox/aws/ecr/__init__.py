"""ECR: its API, and what a registry keeps, be it brought by that API or by the registry's (`sandbox.oci`)."""
