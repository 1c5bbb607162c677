"""Errors as ECR's JSON 1.1 protocol gives them."""


class EcrError(Exception):
    """An error of the service model: its code, its message and the members it has beside them."""

    def __init__(self, code: str, message: str, **members: object) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.members = members


def invalid(message: str) -> EcrError:
    return EcrError("InvalidParameterException", message)


def denied(principal: str, action: str, resource: str) -> EcrError:
    return EcrError(
        "AccessDeniedException",
        f"User: {principal} is not authorized to perform: {action} on resource: {resource} "
        f"because no policy allows the {action} action",
    )
