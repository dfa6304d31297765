"""The operator: `python -m finetune_operator`."""

import sys

from finetune_operator.factory import make_logic
from finetune_operator.handlers.run import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], make_logic))
