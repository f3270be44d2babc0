"""Identity providers: their files, keys, tokens and OAuth flows."""
