"""The promises under every fault: random histories on the real code, over a model of AWS and a time moved by hand.

Simulated are AWS (`aws_model`: repositories, images, policies, credentials); the way there and back (`network`,
`faults`: never connected, reset or closed before or after AWS acted, half an answer, garbage, none in time, late,
throttled, 500, reads that lag); the time (`virtual_time`); callers, repeats under one key, somebody who changes things
past wharfinger, sweeps, crashes of a replica and one that stands still, its own timers with it or not (`plan`,
`driver`); and a database that goes away or loses the acknowledgement of a commit (`database`: SQLite in memory, with
its triggers). Real are the services, the operations, the ledger and the settlement, and aiobotocore with its retries
and its mapping of errors down to the HTTP session.

Not simulated are HTTP (tests/api), PostgreSQL and processes (tests/crash), clusters (tests/crash/test_rollouts.py), and
what the model takes for granted: AWS acts on an attempt within 14 s of its deadline or never, a throttled call is
not acted on, a read lags by less than 10 s.

`oracle` judges a history by what AWS really did. It lets two things pass: that somebody else brought back exactly what
the operation had found there, which no look at the state can tell from nothing done; and that a creation without an
answer is sent again within its operation, though somebody deleted the repository in between, as AWS refuses to create
what is there.

    python -m tests.simulation --histories 100000 --jobs 2    the nightly size
    python -m tests.simulation --seed 212                     a history again, made small, step by step
    python -m tests.simulation --seed 212 --whole             as it was drawn
"""
