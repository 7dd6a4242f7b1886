"""Attacks on the running service: each shown at work on an unprotected call, then tried here, measured from outside."""
