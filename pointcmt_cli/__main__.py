"""`python -m pointcmt_cli`: the same as the `pointcmt` command."""

from pointcmt_cli.cli import main

if __name__ == "__main__":
    main()
