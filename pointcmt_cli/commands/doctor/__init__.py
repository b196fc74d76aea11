"""`pointcmt doctor`: what works on this machine.

In: nothing; out: a line for each check, and how to mend what fails.
Imports from: none.
"""
