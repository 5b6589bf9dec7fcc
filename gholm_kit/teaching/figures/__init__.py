"""Pictures that the notebooks show, a module a chapter; each is one function: data or records in, figure out."""
