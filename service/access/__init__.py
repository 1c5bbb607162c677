"""Who may do what: the actions with the roles that grant them, what they are about, and who is asking.

Decides from values alone: no SQL but the look-up of a key, no AWS.
"""
