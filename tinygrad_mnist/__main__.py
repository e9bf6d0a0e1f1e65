"""``python -m tinygrad_mnist``: the command line."""

from .cli import main

if __name__ == "__main__":
    main()
