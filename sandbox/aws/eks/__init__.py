"""EKS: its API about the one cluster, and what the cluster takes from it: access entries, nodes' names, the issuer."""
