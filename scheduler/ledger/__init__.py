"""The ledger: the durable record of meetings, answers, attendees and events.

The only package that writes those tables. It decides nothing: the placement worker hands it batches
of decisions, each of which becomes durable as a whole or not at all; everybody else reads.
"""
