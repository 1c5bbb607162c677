"""Patterns, of IAM policies and of our settings: `*` stands for any characters, also none, and `?` for any one."""

_ARN_PARTS = 6


def matches(pattern: str, text: str) -> bool:
    """Whether the whole of `text` is as `pattern` says, letter case included.

    Patterns come from callers and from AWS, and as a regular expression one with a dozen `*` backtracks for minutes.
    Here only the last `*` met is ever stretched: what is before it has matched as early as it can, and leaves the most.
    """
    at, place = 0, 0
    star, stretched = -1, 0
    while place < len(text):
        if pattern[at : at + 1] == "*":
            star, stretched = at, place
            at += 1
        elif pattern[at : at + 1] in ("?", text[place]):
            at, place = at + 1, place + 1
        elif star >= 0:
            stretched += 1
            at, place = star + 1, stretched
        else:
            return False
    return not pattern[at:].strip("*")


def matches_arn(pattern: str, arn: str) -> bool:
    """As `matches`, part by part: a wildcard stays within its part, and those an incomplete pattern lacks are anything.

    Source: IAM User Guide, "IAM JSON policy elements: Resource", and "Condition operators" for ARNs.
    """
    if ":" not in pattern:
        return matches(pattern, arn)
    parts, wanted = arn.split(":", _ARN_PARTS - 1), pattern.split(":", _ARN_PARTS - 1)
    wanted += ["*"] * (_ARN_PARTS - len(wanted))
    return len(parts) == _ARN_PARTS and all(map(matches, wanted, parts))
