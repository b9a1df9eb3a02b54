"""Child processes that never outlive the command, and are told when to stop."""
