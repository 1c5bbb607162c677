"""What ECR has beyond the pinned botocore: `make overlay` writes it, `make newer` says what it lacks.

Facts of the service model alone, as botocore merges them: https://github.com/boto/botocore, `loaders.py`, sdk-extras.
"""

from pathlib import Path

OVERLAY = Path(__file__).parent
"""A folder for the search path of a session's data loader."""
