"""The figures that `/metrics` shows beside those of requests. Labels are few and closed: no name of a caller's."""

from prometheus_client import Counter, Gauge

AWS_CALLS = Counter(
    "wharfinger_aws_calls", "Calls to AWS, retries within them not counted", ["service", "operation", "outcome"]
)
"""`outcome`: ok, refused, throttled, failed (AWS's own fault), lost (no answer)."""
AWS_THROTTLES = Counter(
    "wharfinger_aws_throttles",
    "Attempts that AWS throttled, also those that a retry made good",
    ["service", "operation"],
)
CLUSTER_CALLS = Counter("wharfinger_cluster_calls", "Requests to Kubernetes APIs", ["verb", "resource", "outcome"])
"""`outcome`: ok, missing, conflict, refused, failed, lost."""
VENDS = Counter("wharfinger_vends", "Docker credentials handed out", ["source"])
"""`source`: aws, or cache."""
ROLLOUTS = Counter("wharfinger_rollouts", "Deployments that ended", ["outcome"])
JOBS = Counter("wharfinger_jobs_ended", "Long work that ended", ["kind", "outcome"])
"""`outcome`: succeeded, failed, cancelled, superseded."""
JOBS_WAITING = Gauge("wharfinger_jobs_waiting_seconds", "For how long the oldest job waits that could be run", ["kind"])
UNSETTLED = Gauge("wharfinger_unsettled_operations", "Operations past their deadline whose outcome is not recorded")
POOL = Gauge("wharfinger_database_connections", "Connections of the pool", ["state"])
"""`state`: in_use, or limit."""
