"""`python -m genies COMMAND`: the console script `genies` where its folder is not on the PATH."""

from genies.commands.console import main

if __name__ == "__main__":
    main()
