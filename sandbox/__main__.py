"""Serve a stand-in for AWS, with a Kubernetes cluster, on loopback until interrupted, and say where.

The answer is one line of JSON on standard output: endpoints by account and Region, the variables by which an AWS SDK
becomes the user that wharfinger runs as, or an account's operator, the name of the EKS cluster, and the file of a
kubeconfig for its administrator.
"""

import argparse
import json
import signal
from argparse import RawTextHelpFormatter
from contextlib import nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory

from sandbox.aws.identities import OPERATOR
from sandbox.kube.cluster import CLUSTER
from sandbox.places import PLACES
from sandbox.server import Sandbox


def main() -> None:
    """Serve until SIGTERM or SIGINT; with a folder, the state outlives the process."""
    stop = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, stop)
    place = nullcontext(given) if (given := _folder()) else TemporaryDirectory(prefix="sandbox-")
    with place as folder, Sandbox(data=Path(folder)) as sandbox:
        kubeconfig = Path(folder) / "kubeconfig"
        kubeconfig.touch(mode=0o600)
        kubeconfig.write_text(sandbox.kubeconfig())
        print(json.dumps(_where(sandbox, kubeconfig)), flush=True)  # noqa: T201 - for whoever started it
        signal.sigwait(stop)


def _folder() -> str | None:
    parser = argparse.ArgumentParser("python -m sandbox", description=__doc__, formatter_class=RawTextHelpFormatter)
    parser.add_argument("folder", nargs="?", help="where its state is kept; without one it forgets at the end")
    folder: str | None = parser.parse_args().folder
    return folder


def _where(sandbox: Sandbox, kubeconfig: Path) -> dict[str, object]:
    operators = {account: sandbox.credentials(OPERATOR, account) for account, _ in PLACES}
    return {
        "endpoints": {f"{account}/{region}": sandbox.endpoint(account, region) for account, region in PLACES},
        "wharfinger": sandbox.environment(),
        "cluster": CLUSTER,
        "kubeconfig": str(kubeconfig.resolve()),
        "operators": {
            account: {"AWS_ACCESS_KEY_ID": one.access_key, "AWS_SECRET_ACCESS_KEY": one.secret_key}
            for account, one in operators.items()
        },
    }


if __name__ == "__main__":
    main()
