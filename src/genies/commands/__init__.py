"""The commands: a module for each has its arguments and `main(arguments, root)`, which returns the exit status.

`root` is the project root: the checkout for `python api/<name>.py`, the current folder for `genies <command>`.
"""
