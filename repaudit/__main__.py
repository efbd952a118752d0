"""`python -m repaudit`, which torchrun needs."""

from repaudit.cli import entry

if __name__ == "__main__":
    entry()
