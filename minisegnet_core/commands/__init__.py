"""The commands of the program ``minisegnet``, one module each: they parse options and print results.

What a command does lies below, in functions that a Python user can call with the same options.
"""
