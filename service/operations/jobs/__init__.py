"""Long work that outlives the request, and the replica, that began it: its table, who runs it, and how it ends.

Knows no kind of work: an area declares its own (`Kind`) and is handed a `Work`, by which alone it writes.

How long a lease is, a kind says (`kinds`); it is taken and kept in `claims`, and a worker that was paused past it is
refused by the job's epoch at each write (`store`), and outside by the term of its permits (`steps`). What callers may
do with jobs is `requests`. Who waits for long work of any kind or follows it is in `waiters`, what they are told of it
in `event_log`: deployments too are followed so.
"""
