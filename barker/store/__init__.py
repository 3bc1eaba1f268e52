"""What must last: journals and users, in SQLite."""
