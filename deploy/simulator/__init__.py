"""A BigBlueButton server in small, as a program of its own.

Answers the calls that a load balancer uses, keeps its meetings over a kill, and fails on demand.
It must never import the gateway, the workers or the scheduler: it plays the other side. Run by
the demo, by the suite, and by anybody who wants to test an integration without a video
conference server.
"""
