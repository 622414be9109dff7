"""The contracts: shapes and codecs that every process shares; no sockets, no files, no clock."""
