"""What everything stands on and nothing of it is about ECR or EKS: errors, settings, clock, tasks, SQL, metrics.

What two areas share and is about neither belongs here; what is about a registry or a cluster does not.
"""
