"""Pages of a list of ECR's, asked for one by one, as ours are."""

from typing import Any

MOST_PER_PAGE = 1000
"""The most that ECR answers at once (botocore service model)."""


def page_after(token: str | None, most: int) -> Any:  # noqa: ANN401 - goes into TypedDicts of several operations
    """The parameters of the page that follows `token`; None: of the first."""
    return {"maxResults": most} | ({"nextToken": token} if token else {})
