"""Tenants: directory, keys, connectors, slots, queue, maps, audit. Knows no conversation."""
