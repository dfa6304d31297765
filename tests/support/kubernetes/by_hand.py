"""`python -m tests.support.kubernetes.by_hand FOLDER`: a control plane with kwok, to look at until Ctrl-C."""

import signal
import sys
from pathlib import Path

from tests.support.kubernetes.binaries import find_command
from tests.support.kubernetes.control_plane import control_plane
from tests.support.kubernetes.kwok import kwok


def main() -> None:
    """Start it, say how it is reached, and end it on SIGINT or SIGTERM."""
    folder = Path(sys.argv[1]).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with control_plane(folder, find_command()) as plane, kwok(plane):
        sys.stdout.write(f"export KUBECONFIG={plane.kubeconfig}\nkubectl: {' '.join(plane.kubectl.program)}\n")
        sys.stdout.flush()
        try:
            signal.pause()
        except KeyboardInterrupt:
            sys.stdout.write("ending\n")


if __name__ == "__main__":
    main()
