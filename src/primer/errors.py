"""The error of a user, as against an error of the program."""


class InputError(ValueError):
    """Something that the user gave cannot be used. The message is one line that says what is wrong and what would be
    right; a command prints it without a traceback and ends with status 2."""
