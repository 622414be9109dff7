"""The management API over HTTP: `/api/v1`."""
