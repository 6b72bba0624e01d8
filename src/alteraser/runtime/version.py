"""The version, where everything that writes it down finds it."""

VERSION = "0.1.0"
