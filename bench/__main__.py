"""Measures what wharfinger promises of its speed; each figure beside a reference that is measured in the same run.

    make bench

These machines are noisy: the ratio is what counts, not the single figure.
"""

import asyncio

from bench import deploys, flood, jobs, latency, pipeline, reads, startup, trail, vending
from bench.report import heading
from bench.rig import rig


def main() -> None:
    """Run every benchmark in turn, each on a rig of its own processes."""
    heading()
    startup.measure()
    trail.measure()
    jobs.measure()
    with rig() as running:
        asyncio.run(latency.measure(running))
        asyncio.run(reads.measure(running))
        asyncio.run(flood.measure(running))
        asyncio.run(vending.measure(running))
        pipeline.measure(running)
        asyncio.run(deploys.measure(running))


if __name__ == "__main__":
    main()
