"""Decisions without I/O: no sockets, no files, no clock. Imports only itself."""
