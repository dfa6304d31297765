"""Holds the quick start's result against what README promises of it."""

import sys
from pathlib import Path

import yaml

OUT = Path(__file__).parent / "out"

PROMISED = {"json-valid": 0.98, "field:priority": 0.9}
"""Least shares of the held-out rows."""

ROWS = 60
"""Least number of held-out rows."""


def main() -> int:
    """0 if every promise is kept."""
    status = yaml.safe_load((OUT / "status.yaml").read_text(encoding="utf-8"))["status"]
    found = status["evaluation"]
    broken = [f"{n} is {found['tuned'][n]}" for n, least in PROMISED.items() if float(found["tuned"][n]) < least]
    if found["rows"] < ROWS:
        broken.append(f"there are {found['rows']} held-out rows")
    if found["decision"] != "Keep":
        broken.append(f"the decision is {found['decision']}")
    kept = ", ".join(f"{name} {found['tuned'][name]}" for name in PROMISED)
    print("; ".join(broken) or f"as promised: {kept}")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
