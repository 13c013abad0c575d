"""From loads to what must be provisioned: pods, nodes, database classes and every other limit."""
