"""`python -m bgpsvc`: the command line, with the interpreter that runs this."""

from bgpsvc.cli import main

if __name__ == "__main__":
    main()
