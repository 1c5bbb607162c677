"""What a registry holds, as the OCI's specifications write it."""
