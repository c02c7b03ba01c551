"""Keeps entries as objects in a bucket: S3 and what speaks its protocol, GCS, Azure."""
