"""Defines the verbs of the command ``kvtransfer``, one a module."""
