"""Outbox, inbox, and anybody's queues and timelines: what came, what is held, who reads."""
