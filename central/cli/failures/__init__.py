"""Commands about failures: counts, reports and failover rules."""
