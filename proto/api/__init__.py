"""Bodies of the HTTP requests and answers, one module for each subject."""
