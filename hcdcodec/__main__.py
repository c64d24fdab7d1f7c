"""`python -m hcdcodec` is the command `hcdcodec`."""

from hcdcodec.cli import main

if __name__ == "__main__":
    main()
