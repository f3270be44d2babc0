"""Private servers that run beside a central or a test: mosquitto and PostgreSQL."""
