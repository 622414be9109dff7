"""Operations of management, called as the API and the command line call them."""
