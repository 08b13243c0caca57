"""Whether progress is printed (the default) or only logged; and whether errors show nacre's own frames."""

from __future__ import annotations

_settings = {"interactive": True, "filter_tracebacks": True}


def enable_interactive_logging() -> None:
    """Progress bars and messages go to stdout."""
    _settings["interactive"] = True


def disable_interactive_logging() -> None:
    """Progress bars are off and messages go to the logger `nacre`."""
    _settings["interactive"] = False


def is_interactive_logging_enabled() -> bool:
    """Whether progress bars and messages go to stdout."""
    return _settings["interactive"]


def enable_traceback_filtering() -> None:
    """Errors hide the frames inside nacre."""
    _settings["filter_tracebacks"] = True


def disable_traceback_filtering() -> None:
    """Errors show every frame."""
    _settings["filter_tracebacks"] = False


def is_traceback_filtering_enabled() -> bool:
    """Whether errors hide the frames inside nacre."""
    return _settings["filter_tracebacks"]
