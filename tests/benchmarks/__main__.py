"""``python -m tests.benchmarks``: see ``run.py``."""

from .run import main

if __name__ == "__main__":  # not in the workers, which import this module again
    main()
