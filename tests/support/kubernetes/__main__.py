"""`python -m tests.support.kubernetes [--node]`: build what a tier needs before it is timed."""

import argparse
import os
import sys
import time

from tests.support.kubernetes.building import BuildError, built
from tests.support.kubernetes.programs import DEFAULT_RELEASE, HELM, KWOK, NODE, RELEASES, Program, kube
from tests.support.kubernetes.toolchain import NoGoError


def main() -> None:
    """Build the control plane and kwok, and with `--node` what nodes need and helm."""
    parser = argparse.ArgumentParser(prog="python -m tests.support.kubernetes", description=main.__doc__)
    parser.add_argument("--kubernetes", choices=RELEASES, default=os.environ.get("KUBERNETES", DEFAULT_RELEASE))
    parser.add_argument("--node", action="store_true", help="kubelets too: containerd, runc, CNI and CoreDNS; and helm")
    chosen = parser.parse_args()
    for program in (kube(chosen.kubernetes), KWOK, *((*NODE, HELM) if chosen.node else ())):
        _build(program)


def _build(program: Program) -> None:
    start = time.monotonic()
    try:
        folder = built(program)
    except (BuildError, NoGoError) as e:
        sys.exit(str(e))
    sys.stdout.write(f"{program.name} {program.version}: {folder} ({time.monotonic() - start:.0f} s)\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
