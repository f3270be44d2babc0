"""Commands about persons: who they are, and bans."""
