"""What everything stands on and nothing of it is about ECR or EKS: errors, settings, clock, tasks, SQL, metrics."""
