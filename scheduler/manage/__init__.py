"""Operations of management, the same for the HTTP API and the command line."""
