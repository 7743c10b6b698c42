"""Help desks that open our tickets: one module per vendor, and e-mail for who has none. `opening` picks one by the settings."""
