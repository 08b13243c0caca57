"""The exceptions that nacre's own machinery raises; users see ValueError and TypeError."""


class TracedBranch(TypeError):
    """Python asked for the value of a tensor while its function was being traced."""


class NotCompilable(TypeError):
    """The function does something that a program cannot hold; it has to run eagerly."""
