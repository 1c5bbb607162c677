"""What stands between an image and a cluster: preflight reports it, deploys refuse by it.

One more gate, `max_findings` say, is a module here and a line in `GATES` (`gates.py`):

1. `max_findings.py` has `class MaxFindings(Gate)`: `name` is what preflights and deployments show, `enforcement` says
   whether deploys ask it, and what `unknown` is to them (`gate.py`). Refused, they answer `gate_failed` or
   `gate_undecided`; there is no need for a code of its own.
2. `judge` looks at the `Subject` and gives a `Finding`: verdict, reason, advice, and as evidence what it read. What may
   be set for a cluster is in `subject.cluster`. Errors are let through: a preflight shows them as a finding.
3. What AWS or the cluster is asked is a `@once` of `Subject` where another gate may want it too, and else a call of the
   gate's own. A gate that is not set for a cluster says so before it asks for anything.
4. Its line in `GATES` is where it is shown. `tests/api/gates/test_asked.py` counts what it costs each deploy.

A deploy goes this way: the reference holds, the image is read, then the gates and what is there already, then the API
server's own dry run. What belongs elsewhere: who may deploy (`access`), and what a workload may say (`models`).
"""
