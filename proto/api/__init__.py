"""Bodies of the HTTP requests and answers, one module a subject."""
