"""Long work that outlives the request, and the replica, that began it: its table, who runs it, and how it ends.

Knows no kind of work: an area declares its own (`Kind`) and is handed a `Work`, by which alone it writes.
"""
