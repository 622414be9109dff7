"""Tests of the wire contract: one test per promise that clients rely on."""
