"""Commands about people: logins, sessions, bans, and the files of identity providers."""
