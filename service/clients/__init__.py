"""The outside, translated: our values in, our values out, our errors. Decides nothing, records nothing, knows no SQL.

The only place that knows botocore, httpx or the Kubernetes library.
"""
