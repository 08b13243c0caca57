"""Keeps plans: writes programs, caches compiled functions, runs ops eagerly."""
