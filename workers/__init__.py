"""The hands: each module is one role that runs alone or together with others."""
