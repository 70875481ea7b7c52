"""The roles that the registry gives to attributes and events. Each role of an attribute is a column of the views."""

__all__ = ["CORE", "EVENT_ATTRIBUTE_ROLES", "EVENT_ROLES", "ROLES"]

# What an attribute means, so that pages fit any tool: role -> (type, meaning).
ROLES: dict[str, tuple[str, str]] = {
    "os": ("string", "operating system"),
    "os_version": ("string", "version of the operating system"),
    "arch": ("string", "processor architecture"),
    "shell": ("string", "shell that the tool was started from"),
    "terminal": ("string", "terminal emulator"),
    "interactive": ("boolean", "whether a person is at the terminal"),
    "ci": ("boolean", "whether the run was in a continuous integration system"),
    "ci_system": ("string", "continuous integration system"),
    "exit_code": ("integer", "exit code of the run; anything but 0 is a failure"),
    "failure_reason": ("string", "why the run failed, as one of a few fixed names"),
    "command": ("string", "command or sub-command that was run"),
    "runtime": ("string", "language runtime and its version"),
    "container_engine": ("string", "container engine and its version"),
    "install_channel": ("string", "how the tool was installed, such as Homebrew, pip or apt"),
    "project_size": ("integer", "size of the project, in the tool's own unit"),
    "project_parts": ("integer", "parts that the project is made of, such as containers, packages or modules"),
    "variant": ("string", "which of several implementations the run used, so that pages can compare them"),
    "tab_completion_used": ("boolean", "whether the user has tab completion set up"),
}
EVENT_ROLES: dict[str, str] = {
    "update_notice": "the tool named a newer version to the user",
    "help": "the user asked for help",
}

# What an attribute of an event means: role -> (type, meaning).
EVENT_ATTRIBUTE_ROLES: dict[str, tuple[str, str]] = {
    "exception_type": ("string", "class of an exception that the tool raised"),
}

# Columns that every view has. An attribute with the same name would make queries ambiguous.
CORE = frozenset(
    {
        "application", "user_id", "session_id", "application_version", "start_time", "end_time", "ingestion_time",
        "duration_ms", "clock_suspect", "month", "undeclared", "attributes", "events", "spans", "type", "time",
        "role", "session",
    }
)  # fmt: skip
