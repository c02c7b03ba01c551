"""Quotas of a store: what a tenant, model or namespace may hold, kept by the engines that write."""
